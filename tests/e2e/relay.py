"""Stands between a camera and its reader: gives the camera a wrong clock, or cuts the line without a word."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

CLOCK_HZ = 90_000


class Relay:
    """Relays RTSP over TCP and rewrites the times in the interleaved RTP and RTCP packets as they pass.

    `rate`: how fast the camera's clock runs (1.02: 2 % fast). `jump_s`: added to its time from when it is set on.
    `delay_s`: how long every byte from the camera is held, as by a slow encoder or line.
    `cut`: while set, bytes are read and lost, as on a line that is down. `damage`: while set, pictures are noise.
    """

    def __init__(self, port: int) -> None:
        self.rate = 1.0
        self.jump_s = 0.0
        self.delay_s = 0.0
        self.cut = threading.Event()
        self.damage = threading.Event()
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def close(self) -> None:
        for end in list(self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._upstream))
                except OSError:  # the camera is away: so is this end of the line
                    client.close()
                    continue
                self._sockets += [client, server]
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Both directions of one connection, until either end hangs up."""
        forward = threading.Thread(target=self._forward, args=(client, server), daemon=True)
        forward.start()
        self._backward(server, client)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        forward.join()
        for end in (client, server):
            end.close()
            self._sockets.remove(end)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if not self.cut.is_set():
                    server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _backward(self, server: socket.socket, client: socket.socket) -> None:
        held = b""
        first: int | None = None
        late: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        threading.Thread(target=self._deliver, args=(late, client), daemon=True).start()
        with suppress(OSError):
            while data := server.recv(65536):
                held += data
                out = bytearray()
                while held:
                    if held[0] != ord("$"):  # an RTSP answer: up to its end, or to the next packet
                        end = held.find(b"$")
                        end = len(held) if end < 0 else end
                        out += held[:end]
                        held = held[end:]
                        continue
                    if len(held) < 4 or len(held) < 4 + struct.unpack_from(">H", held, 2)[0]:
                        break
                    length = 4 + struct.unpack_from(">H", held, 2)[0]
                    packet, held = bytearray(held[:length]), held[length:]
                    # RTP: the time is at byte 4 after the 4 of the frame; RTCP sender report: at byte 16.
                    at = 8 if packet[1] % 2 == 0 else 20
                    if at == 8 or packet[5] == 200:
                        (stamp,) = struct.unpack_from(">I", packet, at)
                        first = stamp if first is None else first
                        passed = (stamp - first + 2**31) % 2**32 - 2**31
                        stamp = first + round(passed * self.rate + self.jump_s * CLOCK_HZ)
                        struct.pack_into(">I", packet, at, stamp % 2**32)
                    if at == 8 and self.damage.is_set():
                        start = min(len(packet), 4 + 12 + 24)  # after the heads of frame, packet and picture
                        packet[start:] = os.urandom(len(packet) - start)
                    out += packet
                if out and not self.cut.is_set():
                    late.put((time.monotonic() + self.delay_s, bytes(out)))
        late.put((0.0, b""))

    @staticmethod
    def _deliver(late: SimpleQueue[tuple[float, bytes]], client: socket.socket) -> None:
        with suppress(OSError):
            while (item := late.get())[1]:
                time.sleep(max(0.0, item[0] - time.monotonic()))
                client.sendall(item[1])

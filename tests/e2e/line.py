"""A TCP line through this process that can be slow, or cut without a word, where there are no network namespaces."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue


class Line:
    """Carries connections to `upstream`, (address, port), and back; `port` is this end, on loopback.

    `delay_s`: how long every byte is held, each way. `cut`: nothing passes, in either direction, and nothing is lost:
    what is on the line waits, as TCP's own repeats do on a network that is down. Whoever connects meanwhile hears
    nothing.
    """

    def __init__(self, upstream: tuple[str, int], *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self._upstream = upstream
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: set[socket.socket] = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()

    def restore(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._whole.set()
        for end in list(self._ends):
            self._hang_up(end)

    def _hang_up(self, end: socket.socket) -> None:
        self._ends.discard(end)
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._ends.add(near)
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        self._whole.wait()
        try:
            far = socket.create_connection(self._upstream)
        except OSError:  # whoever is at the other end is away: so is this end of the line
            self._hang_up(near)
            return
        self._ends.add(far)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._one_way, args=(far, near), daemon=True)
        back.start()
        self._one_way(near, far)
        back.join()
        for end in (near, far):
            self._hang_up(end)

    def _one_way(self, source: socket.socket, target: socket.socket) -> None:
        """Until `source` hangs up; `target` then hears the end, too."""
        under_way: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        deliver = threading.Thread(target=self._deliver, args=(under_way, target), daemon=True)
        deliver.start()
        with suppress(OSError):
            while data := source.recv(65536):
                under_way.put((time.monotonic() + self.delay_s, data))
        under_way.put((time.monotonic() + self.delay_s, b""))
        deliver.join()

    def _deliver(self, under_way: SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
        with suppress(OSError):
            while True:
                due, data = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                self._whole.wait()
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

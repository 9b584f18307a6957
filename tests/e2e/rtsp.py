"""Cameras for tests: real RTSP servers on loopback that can be killed, frozen and replaced."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import IO

import av

from spoton_edge.types import U8
from tests.e2e.harness import lacking
from tests.e2e.ports import free_port
from tests.footage import SIZE, picture

SYSTEM_PYTHON = "/usr/bin/python3"
_SERVER = Path(__file__).with_name("rtsp_server.py")
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "mjpeg": "mjpeg", "mpeg4": "mpeg4"}


def need_server() -> None:
    """Skip, and say what to install, where the RTSP server cannot run."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False).returncode:
        lacking(
            "no RTSP server: install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base "
            "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
        )


def certificate(path: Path) -> Path:
    """A certificate that its owner signed, as cameras have, and its key, in one PEM file."""
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    try:
        subprocess.run([*command, "-keyout", str(key), "-out", str(path)], capture_output=True, check=True)
    except FileNotFoundError:
        lacking("no certificates: install openssl")
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


def access_units(
    path: Path,
    codec: str,
    numbers: Iterable[int],
    size: tuple[int, int] = SIZE,
    gop: int = 5,
    slices: int = 1,
    draw: Callable[[int, tuple[int, int]], U8] = picture,
) -> Path:
    """Encode numbered pictures for the server: access units, each after its length."""
    context = av.CodecContext.create(_ENCODERS[codec], "w")
    context.width, context.height = size
    context.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    context.time_base, context.framerate = Fraction(1, 15), Fraction(15)
    context.gop_size, context.bit_rate = gop, 2_000_000
    if codec in ("h264", "hevc"):
        context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        if codec == "hevc":
            shared = "log-level=none:repeat-headers=1:pools=1:frame-threads=1"
            context.options |= {"x265-params": f"{shared}:slices={slices}"}
        else:
            context.options |= {"x264-params": f"slices={slices}:sliced-threads=0"}
    units = bytearray()
    frames: list[av.VideoFrame | None] = [
        av.VideoFrame.from_ndarray(draw(number, size), format="bgr24").reformat(format=context.pix_fmt)
        for number in numbers
    ]
    for index, frame in enumerate([*frames, None]):
        if frame is not None:
            frame.pts = index
        for packet in context.encode(frame):
            units += struct.pack(">I", packet.size) + bytes(packet)
    path.write_bytes(units)
    return path


class RtspCamera:
    """One server process on a port of its own; the port stays the same over restarts."""

    def __init__(
        self, units: Path, codec: str = "h264", *, login: str | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.units, self.codec, self.login, self.address = units, codec, login, address
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.clients = 0  # connections since the last start

    @property
    def url(self) -> str:
        return f"rtsp://{self.address}:{self.port}/cam"

    def start(self, *options: str, prefix: tuple[str, ...] = ()) -> None:
        command = [*prefix, SYSTEM_PYTHON, str(_SERVER), str(self.port), self.codec, str(self.units)]
        command += ["--address", self.address, *options]
        if self.login:
            command += ["--login", self.login]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(b"ready"), f"the RTSP server did not start: {line!r}"
        self.clients = 0
        self._counter = threading.Thread(target=self._count_clients, args=(self.process.stdout,), daemon=True)
        self._counter.start()

    def _count_clients(self, output: IO[bytes]) -> None:
        for _ in output:
            self.clients += 1

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._counter.join()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

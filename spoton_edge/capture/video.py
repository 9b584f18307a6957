"""Opening and decoding of pictures: the one file that knows PyAV.

Pixels are converted by a filter graph and not by `VideoFrame.to_ndarray(format=...)`: a graph takes its buffers from a
pool that it owns, so that a frame costs no new memory, and crops before it converts (tests/bench/capture.py).
"""

from __future__ import annotations

import errno
import itertools
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container.core
import av.filter
import numpy as np
from av.codec.hwaccel import HWAccel

from spoton_edge.capture.access_units import CODECS, AccessUnits
from spoton_edge.capture.cut import Cut
from spoton_edge.capture.source import Source, how_to_open, scrub
from spoton_edge.errors import CameraError, ExitCode, UsageError
from spoton_edge.types import U8

MAX_PIXELS = 8192 * 8192
"""A picture with more is taken for damage."""

OPEN_S = 5.0
_BAD_IN_A_ROW = 1000
_NOTHING = (errno.EAGAIN, errno.EINTR)


class SourceError(CameraError):
    """A source that cannot be opened or read now; a camera may come back."""

    exit_code = ExitCode.UNEXPECTED


class RefusedError(SourceError):
    """The camera refuses the login (401, 403)."""


class SilentError(SourceError):
    """Nothing came within the time allowed."""


class _InterruptibleClock:
    """Stands in for the `time` module in PyAV's container code, so that a thread can be called back from FFmpeg.

    FFmpeg asks PyAV during every wait whether to go on, and PyAV looks at the clock alone: to a thread whose stop event
    is set the clock therefore jumps ahead at each look, and the wait ends as a time-out within FFmpeg's 100 ms poll.
    """

    def __init__(self) -> None:
        self._stops: dict[int, threading.Event] = {}
        self._future = itertools.count(1)

    def monotonic(self) -> float:
        stop = self._stops.get(threading.get_ident())
        if stop is None or not stop.is_set():
            return time.monotonic()
        return next(self._future) * 1e12

    @contextmanager
    def interruptible(self, stop: threading.Event) -> Iterator[None]:
        """Within it, this thread's waits in FFmpeg end when `stop` is set."""
        self._stops[threading.get_ident()] = stop
        try:
            yield
        finally:
            del self._stops[threading.get_ident()]


_clock = _InterruptibleClock()
av.container.core.time = _clock  # type: ignore[attr-defined]
interruptible = _clock.interruptible


@dataclass(slots=True)
class Picture:
    """A decoded picture, not yet converted."""

    frame: Any  # av.VideoFrame
    time_ns: int | None  # presentation time in the stream's own clock
    sent_ns: int | None = None  # what the sender's wall clock showed then (Unix time), by its RTCP sender reports

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.frame.width, self.frame.height


class Video:
    """An open source; to be used by one thread at a time.

    Args:
        silence_s: a read that yields nothing for so long raises `SilentError`.
        cuda: decode on the GPU what it can decode; the rest on the CPU.

    Raises:
        RefusedError, SilentError, SourceError: it cannot be opened; the text names the camera, never a login.
        CredentialError: the URL names a login that is absent.
    """

    def __init__(self, source: Source, silence_s: float, *, cuda: bool = False) -> None:
        self.source = source
        self._silence_s = silence_s
        self._secret = source.resolved()
        rtsp = self._secret.lower().startswith(("rtsp://", "rtsps://"))
        self._container = self._opened(silence_s, cuda, parser=not rtsp)
        self._stream = self._video_stream()
        self._units: AccessUnits | None = None
        if rtsp and self._stream.codec_context.name in CODECS:
            self._units = AccessUnits(self._stream.codec_context.name)
        elif rtsp:
            self._container.close()
            self._container = self._opened(silence_s, cuda, parser=True)
            self._stream = self._video_stream()
        # One thread a camera: more would only add latency (frame threads) or switching (slice threads).
        self._stream.thread_type = "NONE"
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        self._converters: dict[Cut, _Converter] = {}
        self._sender_ns: int | None = None  # the sender's wall clock minus the stream's

    def _opened(self, silence_s: float, cuda: bool, *, parser: bool) -> Any:
        """The source as an av.InputContainer; without FFmpeg's parser the packets of an RTP stream are as they came."""
        url, container_format, options = how_to_open(self.source, self._secret)
        asked = time.monotonic()
        try:
            return av.open(
                url,
                format=container_format,
                options=options if parser else options | {"fflags": "noparse"},
                timeout=(OPEN_S, silence_s),
                hwaccel=HWAccel("cuda") if cuda else None,
            )
        except av.FFmpegError as error:
            # A time-out within a protocol's own talk is reported as damaged data.
            out_of_time = time.monotonic() - asked >= OPEN_S
            raise (self._silent() if out_of_time else self._explained(error, opening=True)) from None

    def _video_stream(self) -> Any:
        """The av.VideoStream to decode."""
        stream = next(iter(self._container.streams.video), None)
        if stream is None or stream.codec_context is None:
            self._container.close()
            raise SourceError(f"camera {self.source.name}: {self.source.shown} has no video that can be decoded")
        return stream

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px as the container announces it; (0, 0) where it does not."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    @property
    def rate_hz(self) -> float:
        """The nominal frame rate."""
        rate: Fraction | None = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else self.source.rate_hz

    @property
    def frames(self) -> int | None:
        """How many frames the container announces; None where it does not."""
        return self._stream.frames or None

    @property
    def timed(self) -> bool:
        """Whether presentation times are the stream's own, and not made up from a nominal rate."""
        return "mpjpeg" not in self._container.format.name

    def pictures(self) -> Iterator[Picture | None]:
        """Decode until the source ends; None stands for packets or pictures that could not be used.

        Raises:
            SilentError, SourceError: a stream broke off. A damaged file just ends.
        """
        bad = 0
        while True:
            try:
                asked = time.monotonic()
                for packet in self._container.demux(self._stream):
                    # At a time-out FFmpeg first hands out the packet that its parser held back, as if it had come.
                    if not self.source.recorded and time.monotonic() - asked >= self._silence_s:
                        raise self._silent()
                    self._look_at_clock(packet)
                    for unit in self._units.join(packet) if self._units else (packet,):
                        picture: Picture | None
                        for picture in self._decoded(unit):
                            bad = 0 if picture else bad + 1
                            yield picture
                    asked = time.monotonic()
                return
            except av.FFmpegError as error:
                explained = self._explained(error)
                bad += 1
                if isinstance(explained, SilentError) or not self.source.recorded:
                    raise explained from None
                if isinstance(error, av.EOFError) or bad > _BAD_IN_A_ROW:
                    return
                yield None

    def _look_at_clock(self, packet: Any) -> None:
        """Note what the sender's wall clock showed, where FFmpeg says so."""
        time_ns = _time_ns(packet)
        if time_ns is not None and packet.has_sidedata("prft"):
            # AVProducerReferenceTime begins with the Unix time in us, as an int64.
            (sent_us,) = struct.unpack_from("=q", packet.get_sidedata("prft"))
            self._sender_ns = sent_us * 1000 - time_ns

    def _decoded(self, packet: Any) -> Iterator[Picture | None]:
        try:
            frames = self._stream.decode(packet)
        except av.EOFError:
            return
        except av.FFmpegError as error:
            if error.errno not in _NOTHING:
                yield None
            return
        for frame in frames:
            if frame.is_corrupt or frame.width * frame.height > MAX_PIXELS:
                yield None
            else:
                time_ns = _time_ns(frame)
                sent_ns = None if time_ns is None or self._sender_ns is None else time_ns + self._sender_ns
                yield Picture(frame, time_ns, sent_ns)

    def image(self, picture: Picture, cut: Cut) -> U8:
        """The picture's cut, (H, W, 3) u8 BGR, C-contiguous; its memory returns to the pool when dropped.

        Raises:
            SourceError: the pixels are of a format without a conversion.
        """
        converter = self._converters.get(cut)
        if converter is None or not converter.fits(picture.frame):
            try:
                converter = self._converters[cut] = _Converter(picture.frame, cut)
            except (av.FFmpegError, ValueError) as error:
                raise self._explained(error) from None
        return converter(picture.frame)

    def close(self) -> None:
        """Close the source; pictures taken from it stay valid."""
        self._converters.clear()
        with suppress(av.FFmpegError):
            self._container.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _silent(self) -> SilentError:
        return SilentError(f"camera {self.source.name}: {self.source.shown} is silent")

    def _explained(self, error: Exception, *, opening: bool = False) -> SourceError:
        name, shown = self.source.name, self.source.shown
        if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
            return RefusedError(f"camera {name}: {shown} refuses the login; check its user and password")
        if isinstance(error, av.ExitError | TimeoutError):
            return self._silent()
        if isinstance(error, av.InvalidDataError) and opening:
            verb = "holds" if self.source.recorded else "sends"
            return SourceError(f"camera {name}: {shown} {verb} no video that can be read")
        text = getattr(error, "strerror", None) or scrub(str(error), self._secret)
        return SourceError(f"camera {name}: {shown}: {text}")


class _Converter:
    """Crops, scales and converts pictures of one size and format to BGR."""

    def __init__(self, frame: Any, cut: Cut) -> None:
        self._key = (frame.width, frame.height, frame.format.name)
        graph = av.filter.Graph()
        graph.threads = 1
        time_base = frame.time_base or Fraction(1, 1000)
        nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)]
        self._inner = (slice(0, None), slice(0, None))
        if cut.crop:
            x0, y0, x1, y1 = cut.crop
            # Colour is stored for 2 x 2 px: from an odd corner it would be off by one, so the rest is cut afterwards.
            left, top = (x0 & ~1, y0 & ~1) if cut.size is None else (x0, y0)
            self._inner = (slice(y0 - top, None), slice(x0 - left, None))
            nodes.append(graph.add("crop", f"w={x1 - left}:h={y1 - top}:x={left}:y={top}:exact=1"))
        if cut.size:
            nodes.append(graph.add("scale", f"w={cut.size[0]}:h={cut.size[1]}:flags=area"))
        nodes += [graph.add("format", "bgr24"), graph.add("buffersink")]
        graph.link_nodes(*nodes)
        graph.configure()
        self._graph = graph

    def fits(self, frame: Any) -> bool:
        return self._key == (frame.width, frame.height, frame.format.name)

    def __call__(self, frame: Any) -> U8:
        self._graph.vpush(frame)
        # A copy only where the row's length is not what the pool aligns rows to.
        image: U8 = np.ascontiguousarray(self._graph.vpull().to_ndarray()[self._inner])
        return image


def cuda_problem() -> str | None:
    """Why pictures cannot be decoded on a GPU here; None when they can."""
    try:
        av.CodecContext.create("h264", "r", hwaccel=HWAccel("cuda", allow_software_fallback=False))
    except (av.FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
        return f"FFmpeg opens no CUDA device: {(getattr(error, 'strerror', None) or str(error)).lower()}"
    return None


def missing_decoders() -> list[str]:
    """Which of the codecs that cameras use cannot be decoded here."""
    return [name for name in ("h264", "hevc", "mjpeg") if name not in av.codecs_available]


def save_picture(image: U8, path: Path) -> None:
    """Write an image, (H, W, 3) u8 BGR, to a .jpg or .png file; a file that was there stays until it is complete.

    Raises:
        UsageError: the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24").save(partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"{path}: {error.strerror or error}") from None


def _time_ns(timed: Any) -> int | None:
    """Presentation time of a packet or frame."""
    if timed.pts is None or timed.time_base is None:
        return None
    return int(timed.pts * timed.time_base * 1_000_000_000)

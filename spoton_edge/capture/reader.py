"""One thread a source: opens it, decodes it, comes back to it for as long as it fails."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

from spoton_edge.capture.batcher import Batcher
from spoton_edge.capture.cut import Cutter, MisfitError
from spoton_edge.capture.source import Source
from spoton_edge.capture.stamps import LiveTimes, RecordedClock, RecordedTimes
from spoton_edge.capture.video import Picture, RefusedError, SilentError, SourceError, Video, interruptible
from spoton_edge.errors import CameraError, CredentialError
from spoton_edge.types import U8, Event

_log = logging.getLogger("spoton_edge.capture")

RETRY_S, RETRY_MOST_S = 0.5, 4.0
REFUSED_S, REFUSED_MOST_S = 60.0, 900.0
ANNOUNCED_SHARE = 0.98  # containers may count a few frames too many; a recording with fewer than this was cut
WRONG_S = 0.5  # clocks that differ by so much are set wrong, and not only inexact
_EVENTS_KEPT = 1024


class Camera:
    """One camera of the site: what its reader knows of it. Written by the reader, read by everybody."""

    def __init__(self, index: int, source: Source, events: deque[Event]) -> None:
        self.index = index
        self.source = source
        self.state = "connecting"
        self.bad_frames = 0
        self.size: tuple[int, int] | None = None  # of the frames it delivers
        self.rate_hz: float | None = None  # nominal
        self.announced: int | None = None  # frames of a recording, as its header says
        self.broke_off = False  # a recording that ended before its end
        self.live_times: LiveTimes | None = None
        self.cutter = Cutter(source)
        self.misfit: tuple[int, int] | None = None  # the picture size that was refused
        self.connections = 0  # how often it came to be live
        self.clock_named = False
        self.by_sender: bool | None = None  # whose clock its stamps follow, as last logged
        self._events = events

    def succeed(self, before: Camera) -> None:
        """Take the place of what was the same camera with another cut or calibration: its connection stands."""
        self.state, self.bad_frames, self.connections = before.state, before.bad_frames, before.connections
        self.rate_hz, self.announced, self.live_times = before.rate_hz, before.announced, before.live_times
        self.by_sender = before.by_sender

    def become(self, state: str, why: str = "") -> None:
        """Change the state: one line in the log and one event for each change, none for a repetition."""
        if state == self.state:
            return
        self.state = state
        self.connections += state == "live"
        level = logging.INFO if state == "live" or (state == "ended" and not why) else logging.WARNING
        _log.log(
            level,
            "camera %s: %s%s",
            self.source.name,
            state,
            f" ({why})" if why else "",
            extra={"SPOTON_CAMERA": self.source.name, "SPOTON_EVENT": "camera", "SPOTON_STATE": state},
        )
        self._events.append(Event(kind="camera", captured_ns=time.monotonic_ns(), camera=self.index, detail=state))

    def stamped_by(self, times: LiveTimes) -> None:
        """Log whose clock the stamps follow when that has changed, and name a clock that is set wrong."""
        if times.by_sender is None or times.by_sender == self.by_sender:
            return
        self.by_sender, delay_s = times.by_sender, (times.delay_ms or 0.0) / 1e3
        wrong = not self.by_sender and abs(delay_s) >= WRONG_S and not self.clock_named
        if wrong:
            self.clock_named = True
            side = "behind" if delay_s > 0 else "ahead of"
            remedy = "set both by NTP; until then its frames are stamped on arrival"
            _log.warning(
                "camera %s: its clock is %.1f s %s this box's: %s", self.source.name, abs(delay_s), side, remedy
            )
        else:
            way = "its sender reports" if self.by_sender else "arrival"
            _log.info("camera %s: stamped by %s (delay %.0f ms)", self.source.name, way, delay_s * 1e3)


def event_queue() -> deque[Event]:
    """Where cameras leave their events; bounded, should nobody ask for them."""
    return deque(maxlen=_EVENTS_KEPT)


@dataclass(frozen=True, slots=True)
class Pace:
    """How frames are handed on, for all readers of a run."""

    stall_s: float
    lossless: bool
    clock: RecordedClock
    cuda: bool


class Reader(threading.Thread):
    """Reads one source for all cameras that name it: decoded once, cropped for each.

    A thread and not a process: decoding leaves the GIL alone, and 16 x 1080p at once cost about the CPU a frame that
    one does, and the time that 16 processes do (tests/bench/capture.py prints both), without copies between processes.

    `open()` in the caller's thread makes a recording fail before the run; `retry()` shortens the wait of a source that
    is down; `stop()` ends the thread within about 100 ms, whatever FFmpeg waits for (a host name's look-up excepted).
    """

    def __init__(self, cameras: list[Camera], batcher: Batcher, pace: Pace) -> None:
        super().__init__(name=f"capture-{cameras[0].source.name}", daemon=True)
        self.source = cameras[0].source
        self._cameras = cameras
        self._batcher = batcher
        self._pace = pace
        self._video: Video | None = None
        self._handing_on = threading.Lock()  # held while the cameras change, and while a frame or state is handed on
        self.picture: tuple[int, int] | None = None  # size of the source's pictures, px
        self._stop_asked = threading.Event()
        self._wake = threading.Event()
        self._backoff_s = RETRY_S
        self._refused_s = REFUSED_S

    def open(self) -> None:
        """Open the source now.

        Raises:
            CameraError: it cannot be opened, or a camera's crop is not inside its picture.
            CredentialError: its login is absent.
        """
        video = Video(self.source, self._pace.stall_s, cuda=self._pace.cuda)
        try:
            for camera in self._cameras:
                if self.source.recorded:
                    camera.size = camera.cutter.size(video.size)
                camera.rate_hz, camera.announced = video.rate_hz, video.frames
        except CameraError:
            video.close()
            raise
        self._video = video
        self.picture = video.size

    @property
    def cameras(self) -> list[Camera]:
        """Whom it reads for."""
        return self._cameras

    @property
    def over(self) -> bool:
        """Whether it has been started, and has come to its end."""
        return self.ident is not None and not self.is_alive()

    def serve(self, cameras: list[Camera], stall_s: float) -> None:
        """Read for these cameras from now on, all of this source; once this returns, no other gets a frame. With none
        the thread ends by itself. stall_s: as of `Pace`, in full from the next connection on."""
        with self._handing_on:
            self._cameras = cameras
        self._pace = replace(self._pace, stall_s=stall_s)
        if cameras:
            self.source = cameras[0].source
        else:
            self.stop()

    def stop(self) -> None:
        """Ask the thread to end; one that was not started closes what it has open."""
        self._stop_asked.set()
        self._wake.set()
        if self.ident is None and self._video is not None:
            self._video.close()
            self._video = None

    def retry(self) -> None:
        """Try a source that is down at once: its login or address may have changed."""
        self._backoff_s, self._refused_s = RETRY_S, REFUSED_S
        self._wake.set()

    def run(self) -> None:
        with interruptible(self._stop_asked):
            while not self._stop_asked.is_set():
                wait_s = self._attempt()
                if wait_s is None:
                    break
                self._wake.wait(wait_s)
                self._wake.clear()

    def _attempt(self) -> float | None:
        """Read until the source breaks off; the seconds to wait before the next attempt, None: there is none."""
        try:
            if self._video is None:
                self.open()
            assert self._video is not None
            with self._video as video:
                self._read(video)
            if self.source.recorded:
                self._down("ended", "")
                return None
            raise SourceError(f"camera {self.source.name}: the stream ended")
        except RefusedError as error:
            self._down("refused", str(error))
            wait_s, self._refused_s = self._refused_s, min(2 * self._refused_s, REFUSED_MOST_S)
            return wait_s * random.uniform(1.0, 1.1)
        except (CameraError, CredentialError) as error:
            if self.source.recorded:
                for camera in self._cameras:
                    camera.broke_off = True
                self._down("ended", str(error))
                return None
            # Silence is told apart from absence: the connection stood. Attempts that fail in silence change nothing.
            was_up = any(camera.state in ("live", "stalled") for camera in self._cameras[:1])
            self._down("stalled" if was_up and isinstance(error, SilentError) else "offline", str(error))
        except Exception as error:  # one camera's fault must not silence it for good, nor touch the others
            _log.error("camera %s: %s in its reader", self.source.name, type(error).__name__, exc_info=True)
            self._down("offline", type(error).__name__)
        finally:
            self._video = None
        wait_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, RETRY_MOST_S)
        return wait_s * random.uniform(0.5, 1.0)

    def _down(self, state: str, why: str) -> None:
        if self._stop_asked.is_set():
            return
        why = why.removeprefix(f"camera {self.source.name}: ")
        with self._handing_on:
            for camera in self._cameras:
                camera.become(state, why)
                if state == "ended":
                    self._batcher.end(camera.index)
                else:
                    self._batcher.shut(camera.index)

    def _read(self, video: Video) -> None:
        """Hand on the pictures of an open source until it ends.

        Raises:
            SourceError: a stream broke off; SilentError: it sent nothing that could be used for `stall_s`.
        """
        if self.source.recorded:
            self._read_recording(video)
        else:
            self._read_stream(video)

    def _read_recording(self, video: Video) -> None:
        times = RecordedTimes(video.rate_hz)
        clock = self._pace.clock
        read = 0
        for picture in video.pictures():
            if self._stop_asked.is_set():
                return
            read += 1
            if picture is None:
                self._count_bad()
                continue
            at = times.next(picture.time_ns)
            if self._pace.lossless:
                frames = self._frames(video, picture, clock.anchor_ns + at)
                if not self._batcher.put_all([(camera.index, image, stamp) for camera, image, stamp in frames]):
                    return
                continue
            wait_ns = clock.anchor_ns + at - time.monotonic_ns()
            if wait_ns > 0 and self._stop_asked.wait(wait_ns / 1e9):
                return
            clock.slip(-wait_ns)
            self._hand_on(self._frames(video, picture, clock.anchor_ns + at))
        if video.frames and read < ANNOUNCED_SHARE * video.frames:
            raise SourceError(f"camera {self.source.name}: breaks off after {read} of {video.frames} frames")

    def _read_stream(self, video: Video) -> None:
        times = LiveTimes(time.time_ns() - time.monotonic_ns())
        last_good = time.monotonic()
        for picture in video.pictures():
            if self._stop_asked.is_set():
                return
            if picture is None:
                self._count_bad()
                if time.monotonic() - last_good > self._pace.stall_s:
                    raise SilentError(f"camera {self.source.name}: nothing that it sends can be decoded")
                continue
            last_good = time.monotonic()
            pts_ns = picture.time_ns if video.timed else None
            captured_ns, jump = times.next(pts_ns, time.monotonic_ns(), picture.sent_ns)
            for camera in self._cameras:
                camera.live_times = times
                if jump and not camera.clock_named:
                    camera.clock_named = True
                    _log.warning("camera %s: its clock jumped by %+.1f s", camera.source.name, jump.seconds)
                camera.stamped_by(times)
            self._hand_on(self._frames(video, picture, captured_ns))

    def _hand_on(self, frames: list[tuple[Camera, U8, int]]) -> None:
        with self._handing_on:
            for camera, image, captured_ns in frames:
                if camera in self._cameras:  # still: the config may have changed while the picture was made
                    self._batcher.put(camera.index, image, captured_ns)

    def _frames(self, video: Video, picture: Picture, captured_ns: int) -> list[tuple[Camera, U8, int]]:
        """The picture as every camera of this source sees it: (camera, image, captured_ns)."""
        self.picture = picture.size
        frames = []
        for camera in self._cameras:
            try:
                cut = camera.cutter.cut(picture.size)
            except MisfitError as error:
                # Only this camera is out until its picture fits again; others may share the source.
                camera.bad_frames += 1
                if camera.misfit != picture.size:
                    camera.misfit = picture.size
                    self._batcher.shut(camera.index)
                    camera.become("offline", str(error).removeprefix(f"camera {camera.source.name}: "))
                continue
            camera.misfit = None
            camera.size = camera.cutter.size(picture.size)
            if camera.state != "live":
                self._backoff_s, self._refused_s = RETRY_S, REFUSED_S
                camera.become("live", "{}x{} px".format(*picture.size))
            stamp = captured_ns + round(camera.source.clock_offset_ms * 1e6)
            frames.append((camera, video.image(picture, cut), stamp))
        return frames

    def _count_bad(self) -> None:
        for camera in self._cameras:
            camera.bad_frames += 1

"""All cameras of a site together: sources in, batches, states and counts out."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from spoton_edge.capture.batcher import Batcher
from spoton_edge.capture.change import Change, groups
from spoton_edge.capture.reader import Camera, Pace, Reader, event_queue
from spoton_edge.capture.source import Kind, Source
from spoton_edge.capture.stamps import RecordedClock
from spoton_edge.capture.video import SourceError, cuda_problem
from spoton_edge.errors import CameraError, SpotOnError, UsageError
from spoton_edge.types import CameraStatus, Event, FrameBatch

_log = logging.getLogger("spoton_edge.capture")

STOP_S = 1.0
_WRONG_RATE = 0.005


@dataclass(frozen=True, slots=True)
class Format:
    """A camera's frames: (width, height) px after the crop, the nominal rate, and of a recording how many it announces;
    None as long as it is not known."""

    size: tuple[int, int] | None
    rate_hz: float | None
    frames: int | None


class Capture:
    """The cameras of a site.

    Args:
        sources: one for each camera, in the order of the config. Cameras that name the same recording or stream share
            one reader: it is decoded once.
        sync_window_ms: frames captured within it are one batch, and no frame waits longer for others.
        stall_s: a camera without a usable frame for so long is stalled and connected anew.
        pace: `realtime`: recordings run by their own clock, and a slow consumer loses frames as with a camera. `fast`:
            recordings only; as fast as the consumer takes them, every frame exactly once, the same batches every time.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        sync_window_ms: float = 100.0,
        stall_s: float = 5.0,
        pace: Literal["realtime", "fast"] = "realtime",
    ) -> None:
        self._fast = pace == "fast"
        live = [source.name for source in sources if not source.recorded]
        if self._fast and live:
            raise CameraError(f"camera {live[0]}: a live source has a pace of its own; run it in real time")
        self._events = event_queue()
        self._stall_s = stall_s
        self._cameras = [Camera(index, source, self._events) for index, source in enumerate(sources)]
        self._batcher = Batcher(len(sources), round(sync_window_ms * 1e6), lossless=self._fast)
        self._clock = RecordedClock()
        self._opened = False
        self._newest: tuple[int, int] | None = None  # stamp, monotonic time at which it was taken
        self._cuda_works: bool | None = None  # None: nobody has asked yet
        self._readers = [self._reader(group, self._clock) for group in groups(self._cameras).values()]
        self._leaving: list[Reader] = []

    def _reader(self, cameras: list[Camera], clock: RecordedClock) -> Reader:
        cuda = self._may_use_cuda(cameras[0].source)
        return Reader(cameras, self._batcher, Pace(self._stall_s, self._fast, clock, cuda))

    def _may_use_cuda(self, source: Source) -> bool:
        """Whether to decode on the GPU; says once why not where it was asked for."""
        if source.decode == "cpu" or source.kind not in (Kind.STREAM, Kind.FILE):
            return False
        if self._cuda_works is None:
            self._cuda_works = cuda_problem() is None
        if not self._cuda_works and source.decode == "cuda":
            _log.warning(
                "camera %s: decode: cuda is not possible here (%s); decoding on the CPU", source.name, cuda_problem()
            )
        return self._cuda_works

    def open(self) -> None:
        """Open the recordings, so that what is wrong with them is known before anything runs.

        Raises:
            CameraError: a recording is missing or holds no video, or a crop is not inside its picture. A stream that is
                down is no error: it is waited for.
            CredentialError: a source names a login that is absent.
        """
        try:
            for reader in self._readers:
                if reader.source.recorded:
                    reader.open()
                else:
                    reader.source.resolved()
        except SpotOnError as error:
            self.stop()
            if isinstance(error, SourceError):  # a recording does not come back by waiting
                raise CameraError(str(error)) from None
            raise
        self._opened = True

    def start(self) -> None:
        """Start the readers, after `open` if that was not called before."""
        if not self._opened:
            self.open()
        self._clock.anchor_ns = time.monotonic_ns()
        if self._fast:
            for camera in self._cameras:
                self._batcher.open(camera.index)
        for reader in self._readers:
            reader.start()

    def take(self, timeout_s: float | None = None) -> FrameBatch | None:
        """The next batch, at most one frame a camera; None when there is none within the timeout, or `finished`.

        Frames that are not taken in time are replaced by newer ones, and counted as dropped.
        """
        return self._batcher.take(timeout_s, self._taken)

    def _taken(self, newest_ns: int) -> None:
        self._newest = (newest_ns, time.monotonic_ns())

    def __iter__(self) -> Iterator[FrameBatch]:
        """Batches until the recordings have ended or the capture is stopped."""
        while not self.finished:
            batch = self.take(None)
            if batch is not None:
                yield batch

    @property
    def finished(self) -> bool:
        """Whether no batch will come any more."""
        return self._batcher.finished

    @property
    def broke_off(self) -> bool:
        """Whether a recording ended before its end: it was cut, or could not be read on."""
        return any(camera.broke_off for camera in self._cameras)

    def now_ns(self) -> int:
        """The time that ages are counted to: monotonic, and in fast pace the last batch's newest stamp when taken."""
        now = time.monotonic_ns()
        if not self._fast:
            return now
        if self._newest is None:
            return self._clock.anchor_ns
        stamp, taken_ns = self._newest
        return stamp + now - taken_ns

    def plan(self, sources: Sequence[Source], numbers: Sequence[int], stall_s: float) -> Change:
        """What it takes to read these sources instead, each for the camera of a number: a number stands for a name for
        ever, and new ones come last. Opens recordings and changes nothing; see `apply`. Not for two threads at once.

        Raises:
            CameraError: a recording is missing or holds no video, or a crop is not inside its picture.
            UsageError: in fast pace, where every frame is used once, cameras stay as they are.
        """
        if self._fast and [camera.source for camera in self._cameras] != list(sources):
            raise UsageError("a run with --fast keeps its cameras; start it anew")
        return Change(
            kept=self._cameras,
            readers=[reader for reader in self._readers if not reader.over],
            wanted=[Camera(number, source, self._events) for number, source in zip(numbers, sources, strict=True)],
            new_reader=lambda cameras, clock: self._reader(cameras, clock),
            stall_s=stall_s,
        )

    def apply(self, change: Change, sync_window_ms: float) -> None:
        """Read as planned from now on. Between two batches, by the thread that takes them; cannot fail."""
        before = {camera.index: camera for camera in self._cameras}
        for reader in self._readers:
            reader.serve(change.served_by(reader), change.stall_s)
        self._leaving = [reader for reader in (*self._leaving, *self._readers) if not reader.over]
        self._batcher.allow(round(sync_window_ms * 1e6))
        self._batcher.grow(1 + max(camera.index for camera in change.cameras))
        for camera in change.cameras:
            if before.pop(camera.index, None) is not camera:
                self._batcher.renew(camera.index)
        for number in before:
            self._batcher.drop(number)
        self._cameras, self._stall_s = change.cameras, change.stall_s
        self._readers = change.readers
        self._leaving = [reader for reader in self._leaving if reader not in self._readers]
        change.clock.anchor_ns = time.monotonic_ns()
        for reader in change.fresh:
            reader.start()

    def formats(self) -> list[Format]:
        """What is known of every camera's frames, in the order of the config; of recordings all, once started."""
        return [Format(camera.size, camera.rate_hz, camera.announced) for camera in self._cameras]

    def states(self) -> dict[str, str]:
        """Every camera's state, by name."""
        return {camera.source.name: camera.state for camera in self._cameras}

    def status(self) -> list[CameraStatus]:
        """Every camera's health, in the order of the config. Ask once a second: it looks for wrong clocks, too."""
        gained = [self._gained_ms(camera) for camera in self._cameras]
        agreed = _agreed([ms for ms in gained if ms is not None])
        statuses = []
        for camera, own in zip(self._cameras, gained, strict=True):
            frames, dropped, fps = self._batcher.counts(camera.index)
            statuses.append(
                CameraStatus(
                    name=camera.source.name,
                    state=camera.state,
                    fps=fps,
                    frames=frames,
                    dropped=dropped,
                    bad_frames=camera.bad_frames,
                    skew_ms=None if own is None else own - agreed,
                    reconnects=max(camera.connections - 1, 0),
                    age_s=self._batcher.age_s(camera.index),
                )
            )
        self._name_wrong_clocks()
        return statuses

    @staticmethod
    def _gained_ms(camera: Camera) -> float | None:
        times = camera.live_times
        return times.gained_ms if times is not None and camera.state == "live" else None

    def _name_wrong_clocks(self) -> None:
        """One line, once, for a camera whose clock runs at another rate than the others'."""
        rates = {
            camera: rate
            for camera in self._cameras
            if camera.live_times is not None and (rate := camera.live_times.rate_error) is not None
        }
        agreed = _agreed(list(rates.values()))
        for camera, rate in rates.items():
            wrong = rate - agreed
            if abs(wrong) > _WRONG_RATE and not camera.clock_named:
                camera.clock_named = True
                direction = "fast" if wrong > 0 else "slow"
                _log.warning("camera %s: its clock runs %.1f %% %s", camera.source.name, abs(wrong) * 100, direction)

    def events(self) -> list[Event]:
        """The changes of state since the last call: `kind` camera, `detail` the new state."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def retry(self) -> None:
        """Try cameras that are down at once, refused ones too: for a reload."""
        for reader in self._readers:
            reader.retry()

    def stop(self) -> None:
        """End all readers within a second; `take` returns None from now on."""
        self._batcher.close()
        readers = [*self._readers, *self._leaving]
        for reader in readers:
            reader.stop()
        give_up = time.monotonic() + STOP_S
        for reader in readers:
            if reader.ident is None:
                continue
            reader.join(max(0.0, give_up - time.monotonic()))
            if reader.is_alive():
                _log.warning("camera %s: its reader hangs in the system; left behind", reader.source.name)

    def __enter__(self) -> Capture:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _agreed(errors: list[float]) -> float:
    """What most clocks say, this box's own (0) among them: with two cameras it decides which of them is wrong."""
    box = [0.0] * (1 + len(errors) % 2)
    return statistics.median(box + errors)

"""Mailboxes of one place a camera, and the joining of what lies in them into batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from spoton_edge.types import U8, FrameBatch

_FPS_SPAN_NS = 2_000_000_000


class _Box:
    """One camera's place for its newest frame, and what is known of its rhythm."""

    def __init__(self, camera: int, frames: int = 0, dropped: int = 0) -> None:
        self.camera = camera
        self.image: U8 | None = None
        self.captured_ns = 0
        self.frame_id = -1
        self.arrived_ns = 0
        self.frames = frames
        self.dropped = dropped
        self.open = False  # whether a frame is to be expected
        self.ended = False
        self.served = 0  # number of the batch that took the last frame
        self.arrivals: deque[int] = deque(maxlen=64)

    @property
    def period_ns(self) -> int | None:
        if len(self.arrivals) < 2:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) // (len(self.arrivals) - 1)


class Batcher:
    """Joins frames of several cameras that were captured within a window.

    Readers put frames in, each from its own thread; one consumer takes batches. Two ways:

    - `put`: the newest frame wins; one that was not taken is dropped and counted. A batch goes as soon as every camera
      from which a frame is due has one, and at the latest when the window has passed since the first arrived. A camera
      that is closed, or whose rhythm says that it has nothing new within the window, is not waited for.
    - `put_all` (lossless): the reader waits until its places are free, the consumer until every open camera has a
      frame. Batches depend on stamps alone, so the same frames give the same batches.
    """

    def __init__(self, cameras: int, window_ns: int, *, lossless: bool = False) -> None:
        self._boxes = [_Box(camera) for camera in range(cameras)]
        self._window_ns = window_ns
        self._lossless = lossless
        self._changed = threading.Condition()
        self._closed = False
        self._batches = 0

    def open(self, camera: int) -> None:
        """Frames of this camera are to be expected, as they are anyway once the first is in."""
        with self._changed:
            self._boxes[camera].open = True

    def shut(self, camera: int) -> None:
        """No more frames are to be expected until one comes; one that waits is still taken."""
        with self._changed:
            self._boxes[camera].open = False
            self._boxes[camera].arrivals.clear()
            self._changed.notify_all()

    def end(self, camera: int) -> None:
        """No frame will come any more; one that waits is still taken."""
        with self._changed:
            self._boxes[camera].open = False
            self._boxes[camera].ended = True
            self._changed.notify_all()

    def grow(self, cameras: int) -> None:
        """Make places for so many cameras; new ones come last, and have ended until they are renewed."""
        with self._changed:
            for camera in range(len(self._boxes), cameras):
                self._boxes.append(_Box(camera))
                self._boxes[camera].ended = True

    def renew(self, camera: int) -> None:
        """Another source comes to this camera's place; frames go on counting."""
        with self._changed:
            old = self._boxes[camera]
            self._boxes[camera] = _Box(camera, old.frames, old.dropped)

    def drop(self, camera: int) -> None:
        """The camera is gone, and so is a frame that waits."""
        with self._changed:
            self._boxes[camera].image = None
            self._boxes[camera].open = False
            self._boxes[camera].ended = True
            self._changed.notify_all()

    def allow(self, window_ns: int) -> None:
        """Join what lies within another window from now on."""
        with self._changed:
            self._window_ns = window_ns

    @property
    def finished(self) -> bool:
        """Whether it was closed, or every camera has ended and nothing waits."""
        with self._changed:
            return self._closed or all(box.ended and box.image is None for box in self._boxes)

    def close(self) -> None:
        """Give up: whoever waits returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def put(self, camera: int, image: U8, captured_ns: int) -> None:
        """Leave a frame for the consumer; the one that it replaces is counted as dropped."""
        with self._changed:
            box = self._boxes[camera]
            box.dropped += box.image is not None
            self._fill(box, image, captured_ns)
            self._changed.notify_all()

    def put_all(self, frames: Sequence[tuple[int, U8, int]]) -> bool:
        """Wait until the places of all these (camera, image, captured_ns) are free, and fill them; False: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or all(self._boxes[c].image is None for c, _, _ in frames))
            if self._closed:
                return False
            for camera, image, captured_ns in frames:
                self._fill(self._boxes[camera], image, captured_ns)
            self._changed.notify_all()
            return True

    def _fill(self, box: _Box, image: U8, captured_ns: int) -> None:
        box.image, box.captured_ns, box.arrived_ns = image, captured_ns, time.monotonic_ns()
        box.open = True
        box.frame_id = box.frames
        box.frames += 1
        box.arrivals.append(box.arrived_ns)

    def take(self, timeout_s: float | None, taken: Callable[[int], None] | None = None) -> FrameBatch | None:
        """The next batch; None after the timeout or when finished.

        `taken` is called with the newest stamp before anybody else sees the batch.
        """
        give_up = None if timeout_s is None else time.monotonic_ns() + int(timeout_s * 1e9)
        with self._changed:
            while not self._closed:
                waiting = [box for box in self._boxes if box.image is not None]
                if not waiting and all(box.ended for box in self._boxes):
                    return None
                now = time.monotonic_ns()
                due = self._due_ns(waiting, now)
                if due is not None and due <= now:
                    return self._join(waiting, taken)
                until = min((t for t in (due, give_up) if t is not None), default=None)
                if give_up is not None and give_up <= now:
                    return None
                self._changed.wait(None if until is None else (until - now) / 1e9)
        return None

    def _due_ns(self, waiting: list[_Box], now: int) -> int | None:
        """When the waiting frames are to go as a batch; None: not without another frame."""
        if not waiting:
            return None
        missing = [box for box in self._boxes if box.open and box.image is None]
        if self._lossless:
            return None if missing else now
        # A frame waits for others at most the window, and not so long that its camera's next would replace it.
        due = min(box.arrived_ns + min(self._window_ns, 3 * (box.period_ns or self._window_ns) // 4) for box in waiting)
        return due if any(self._expected(box, due, now) for box in missing) else now

    def _expected(self, box: _Box, due: int, now: int) -> bool:
        """Whether a frame of this camera may come in time: it is neither too early for one, nor long overdue."""
        period = box.period_ns
        if period is None:
            return True
        next_ns = box.arrivals[-1] + period
        return next_ns <= due and now <= next_ns + period + self._window_ns

    def _join(self, waiting: list[_Box], taken: Callable[[int], None] | None) -> FrameBatch:
        # In time order where nothing can be lost; else whoever has waited longest to be served comes first, so that no
        # camera starves behind others of the same phase.
        first = min(waiting, key=lambda box: (0 if self._lossless else box.served, box.captured_ns))
        starts = {box.captured_ns for box in waiting if 0 <= first.captured_ns - box.captured_ns <= self._window_ns}
        groups = (
            [box for box in waiting if start <= box.captured_ns <= start + self._window_ns] for start in sorted(starts)
        )
        joined = max(groups, key=len)
        self._batches += 1
        images = [box.image for box in joined if box.image is not None]
        batch = FrameBatch(
            camera=np.array([box.camera for box in joined], np.int16),
            frame_id=np.array([box.frame_id for box in joined], np.int64),
            captured_ns=np.array([box.captured_ns for box in joined], np.int64),
            images=images,
        )
        for box in joined:
            box.image = None
            box.served = self._batches
        if taken:
            taken(int(batch.captured_ns.max()))
        self._changed.notify_all()
        return batch

    def age_s(self, camera: int) -> float | None:
        """How long ago the last frame arrived; None: none has since the source was opened."""
        with self._changed:
            box = self._boxes[camera]
            return (time.monotonic_ns() - box.arrived_ns) / 1e9 if box.arrived_ns else None

    def counts(self, camera: int) -> tuple[int, int, float]:
        """(frames decoded, frames dropped, frames/s over the last two seconds)."""
        with self._changed:
            box = self._boxes[camera]
            horizon = time.monotonic_ns() - _FPS_SPAN_NS
            recent = [at for at in box.arrivals if at >= horizon]
            if len(recent) < 2:
                return box.frames, box.dropped, 0.0
            # A few frames that come in one burst, as at the start of a stream, are no rate.
            shortest = 1 if len(recent) == box.arrivals.maxlen else _FPS_SPAN_NS // 4
            return box.frames, box.dropped, (len(recent) - 1) * 1e9 / max(shortest, recent[-1] - recent[0])

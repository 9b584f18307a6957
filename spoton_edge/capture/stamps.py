"""When a frame was taken: presentation times mapped to the monotonic clock."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

SECOND = 1_000_000_000
_LONGEST_GAP = 10 * SECOND
_SLIP = 1 * SECOND
_LEAST_DELAY, _MOST_DELAY = -SECOND // 50, SECOND // 2  # of a frame on its way from a camera whose clock is right


class RecordedClock:
    """The time of all recorded sources of one run: what was taken together gets equal stamps.

    `anchor_ns` is the monotonic time that stands for the first frame of every recording.
    """

    def __init__(self) -> None:
        self.anchor_ns = 0
        self._lock = threading.Lock()

    def slip(self, late_ns: int) -> None:
        """Move the anchor on when frames come later than the recordings' own clock: a box too slow for its recordings
        slows them down together, instead of letting ages grow without end."""
        if late_ns > _SLIP:
            with self._lock:
                self.anchor_ns += late_ns


class RecordedTimes:
    """Presentation times of one recording, counted from its first frame, in ns, strictly rising.

    Times that are absent, stand still, go back or leap by more than 10 s (damage, or a clock that was set) are replaced
    by one period of the nominal rate.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period = max(1, round(SECOND / rate_hz))
        self._pts: int | None = None
        self._time = -self._period

    def next(self, pts_ns: int | None) -> int:
        step = self._period
        if pts_ns is not None and self._pts is not None and 0 < pts_ns - self._pts <= _LONGEST_GAP:
            step = pts_ns - self._pts
        self._pts = pts_ns if pts_ns is not None else self._pts
        self._time += step
        return self._time


@dataclass(frozen=True, slots=True)
class Jump:
    """A camera's clock was set while it ran; positive: forward."""

    seconds: float


class LiveTimes:
    """Presentation times of one connection mapped to the monotonic clock.

    Where the camera tells what its wall clock showed (RTCP sender reports), that is the time of capture, and includes
    what encoder, network and parser take. It is believed as long as the delays that follow from it are possible:
    between -20 ms and half a second. Beyond, one of the two clocks is set wrong, and nothing but the arrivals is
    trusted for the rest of the connection. The box's own wall clock is looked at once, when the connection is made:
    setting it later moves no stamp.

    Otherwise a jitter filter: the transport delays every frame by at least nothing, so the smallest (arrival -
    presentation) of the last two seconds is the best guess of the offset between both clocks: spacing comes from the
    camera, the offset from the fastest frames. Two buckets of a second give the running minimum in constant memory.

    No stamp lies in the future, and stamps strictly rise: a better guess that lies earlier is approached at half speed.

    Args:
        wall_ns: the box's wall clock minus its monotonic clock.
    """

    def __init__(self, wall_ns: int = 0) -> None:
        self.by_sender: bool | None = None
        """Whether stamps follow the sender's clock; False: it was given up; None: it sent no report yet."""
        self.delay_ms: float | None = None
        """How long the fastest of the last frames were on their way, by the sender's clock."""
        self._wall = wall_ns
        self._pts: int | None = None
        self._arrived = 0
        self._stamp = 0
        self._used: int | None = None  # offset of the last stamp
        self._bucket_end = 0
        self._offsets: list[int] = []  # minimum of the running bucket, then of the one before
        self._envelope: deque[tuple[int, int]] = deque(maxlen=60)  # (time, minimum) of each full bucket
        self._base: int | None = None  # offset from which drift is counted: the first full bucket's
        self._gained = 0  # by jumps, and by drift before them, ns

    def next(self, pts_ns: int | None, arrived_ns: int, sent_ns: int | None = None) -> tuple[int, Jump | None]:
        """The stamp of a frame that was presented at `pts_ns` and arrived at `arrived_ns`, and the jump before it.

        sent_ns: what the sender's wall clock showed at the presentation, where it tells (Unix time).
        """
        jump = None
        stamp = arrived_ns
        if pts_ns is not None:
            jump = self._jump(pts_ns, arrived_ns)
            offset = self._offset(arrived_ns - pts_ns, arrived_ns)
            if sent_ns is not None:
                offset = self._sender_offset(sent_ns - self._wall - pts_ns, offset)
            if self._used is not None and self._pts is not None:
                offset = max(offset, self._used - max(0, pts_ns - self._pts) // 2)
            self._used = offset
            stamp = min(pts_ns + offset, arrived_ns)
            self._pts, self._arrived = pts_ns, arrived_ns
        self._stamp = max(stamp, self._stamp + 1)
        return self._stamp, jump

    def _sender_offset(self, by_sender: int, by_arrival: int) -> int:
        """The sender's offset as long as it is possible, else the arrivals'."""
        self.delay_ms = (by_arrival - by_sender) / 1e6
        self.by_sender = self.by_sender is not False and _LEAST_DELAY <= by_arrival - by_sender <= _MOST_DELAY
        return by_sender if self.by_sender else by_arrival

    def _jump(self, pts: int, arrived: int) -> Jump | None:
        if self._pts is None:
            return None
        # Late frames (a stalled network) come with small steps of presentation time: only the other way is a jump.
        ahead = (pts - self._pts) - (arrived - self._arrived)
        if ahead <= SECOND and pts - self._pts > -SECOND:
            return None
        self._gained += ahead + self._drifted
        self._base = self._used = None
        self._offsets.clear()
        self._envelope.clear()
        return Jump(ahead / SECOND)

    def _offset(self, sample: int, now: int) -> int:
        if not self._offsets:
            self._offsets = [sample, sample]
            self._bucket_end = now + SECOND
        elif now >= self._bucket_end:
            self._envelope.append((now, self._offsets[0]))
            self._base = self._offsets[0] if self._base is None else self._base
            self._offsets = [sample, self._offsets[0]]
            self._bucket_end = now + SECOND
        else:
            self._offsets[0] = min(self._offsets[0], sample)
        return min(self._offsets)

    @property
    def gained_ms(self) -> float | None:
        """How far the camera's clock has run ahead of this box's since the connection was made; None: not known."""
        if self._base is None and not self._gained:
            return None
        return (self._gained + self._drifted) / 1e6

    @property
    def _drifted(self) -> int:
        return 0 if self._base is None else self._base - min(self._offsets)

    @property
    def rate_error(self) -> float | None:
        """How much faster than this box's clock the camera's runs (0.02: 2 %); None before 10 s without a jump."""
        if len(self._envelope) < 10:
            return None
        when, offset = np.array(self._envelope, np.float64).T
        return float(-np.polyfit(when - when[0], offset - offset[0], 1)[0])

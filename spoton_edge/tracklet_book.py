"""Which track each tracklet has been so far: the memory between steps on the side of the cameras."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge._ext import tracklets as _ext
from spoton_edge.types import I2, I4, I8, Tracklets

ENTRY = np.dtype(  # as in ext/records.pxd
    [
        ("key", np.int64),
        ("uid", np.int64),  # of the track it is part of, -1: none
        ("camera", np.int16),
        ("first_ns", np.int64),
        ("seen_ns", np.int64),
        ("embedded_ns", np.int64),  # 0: never
        ("disagreed", np.int32),  # steps in a row that it lay beyond reason from its track
        ("box", np.float32, 4),
        ("score", np.float32),
        ("fresh", np.bool_),  # seen in its camera's latest batch
        ("margin", np.float64),  # IoU with its own last box, less that with the nearest other tracklet's
    ],
    align=True,
)


def keys_of(tracklets: Tracklets) -> I8:
    """One number for camera and track id, (T,)."""
    return np.asarray((tracklets.camera.astype(np.int64) << 48) | tracklets.track_id)


class TrackletBook:
    """Tracklets by key, ascending; those unseen for `forget_s` go, so the book is bounded by what cameras can see."""

    def __init__(self, forget_s: float = 10.0) -> None:
        self.entry: NDArray[np.void] = np.zeros(0, ENTRY)
        self._forget_ns = int(forget_s * 1e9)

    def rows_of(self, keys: I8) -> I4:
        """Where the keys (n,) stand, -1: nowhere."""
        if not len(self.entry):
            return np.full(len(keys), -1, np.int32)
        row = np.minimum(np.searchsorted(self.entry["key"], keys), len(self.entry) - 1)
        return np.where(self.entry["key"][row] == keys, row, -1).astype(np.int32)

    def enter(self, tracklets: Tracklets, keys: I8, batch_cameras: I2, now_ns: int) -> I4:
        """Bring the tracklets of this step in, in ascending order of their keys (T,), new ones included; their rows."""
        after, row = np.empty(len(self.entry) + len(tracklets), ENTRY), np.empty(len(tracklets), np.int32)
        count = _ext.enter(
            self.entry,
            keys,
            tracklets.camera,
            tracklets.captured_ns,
            tracklets.xyxy,
            tracklets.score,
            np.ascontiguousarray(batch_cameras),
            now_ns,
            self._forget_ns,
            after,
            row,
        )
        self.entry = after[:count]
        return row

    def rename(self, uid: int, new: int) -> None:
        """The tracklets of one track are another's from now on; -1: nobody's."""
        self.entry["uid"][self.entry["uid"] == uid] = new

"""Which track each tracklet has been so far: the memory between steps on the side of the cameras."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge._ext import ground
from spoton_edge.types import F8, I4, I8, Tracklets

ENTRY = np.dtype(
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
    ]
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

    def enter(self, keys: I8, tracklets: Tracklets, batch_cameras: NDArray[np.int16], now_ns: int) -> I4:
        """Bring the tracklets of this step in, new ones included; their rows (T,)."""
        row = self.rows_of(keys)
        margin = self._margin(row, tracklets)
        new = np.flatnonzero(row < 0)
        stale = now_ns - self.entry["seen_ns"] > self._forget_ns
        if len(new) or stale.any():
            fresh = np.zeros(len(new), ENTRY)
            fresh["key"], fresh["uid"], fresh["camera"] = keys[new], -1, tracklets.camera[new]
            fresh["first_ns"] = tracklets.captured_ns[new]
            stale[row[row >= 0]] = False
            entry = np.concatenate([self.entry[~stale], fresh])
            self.entry = entry[np.argsort(entry["key"], kind="stable")]
            row = self.rows_of(keys)
        in_batch = np.zeros(
            max(int(batch_cameras.max(initial=0)), int(self.entry["camera"].max(initial=0))) + 1, np.bool_
        )
        in_batch[batch_cameras] = True
        self.entry["fresh"] &= ~in_batch[self.entry["camera"]]
        self.entry["seen_ns"][row] = tracklets.captured_ns
        self.entry["margin"][row] = margin
        self.entry["box"][row] = tracklets.xyxy
        self.entry["score"][row] = tracklets.score
        return row

    def rename(self, uid: int, new: int) -> None:
        """The tracklets of one track are another's from now on; -1: nobody's."""
        self.entry["uid"][self.entry["uid"] == uid] = new

    def _margin(self, row: I4, tracklets: Tracklets) -> F8:
        """How much better each box continues its own tracklet than another of its camera, (T,)."""
        before = np.flatnonzero(self.entry["fresh"])
        place = np.full(len(self.entry) + 1, -1, np.int32)
        place[before] = np.arange(len(before), dtype=np.int32)
        margin = np.empty(len(row))
        ground.link_margin(
            tracklets.camera,
            tracklets.xyxy,
            place[row],
            np.ascontiguousarray(self.entry["camera"][before]),
            np.ascontiguousarray(self.entry["box"][before]),
            margin,
        )
        return margin

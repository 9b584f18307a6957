"""Which tracklets to embed in a step: those whose looks would change something, within a budget of crops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spoton_edge._ext import ground
from spoton_edge.global_track import TrackTable
from spoton_edge.tracklet_book import TrackletBook, keys_of
from spoton_edge.types import F8, I8, Bool, FootPoint, Tracklets, TrackState

NEVER = np.iinfo(np.int64).max


class CropSchedule:
    """New, stale, ambiguous, or coming or going; never overlapping another person, and never cut by the picture."""

    def __init__(self, crops_per_batch: int, refresh_s: float, image_sizes: F8) -> None:
        """image_sizes (C, 2) px, NaN where not known."""
        self.budget_hits = 0
        self._crops_per_batch = crops_per_batch
        self._refresh_ns = int(refresh_s * 1e9)
        self._sizes = image_sizes

    def wanted(
        self, tracklets: Tracklets, book: TrackletBook, table: TrackTable, in_crowd: Callable[[I8], Bool]
    ) -> Bool:
        """Which tracklets (T,) to embed now."""
        share = np.empty(len(tracklets), np.float32)
        ground.crowding(np.ascontiguousarray(tracklets.camera), np.ascontiguousarray(tracklets.xyxy), share)
        usable = (share <= 0.2) & (tracklets.state == TrackState.VISIBLE)
        usable &= (tracklets.foot != FootPoint.CUT) & (tracklets.foot != FootPoint.OUTSIDE)
        keys = keys_of(tracklets)
        at = book.rows_of(keys)
        known = np.flatnonzero(at >= 0).astype(np.int32)
        age_ns, uid = np.full(len(tracklets), NEVER), np.full(len(tracklets), -1, np.int64)
        embedded_ns = book.entry["embedded_ns"][at[known]]
        age_ns[known] = np.where(embedded_ns > 0, tracklets.captured_ns[known] - embedded_ns, NEVER)
        uid[known] = book.entry["uid"][at[known]]
        row = table.rows_of(uid)
        unnamed = row < 0
        unnamed[~unnamed] = table.record["global_id"][row[~unnamed]] < 0
        ambiguous = in_crowd(uid)
        urgent = (unnamed | ambiguous | self._at_edge(tracklets)) & (age_ns > self._refresh_ns // 4)
        want: Bool = usable & (urgent | (age_ns > self._refresh_ns))
        if want.sum() > self._crops_per_batch:
            self.budget_hits += 1
            # The urgent first, then the longest not looked at; ties by key, so that the order of cameras is no matter.
            order = np.lexsort((keys, -age_ns, ~urgent, ~want))
            want[order[self._crops_per_batch :]] = False
        return want

    def _at_edge(self, tracklets: Tracklets) -> Bool:
        """Which boxes (T,) are within a tenth of the picture's edge: people come and go there, perhaps at once."""
        size = self._sizes[tracklets.camera]
        low, high = tracklets.xyxy[:, :2], size - tracklets.xyxy[:, 2:]
        return np.asarray(((low < 0.1 * size) | (high < 0.1 * size)).any(axis=1))

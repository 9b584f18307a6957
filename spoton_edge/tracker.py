"""Track: detections of a batch -> tracklets, one compiled call without the GIL for all its cameras.

ByteTrack (Zhang et al., ECCV 2022), equal to the published implementation; see `spoton_edge._ext.bytetrack`. A camera
that is not in the batch stands still: frames are counted, as in the paper, not seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

from spoton_edge._ext.bytetrack import BatchTracks, MultiCameraTracker
from spoton_edge.types import Detections, FrameBatch, Tracklets


class Numbers(TypedDict, total=False):
    """What may be said about how a `Tracker` matches."""

    high_score: float
    low_score: float
    new_score: float
    match_limit: float
    second_match_limit: float
    new_match_limit: float
    duplicate_limit: float
    buffer_s: float
    pascal_iou: bool


class Tracker:
    """Follows people within each camera; ids count from 1 per camera and are never reused.

    Scores and limits are ByteTrack's, named: detections above `high_score` are matched first at 1 - IoU * score below
    `match_limit`; those above `low_score` then keep a track alive at 1 - IoU below `second_match_limit`; one of at
    least `new_score` starts a track, which is shown once a second detection confirms it within `new_match_limit`. A
    lost track is kept for `buffer_s` seconds at the camera's frame rate. A lost and a tracked one nearer than
    `duplicate_limit` are one. `pascal_iou` counts a box from x1 to x2 as x2 - x1 + 1 wide, as published. What is not
    given is as published. Raises ValueError for a number that makes no sense.
    """

    def __init__(self, frame_rates: Sequence[float], *, threads: int = 1, **numbers: Unpack[Numbers]) -> None:
        self._cameras = MultiCameraTracker(frame_rates, threads=threads, **numbers)

    def update(self, batch: FrameBatch, detections: Detections) -> Tracklets:
        """The people seen in this batch, state VISIBLE; `ground` and `embedding` are left empty.

        Raises ValueError, with no camera changed, for detections that are not finite boxes or do not fit the batch.
        """
        return _tracklets(batch, self._cameras.update(detections, batch.camera))

    def predict(self, batch: FrameBatch) -> Tracklets:
        """Where the people last seen are expected in this batch, which no detector looked at; state COASTING."""
        return _tracklets(batch, self._cameras.predict(batch.camera))

    def reconfigure(self, frame_rates: Sequence[float], **numbers: Unpack[Numbers]) -> None:
        """Takes new numbers, and cameras in addition, which come last; tracks and ids stay. Raises as at the making,
        and is then as it was."""
        self._cameras.reconfigure(frame_rates, **numbers)

    def forget(self, camera: int) -> None:
        """Starts a camera anew, as when it was replaced or moved; its ids go on counting."""
        self._cameras.forget(camera)


def _tracklets(batch: FrameBatch, tracks: BatchTracks) -> Tracklets:
    counts = tracks.offsets[1:] - tracks.offsets[:-1]
    return Tracklets.tracked(
        camera=tracks.camera,
        track_id=tracks.track_id,
        state=tracks.state,
        xyxy=tracks.xyxy,
        score=tracks.score,
        captured_ns=batch.captured_ns.repeat(counts),
    )

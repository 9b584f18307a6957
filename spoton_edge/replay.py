"""Replay: the pipeline from tracking on, fed with recorded detections instead of pixels.

Capture time is frame / frame rate and nothing looks at the clock, so that the same recording gives the same bytes.
`ground.csv` has a row for each person who is visible or coasting and has a place on the ground, `views.csv` one for
each box that was matched to a detection in its frame.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from spoton_edge import config, models
from spoton_edge.assembly import build_associator, build_ground, build_tracker, statistics_of
from spoton_edge.association import Associator
from spoton_edge.explain import Chronicle
from spoton_edge.gallery import Appearance
from spoton_edge.ground_plane import Site as Ground
from spoton_edge.recording import CameraDetections, Recording, detection_of
from spoton_edge.tracker import Tracker
from spoton_edge.types import F4, Detections, Event, FrameBatch, GlobalTracks, Tracklets, TrackState

log = logging.getLogger(__name__)

GROUND_HEADER = "frame,id,x,y\n"
VIEWS_HEADER = "frame,camera,id,track_id,x1,y1,x2,y2,score\n"


@dataclass(slots=True)
class Replay:
    """One run over a recording: the stages between the detector and the publisher, in the pipeline's order."""

    cameras: Sequence[str]
    recording: Recording
    frame_rate: float
    tracker: Tracker
    ground: Ground
    associator: Associator

    def captured_ns(self, frame: int) -> int:
        """When a frame was captured, by its number alone."""
        return round(frame * 1e9 / self.frame_rate)

    def steps(self) -> Iterator[tuple[int, Tracklets, GlobalTracks, list[Event]]]:
        """Every frame from the smallest to the largest number: its tracklets, the people and what happened."""
        feeds = [_Feed(camera) for camera in self.recording.cameras]
        described = any(camera.embedding is not None for camera in self.recording.cameras)
        for frame in range(self.recording.first, self.recording.last + 1):
            batch, detections, rows = self._batch(feeds, frame)
            tracklets = self.ground.project(self.tracker.update(batch, detections))
            if described:
                tracklets = self._embed(tracklets, detections, rows)
            tracks, events = self.associator.update(batch.camera, batch.captured_ns, tracklets)
            yield frame, tracklets, tracks, events

    def _batch(self, feeds: Sequence[_Feed], frame: int) -> tuple[FrameBatch, Detections, list[slice]]:
        rows = [feed.take(frame) for feed in feeds]
        found = self.recording.cameras
        batch = FrameBatch(
            camera=np.arange(len(feeds), dtype=np.int16),
            frame_id=np.full(len(feeds), frame, np.int64),
            captured_ns=np.full(len(feeds), self.captured_ns(frame), np.int64),
            images=[],
        )
        detections = Detections(
            np.concatenate([camera.xyxy[row] for camera, row in zip(found, rows, strict=True)]),
            np.concatenate([camera.score[row] for camera, row in zip(found, rows, strict=True)]),
            np.cumsum([0, *(row.stop - row.start for row in rows)], dtype=np.int32),
        )
        return batch, detections, rows

    def _embed(self, tracklets: Tracklets, detections: Detections, rows: Sequence[slice]) -> Tracklets:
        """Give the tracklets that the associator wants described the recorded vectors of their detections."""
        wanted = self.associator.wanted(tracklets)
        width = next(c.embedding.shape[1] for c in self.recording.cameras if c.embedding is not None)
        embedding = np.zeros((len(tracklets), width), np.float32)
        for index, (camera, row) in enumerate(zip(self.recording.cameras, rows, strict=True)):
            mine = np.flatnonzero(wanted & (tracklets.camera == index))
            if camera.embedding is None or not len(mine):
                continue
            low, high = detections.offsets[index : index + 2]
            source = detection_of(
                tracklets.xyxy[mine], tracklets.score[mine], detections.xyxy[low:high], detections.score[low:high]
            )
            embedding[mine[source >= 0]] = camera.embedding[row][source[source >= 0]]
        return replace(tracklets, embedding=embedding, has_embedding=np.asarray(embedding.any(axis=1)))


class _Feed:
    """Hands out a camera's rows frame by frame, in ascending order."""

    def __init__(self, camera: CameraDetections) -> None:
        self._frame = camera.frame
        self._next = 0

    def take(self, frame: int) -> slice:
        """The rows of a frame that is later than all before."""
        start = self._next
        while self._next < len(self._frame) and self._frame[self._next] == frame:
            self._next += 1
        return slice(start, self._next)


def build(site: config.Site, recording: Recording, frame_rate: float) -> Replay:
    """The stages of a site's config, set up for a recording; no source is opened and no network is loaded."""
    pictures = [_picture(camera, recording, index) for index, camera in enumerate(site.cameras)]
    ground = build_ground(site, pictures)
    vectors = [camera.embedding for camera in recording.cameras if camera.embedding is not None]
    return Replay(
        cameras=[camera.name for camera in site.cameras],
        recording=recording,
        frame_rate=frame_rate,
        tracker=build_tracker(site, [frame_rate] * len(site.cameras)),
        ground=ground,
        associator=build_associator(site, ground, _statistics(site, vectors), pictures=pictures),
    )


def _picture(camera: config.Camera, recording: Recording, index: int) -> tuple[int, int] | None:
    """Width and height in px: the recording's, the crop's, or at the worst what holds all boxes."""
    if (told := recording.image_sizes.get(camera.name)) is not None:
        return told
    if camera.crop is not None:
        return camera.crop[2] - camera.crop[0], camera.crop[3] - camera.crop[1]
    if camera.ground is None or camera.ground.image_size is not None:
        return None
    found = recording.cameras[index].xyxy
    size = (math.ceil(found[:, 2].max(initial=1)), math.ceil(found[:, 3].max(initial=1)))
    log.warning(
        "camera %s: the size of its picture is not known, taking %d x %d, which holds all its boxes; set "
        "cameras[%d].ground.image_size", camera.name, *size, index,
    )  # fmt: skip
    return size


def _statistics(site: config.Site, vectors: Sequence[F4]) -> Appearance | None:
    """The statistics of `reid.model` where the recorded vectors can be its; else they are learned."""
    if site.reid.model is None or not vectors:
        return None
    spec = models.manifest_for(site.reid.model, "reid").embedding
    if spec is not None and spec.dimension != vectors[0].shape[1]:
        log.warning(
            "the recording's embeddings have %d numbers, those of %s %d: learning how far they can be trusted",
            vectors[0].shape[1], site.reid.model, spec.dimension,
        )  # fmt: skip
        return None
    return statistics_of(site)


def write_rows(
    frame: int, tracklets: Tracklets, tracks: GlobalTracks, cameras: Sequence[str], ground: TextIO, views: TextIO
) -> None:
    """The rows of one frame: places of people in sight or coasting, boxes of tracklets that a detection confirmed."""
    shown = (tracks.state != TrackState.LOST) & np.isfinite(tracks.xy).all(axis=1)
    for identity, (x, y) in zip(tracks.global_id[shown].tolist(), tracks.xy[shown].tolist(), strict=True):
        ground.write(f"{frame},{identity},{x:.4f},{y:.4f}\n")
    seen = tracklets.state == TrackState.VISIBLE
    fresh = set(zip(tracklets.camera[seen].tolist(), tracklets.track_id[seen].tolist(), strict=True))
    of = tracks.views
    columns = (of.row.tolist(), of.camera.tolist(), of.track_id.tolist(), of.xyxy.tolist(), of.score.tolist())
    for row, camera, track_id, (x1, y1, x2, y2), score in zip(*columns, strict=True):
        if (camera, track_id) in fresh:
            box = f"{x1:.3f},{y1:.3f},{x2:.3f},{y2:.3f}"
            views.write(f"{frame},{cameras[camera]},{tracks.global_id[row]},{track_id},{box},{score:.6f}\n")


def run(
    site: config.Site,
    recording: Recording,
    out: Path,
    *,
    frame_rate: float,
    chronicle: Chronicle | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Replay a recording and write `ground.csv` and `views.csv` into the folder `out`; how many ids there were.

    chronicle: told of all that happens to its ids. progress: called with the frames done. Files of an earlier run are
    replaced at the end, so that a run that is stopped leaves them as they were.
    """
    out.mkdir(parents=True, exist_ok=True)
    job = build(site, recording, frame_rate)
    ids: set[int] = set()
    with ExitStack() as stack:
        ground = stack.enter_context(_replacing(out / "ground.csv"))
        views = stack.enter_context(_replacing(out / "views.csv"))
        ground.write(GROUND_HEADER)
        views.write(VIEWS_HEADER)
        for frame, tracklets, tracks, events in job.steps():
            write_rows(frame, tracklets, tracks, job.cameras, ground, views)
            ids.update(tracks.global_id.tolist())
            if chronicle is not None:
                decisions = {identity: job.associator.explain(identity) for identity in chronicle.lives}
                chronicle.note(job.captured_ns(frame), tracks, events, decisions)
            if progress is not None:
                progress(frame - recording.first + 1)
    return len(ids)


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A file that takes the place of `path` once it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="ascii", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

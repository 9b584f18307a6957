"""The way of a frame: capture -> batch -> detect -> track -> project -> embed -> associate -> publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spoton_edge.association import Associator
from spoton_edge.detector import Detector
from spoton_edge.embedder import Embedder
from spoton_edge.explain import Annals
from spoton_edge.ground_plane import Site
from spoton_edge.metrics import StageTimer
from spoton_edge.publisher import Publisher
from spoton_edge.recorder import Recorder
from spoton_edge.tracker import Tracker
from spoton_edge.types import Event, FrameBatch, GlobalTracks
from spoton_edge.wire import Encoder

STAGES = ("detect", "track", "project", "embed", "associate", "publish")


@dataclass(slots=True)
class Pipeline:
    """Every stage after the batch, in order; one thread at a time."""

    detector: Detector
    tracker: Tracker
    ground: Site
    embedder: Embedder
    associator: Associator
    encoder: Encoder
    publisher: Publisher
    timer: StageTimer
    detect_every: int = 1  # between detections the tracker predicts
    batches: int = 0
    recorder: Recorder = field(default_factory=Recorder)
    annals: Annals = field(default_factory=Annals)
    events: Sequence[Event] = ()  # of the last step

    def step(self, batch: FrameBatch, age_ms: float) -> GlobalTracks:
        """Take a batch from pixels to published global tracks. age_ms: of its oldest frame when it was taken."""
        detecting = self.batches % self.detect_every == 0
        if detecting:
            with self.timer("detect"):
                detections = self.detector.detect(batch)
        with self.timer("track"):
            tracklets = self.tracker.update(batch, detections) if detecting else self.tracker.predict(batch)
        with self.timer("project"):
            tracklets = self.ground.project(tracklets)
        with self.timer("embed"):
            tracklets = self.embedder.embed(batch, tracklets, self.associator.wanted(tracklets))
        if detecting:
            self.recorder.take(batch, detections, tracklets)
        with self.timer("associate"):
            tracks, events = self.associator.update(batch.camera, batch.captured_ns, tracklets)
        with self.timer("publish"):
            self.publisher.publish(self.encoder.tracks(tracks, batch.camera, batch.captured_ns, age_ms))
            for event in events:
                self.publisher.publish(self.encoder.event(event))
        self.annals.note(events)
        self.events = events
        self.batches += 1
        return tracks

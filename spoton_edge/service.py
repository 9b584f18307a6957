"""The daemon: builds every part from the config and runs the frames through until it is told to stop."""

from __future__ import annotations

import hashlib
import logging
import secrets
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spoton_edge import config, models
from spoton_edge.assembly import build_associator, build_plane, build_tracker, statistics_of
from spoton_edge.capture import Capture, Format, Source
from spoton_edge.detector import Detector
from spoton_edge.embedder import Embedder, ReidNetwork, StripeHistogram
from spoton_edge.engine import load_engine
from spoton_edge.errors import ExitCode
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.metrics import StageTimer
from spoton_edge.pipeline import STAGES, Pipeline
from spoton_edge.publisher import Publisher
from spoton_edge.types import (
    CameraDescription,
    LinkDescription,
    MapDescription,
    Polygon,
    SiteDescription,
    Status,
    TrackState,
)
from spoton_edge.wire import Encoder

log = logging.getLogger(__name__)

STATUS_S = 1.0
IDLE_S = 0.1  # how long the loop waits for a batch before it looks at the clock and the signals
USUAL_RATE_HZ = 15.0  # of a camera that is not yet known


class Service:
    """One site's daemon, from config to published tracks. `run` once."""

    def __init__(self, site: config.Site, *, cache: Path, fast: bool = False) -> None:
        """Build everything; nothing runs yet, but endpoints are bound and recordings are open.

        cache: folder of models; fast: take recordings as fast as possible, every frame once. Raises SpotOnError of the
        kind that tells what is wrong: a missing model, an endpoint in use, a source that cannot be read.
        """
        self._site = site
        self._stop = threading.Event()
        self.capture = build_capture(site, fast=fast)
        self.capture.open()
        try:
            self.pipeline = build_pipeline(site, self.capture, cache)
        except BaseException:
            self.capture.stop()
            raise

    def run(self, *, wait_for_subscriber_s: float = 0.0) -> ExitCode:
        """Run until the recordings end or a signal (SIGTERM, SIGINT) or `stop` comes. A recording that breaks off is
        used as far as it goes; the exit code then says that it was not whole."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        publisher, encoder = self.pipeline.publisher, self.pipeline.encoder
        try:
            log.info("publishing on %s", ", ".join(publisher.endpoints))
            publisher.publish(encoder.site(describe(self._site, self.capture.formats(), self.pipeline.ground.planes)))
            self._await_subscriber(wait_for_subscriber_s)
            self.capture.start()
            self._loop()
        finally:
            self.capture.stop()
            publisher.close()
        return ExitCode.UNEXPECTED if self.capture.broke_off else ExitCode.STOPPED

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; from any thread or signal handler."""
        self._stop.set()

    def _loop(self) -> None:
        rate = RateMeter()
        people = 0
        next_status = time.monotonic()
        while not self._stop.is_set() and not self.capture.finished:
            batch = self.capture.take(IDLE_S)
            if batch is not None:
                age_ms = (self.capture.now_ns() - int(batch.captured_ns.min())) / 1e6
                tracks = self.pipeline.step(batch, age_ms)
                people = int(np.count_nonzero(tracks.state != TrackState.LOST))
                rate.count()
            for event in self.capture.events():
                self.pipeline.publisher.publish(self.pipeline.encoder.event(event))
            if time.monotonic() >= next_status:
                next_status += STATUS_S
                self._publish_status(rate, people)
        self._publish_status(rate, people)

    def _publish_status(self, rate: RateMeter, people: int) -> None:
        pipeline = self.pipeline
        status = Status(self.capture.status(), pipeline.batches, rate.hz(), people, pipeline.timer.summary())
        pipeline.publisher.publish(pipeline.encoder.status(status, pipeline.publisher.delivery()))

    def _await_subscriber(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not self._stop.is_set():
            if self.pipeline.publisher.delivery().subscriptions:
                return
            self._stop.wait(0.02)


class RateMeter:
    """Batches a second over the last few seconds."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._times: list[float] = []

    def count(self) -> None:
        """One batch is done."""
        self._times.append(time.monotonic())

    def hz(self) -> float:
        """0 where fewer than two batches lie in the window."""
        horizon = time.monotonic() - self._window_s
        self._times = [moment for moment in self._times if moment >= horizon]
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)


def source_of(camera: config.Camera) -> Source:
    """What capture has to know of a camera."""
    return Source(
        name=camera.name,
        url=camera.source,
        crop=camera.crop,
        decode=camera.decode,
        transport=camera.transport,
        clock_offset_ms=camera.clock_offset_ms,
    )


def build_capture(site: config.Site, *, fast: bool) -> Capture:
    """The cameras' readers."""
    return Capture(
        [source_of(camera) for camera in site.cameras],
        sync_window_ms=site.runtime.sync_window_ms,
        stall_s=site.runtime.stall_s,
        pace="fast" if fast else "realtime",
    )


def build_pipeline(site: config.Site, capture: Capture, cache: Path) -> Pipeline:
    """Everything after the batch. The capture must be open, because its frames' sizes and rates are needed."""
    formats = capture.formats()
    planes = [build_plane(index, camera, formats[index].size) for index, camera in enumerate(site.cameras)]
    appearance = build_appearance(site, cache)
    encoder = Encoder(
        site.site,
        site.box,
        secrets.token_hex(8),
        [camera.name for camera in site.cameras],
        encoding=site.publish.format,
        boxes=site.publish.boxes,
    )
    detector = build_detector(site, cache)
    return Pipeline(
        detector=detector,
        tracker=build_tracker(site, [frames.rate_hz or USUAL_RATE_HZ for frames in formats]),
        ground=Site(planes),
        embedder=Embedder(appearance),
        associator=build_associator(site, planes, statistics_of(site)),
        encoder=encoder,
        publisher=Publisher(encoder, site.publish.bind, snapshot=site.publish.snapshot),
        timer=StageTimer(STAGES),
        detect_every=site.detector.every,
    )


def build_detector(site: config.Site, cache: Path) -> Detector:
    """The person detector of `detector.model`, sized for all cameras at once."""
    manifest = models.manifest_for(site.detector.model, "detector")
    engine = load_engine(
        models.resolve(site.detector.model, cache), backend=site.runtime.backend, threads=site.runtime.threads or 0
    )
    assert manifest.detector is not None
    assert manifest.input is not None
    return Detector(
        engine,
        input_size=site.detector.input,
        min_score=site.detector.min_score,
        max_iou=manifest.detector.nms_iou,
        person=manifest.detector.person_class,
        pad=manifest.input.pad,
        max_batch=len(site.cameras),
    )


def build_appearance(site: config.Site, cache: Path) -> ReidNetwork | StripeHistogram:
    """What describes people: the network of `reid.model`, or colour histograms."""
    name = site.reid.model
    if name is None:
        log.info("appearance: colour histograms (no reid.model is set)")
        return StripeHistogram()
    manifest = models.manifest_for(name, "reid")
    log.info("appearance: %s", name)
    assert manifest.input is not None
    engine = load_engine(models.resolve(name, cache), backend=site.runtime.backend, threads=site.runtime.threads or 0)
    return ReidNetwork(
        engine,
        input_size=manifest.input.size,
        mean=manifest.input.mean,
        std=manifest.input.std,
        colour=manifest.input.colour,
        crops_per_batch=site.reid.crops_per_batch,
    )


def describe(site: config.Site, formats: Sequence[Format], planes: Sequence[GroundPlane | None]) -> SiteDescription:
    """What subscribers need to draw the site."""
    floor = site.ground
    zones: dict[str, dict[str, Polygon]] = {camera.name: {} for camera in site.cameras}
    sizes = {
        camera.name: plane.image_size if plane else frames.size
        for camera, frames, plane in zip(site.cameras, formats, planes, strict=True)
    }
    links = []
    for camera in site.cameras:
        for handoff in camera.handoff:
            zone = name_zone(handoff.zone, sizes[camera.name], zones[camera.name])
            enter = name_zone(handoff.enter, sizes[handoff.to], zones[handoff.to])
            links.append(LinkDescription(camera.name, handoff.to, handoff.travel_s, zone, enter))
    cameras = [
        CameraDescription(
            camera.name,
            sizes[camera.name],
            plane.homography if plane else None,
            plane.footprint().tolist() if plane else (),
            zones[camera.name],
        )
        for camera, plane in zip(site.cameras, planes, strict=True)
    ]
    picture = hashlib.sha256(Path(floor.map).read_bytes()).hexdigest() if floor.map else None
    return SiteDescription(cameras, links, MapDescription(floor.pixels_per_metre, floor.origin_px, floor.axes, picture))


def name_zone(zone: str | Polygon | None, size: tuple[int, int] | None, zones: dict[str, Polygon]) -> str | None:
    """The name under which a zone of a handoff, a quadrant or a polygon in px, stands in its camera's `zones`; adds it
    where it is new. None: there is no zone, or a quadrant of a picture whose size is not known."""
    if zone is None:
        return None
    if not isinstance(zone, str):
        corners = [(float(u), float(v)) for u, v in zone]
        known = next((name for name, polygon in zones.items() if polygon == corners), None)
        name = known or f"zone_{len(zones) + 1}"
    elif size is None:
        return None
    else:
        width, height = size[0] / 2, size[1] / 2
        left, top = width * ("right" in zone), height * ("lower" in zone)
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
        name = zone
    zones[name] = corners
    return name

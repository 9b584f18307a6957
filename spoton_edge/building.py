"""Builds what one daemon runs, from its config: the cameras' readers, the pipeline, the control socket."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spoton_edge import config, keys
from spoton_edge.assembly import build_associator, build_ground, build_tracker, statistics_of
from spoton_edge.capture import Capture, Source
from spoton_edge.control import ControlServer, Handler
from spoton_edge.embedder import Embedder
from spoton_edge.endpoints import control_endpoint, preview_endpoint
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import MissingExtraError, PublishError
from spoton_edge.metrics import StageTimer
from spoton_edge.networks import build_appearance, build_detector
from spoton_edge.pipeline import STAGES, Pipeline
from spoton_edge.preview import Preview
from spoton_edge.publisher import Publisher
from spoton_edge.wire import Encoder

if TYPE_CHECKING:
    from spoton_edge.exposition import MetricsServer

log = logging.getLogger(__name__)

USUAL_RATE_HZ = 15.0  # of a camera that is not yet known


def source_of(camera: config.Camera) -> Source:
    """What capture has to know of a camera."""
    return Source(
        name=camera.name,
        url=camera.source,
        crop=camera.crop,
        decode=camera.decode,
        transport=camera.transport,
        clock_offset_ms=camera.clock_offset_ms,
        size=camera.ground.image_size if camera.ground else None,
    )


def build_capture(site: config.Site, *, fast: bool) -> Capture:
    """The cameras' readers."""
    return Capture(
        [source_of(camera) for camera in site.cameras],
        sync_window_ms=site.runtime.sync_window_ms,
        stall_s=site.runtime.stall_s,
        pace="fast" if fast else "realtime",
    )


def build_encoder(site: config.Site, cameras: Sequence[str], run: str) -> Encoder:
    """What writes messages; cameras: names by number; run: random, new at each start."""
    return Encoder(site.site, site.box, run, cameras, encoding=site.publish.format, boxes=site.publish.boxes)


def build_pipeline(
    site: config.Site, run: str, capture: Capture, cache: Path, backends: Backends, next_id: Callable[[], int]
) -> Pipeline:
    """Everything after the batch. The capture must be open, because its frames' sizes and rates are needed; next_id:
    gives ids that were never given before."""
    formats = capture.formats()
    pictures = [frames.size for frames in formats]
    ground = build_ground(site, pictures)
    appearance = build_appearance(site, cache, backends)
    encoder = build_encoder(site, [camera.name for camera in site.cameras], run)
    detector = build_detector(site, cache, backends)
    return Pipeline(
        detector=detector,
        tracker=build_tracker(site, [frames.rate_hz or USUAL_RATE_HZ for frames in formats]),
        ground=ground,
        embedder=Embedder(appearance),
        associator=build_associator(site, ground, statistics_of(site), next_id, pictures),
        encoder=encoder,
        publisher=Publisher(
            encoder,
            site.publish.bind,
            snapshot=site.publish.snapshot,
            picture=Path(site.ground.map).read_bytes() if site.ground.map else None,
            keys=keys.load(Path(site.publish.keys)) if site.publish.keys else None,
        ),
        timer=StageTimer(STAGES),
        detect_every=site.detector.every,
    )


def build_control(site: config.Site, handlers: Mapping[str, Handler]) -> ControlServer | None:
    """The control socket; None where the usual one cannot be had and no other is named: then nobody can ask."""
    try:
        return ControlServer(control_endpoint(site.runtime.control, site.site), handlers)
    except PublishError as error:
        if site.runtime.control != "auto":
            raise
        log.warning("no control socket, `spoton-edge status` will not work: %s", error)
        return None


def build_metrics(site: config.Site) -> MetricsServer | None:
    """Where Prometheus reads; None where the site wants none. Raises MissingExtraError where its library is absent."""
    if not site.runtime.metrics:
        return None
    try:
        from spoton_edge.exposition import MetricsServer
    except ImportError as error:
        raise MissingExtraError(f"runtime.metrics needs {error.name}: pip install 'spoton-edge[edge]'") from None
    return MetricsServer(site.runtime.metrics)


def build_preview(site: config.Site, encoder: Encoder) -> Preview | None:
    """The small pictures; None where the site wants none."""
    endpoint = preview_endpoint(site.publish.preview, site.site)
    if endpoint is None:
        return None
    known = keys.load(Path(site.publish.keys)) if site.publish.keys else None
    return Preview(encoder, [camera.name for camera in site.cameras], endpoint, keys=known)

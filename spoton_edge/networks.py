"""Which networks a site needs, and for what batches: what the service loads and `spoton-edge engines` builds."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from spoton_edge import config, models
from spoton_edge.detector import Detector
from spoton_edge.embedder import ReidNetwork, StripeHistogram
from spoton_edge.engine import Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.engine.builder import STUCK_S
from spoton_edge.manifests import Manifest
from spoton_edge.systemd import Systemd

log = logging.getLogger(__name__)

ROOM_FOR_CAMERAS = 4  # an engine takes at least so many, so that a camera can be added without building anew


@dataclass(frozen=True, slots=True)
class Need:
    """A network that a site uses."""

    key: str  # of the config
    model: Path
    manifest: Manifest
    work: Workload


def detector_need(site: config.Site, cache: Path) -> Need:
    """The person detector, for all cameras at once. Raises ModelError where it is not to be had."""
    manifest = models.manifest_for(site.detector.model, "detector")
    cameras = len(site.cameras)
    largest = max(ROOM_FOR_CAMERAS, 1 << (cameras - 1).bit_length())
    path = models.resolve(site.detector.model, cache)
    return Need("detector.model", path, manifest, Workload(site.detector.input, cameras, largest))


def reid_need(site: config.Site, cache: Path) -> Need | None:
    """The Re-ID network; None where colour histograms are used. Raises ModelError where it is not to be had."""
    name = site.reid.model
    if name is None:
        return None
    manifest = models.manifest_for(name, "reid")
    assert manifest.input is not None
    largest = site.reid.crops_per_batch
    path = models.resolve(name, cache)
    return Need("reid.model", path, manifest, Workload(manifest.input.size, max(1, largest // 4), largest))


def needs(site: config.Site, cache: Path) -> list[Need]:
    """Every network of a site. Raises ModelError where one is not to be had."""
    reid = reid_need(site, cache)
    return [detector_need(site, cache), *([reid] if reid else [])]


def build_detector(site: config.Site, cache: Path, backends: Backends) -> Detector:
    """The person detector of `detector.model`, sized for all cameras at once."""
    need = detector_need(site, cache)
    return Detector(
        backends.load(need.model, need.work),
        need.manifest,
        input_size=site.detector.input,
        min_score=site.detector.min_score,
        max_batch=need.work.largest,
    )


def build_appearance(site: config.Site, cache: Path, backends: Backends) -> ReidNetwork | StripeHistogram:
    """What describes people: the network of `reid.model`, or colour histograms."""
    need = reid_need(site, cache)
    if need is None:
        log.info("appearance: colour histograms (no reid.model is set)")
        return StripeHistogram()
    log.info("appearance: %s", site.reid.model)
    assert need.manifest.input is not None
    return ReidNetwork(
        backends.load(need.model, need.work),
        input_size=need.work.size,
        mean=need.manifest.input.mean,
        std=need.manifest.input.std,
        colour=need.manifest.input.colour,
        crops_per_batch=site.reid.crops_per_batch,
    )


class BuildLog:
    """Tells how far the build of an engine is: the log, at most every few seconds; systemd, whose limit for the start
    is put off; and once the daemon serves, whoever reads `line`, as its status line has other things to tell too."""

    EVERY_S = 5.0

    def __init__(self, systemd: Systemd) -> None:
        self._systemd = systemd
        self._next = time.monotonic() + self.EVERY_S
        self.serving = False
        self.line = ""  # empty: nothing is being built

    def __call__(self, phase: str, done: float, left_s: float | None) -> None:
        """See engine.builder.Progress; from any thread."""
        left = f", about {left_s:.0f} s left" if left_s else ""
        self.line = f"building an engine: {100 * done:.0f} %{left}, {phase}" if done < 1 else ""
        if not self.serving:
            self._systemd.extend(STUCK_S + self.EVERY_S)  # a builder that is silent for longer is killed
            self._systemd.status(self.line or "loading networks")
        if self.line and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.EVERY_S
            log.info("%s", self.line)

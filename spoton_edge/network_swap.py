"""Changes the networks of a running daemon: the old one serves until the new one is built and has run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from spoton_edge import config
from spoton_edge.assembly import statistics_of
from spoton_edge.detector import Detector
from spoton_edge.embedder import Appearance, Embedder
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import SpotOnError
from spoton_edge.networks import Need, build_appearance, build_detector, detector_need, reid_need
from spoton_edge.pipeline import Pipeline

log = logging.getLogger(__name__)

# Section of the config -> its keys that make another network.
KEYS = {"detector": ("model", "input"), "reid": ("model",)}


@dataclass(slots=True)
class _Preparation:
    """A network that is being made ready; the engine is built in a thread, because that may take minutes."""

    site: config.Site
    need: Need | None
    done: Future[None]
    cancelled: threading.Event


@dataclass(frozen=True, slots=True)
class Ready:
    """A network that has run, and the site that asked for it."""

    section: str  # of the config
    site: config.Site
    network: Detector | Appearance

    def apply(self, pipeline: Pipeline, min_score: float) -> None:
        """Put it in the old one's place, between two batches. Vectors of two models cannot be compared: with another
        Re-ID network what people look like is forgotten and seen anew, and their ids stay."""
        if isinstance(self.network, Detector):
            self.network.retune(min_score)
            pipeline.detector = self.network
        else:
            pipeline.embedder = Embedder(self.network)
            pipeline.associator.forget_looks(statistics_of(self.site))
            pipeline.recorder.forget_vectors()


class NetworkSwap:
    """Prepares the networks that a reload asks for. `ask` and `take` belong to the loop's thread."""

    def __init__(self, backends: Backends, cache: Path) -> None:
        """backends: those that run the daemon's networks; cache: folder of models and engines."""
        self._backends, self._cache = backends, cache
        self._asked: dict[str, _Preparation] = {}
        self._failures: dict[str, str] = {}

    def ask(self, site: config.Site, sections: Collection[str]) -> None:
        """Start preparing the networks of these sections (of KEYS) of `site`, but for those that are being prepared
        already; what else was asked for before is forgotten. Raises ModelError at once where a model is not to be
        had."""
        needs = {section: self.need(site, section) for section in sections}
        for section, asked in list(self._asked.items()):
            if section not in needs or needs[section] != asked.need:
                self._forget(section)
        self._failures.clear()
        for section, need in needs.items():
            if section not in self._asked:
                self._asked[section] = self._prepare(site, need)

    def need(self, site: config.Site, section: str) -> Need | None:
        """The network of a section; None: it needs none. Raises ModelError where it is not to be had."""
        return detector_need(site, self._cache) if section == "detector" else reid_need(site, self._cache)

    def take(self) -> Ready | None:
        """A network that is ready and has run; None where there is none yet, or one has failed, which is logged."""
        for section, asked in self._asked.items():
            if asked.done.done():
                del self._asked[section]
                return self._open(section, asked)
        return None

    def notes(self, building: str) -> list[str]:
        """What the operator should know: what has failed, and what is being prepared; building: how far that is."""
        waiting = [f"{section}.model is being prepared" for section in self._asked]
        return [*self._failures.values(), *waiting, *([building] if waiting and building else [])]

    def close(self) -> None:
        """Give up what is being prepared; its builder is killed."""
        for section in list(self._asked):
            self._forget(section)

    def _prepare(self, site: config.Site, need: Need | None) -> _Preparation:
        asked = _Preparation(site, need, Future(), threading.Event())
        if need is None:
            asked.done.set_result(None)
            return asked

        def prepare() -> None:
            try:
                self._backends.prepare(need.model, need.work, asked.cancelled.is_set)
            except Exception as error:
                asked.done.set_exception(error)
            else:
                asked.done.set_result(None)

        threading.Thread(target=prepare, name="network-swap", daemon=True).start()
        return asked

    def _open(self, section: str, asked: _Preparation) -> Ready | None:
        build = build_detector if section == "detector" else build_appearance
        name = getattr(asked.site, section).model
        try:
            asked.done.result()
            network = build(asked.site, self._cache, self._backends)
        except SpotOnError as error:
            self._failures[section] = f"{section}.model {name} is not taken, the old one stays: {error}"
            log.error("%s", self._failures[section])
            return None
        log.info("%s.model: %s runs from now on", section, name)
        return Ready(section, asked.site, network)

    def _forget(self, section: str) -> None:
        self._asked.pop(section).cancelled.set()

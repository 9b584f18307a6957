"""Changes the detector of a running daemon: the old network serves until the new one is built and has run."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from spoton_edge import config
from spoton_edge.detector import Detector
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import SpotOnError
from spoton_edge.networks import Need, build_detector, detector_need

log = logging.getLogger(__name__)

KEYS = ("model", "input")  # of the section `detector`: what makes another detector


@dataclass(slots=True)
class _Preparation:
    """A network that is being made ready; the engine is built in a thread, because that may take minutes."""

    site: config.Site
    done: Future[None]
    cancelled: threading.Event


class NetworkSwap:
    """Prepares the detector that a reload asks for. `ask` and `take` belong to the loop's thread."""

    def __init__(self, backends: Backends, cache: Path) -> None:
        """backends: those that run the daemon's networks; cache: folder of models and engines."""
        self._backends, self._cache = backends, cache
        self._asked: _Preparation | None = None

    def ask(self, site: config.Site) -> None:
        """Start preparing the detector of `site`, unless it is the one that is being prepared; another that was asked
        for before is forgotten. Raises ModelError at once where its model is not to be had."""
        need = self.need(site)
        if self._asked is not None and self.need(self._asked.site) == need:
            return
        self.close()
        asked = self._asked = _Preparation(site, Future(), threading.Event())

        def prepare() -> None:
            try:
                self._backends.prepare(need.model, need.work, asked.cancelled.is_set)
            except Exception as error:
                asked.done.set_exception(error)
            else:
                asked.done.set_result(None)

        threading.Thread(target=prepare, name="network-swap", daemon=True).start()

    def need(self, site: config.Site) -> Need:
        """The network that a site's detector is. Raises ModelError where it is not to be had."""
        return detector_need(site, self._cache)

    def take(self) -> tuple[config.Site, Detector] | None:
        """The new detector and the site that asked for it, once it is ready and has run; None before, and where it
        failed, which is logged."""
        asked = self._asked
        if asked is None or not asked.done.done():
            return None
        self._asked = None
        try:
            asked.done.result()
            detector = build_detector(asked.site, self._cache, self._backends)
        except SpotOnError as error:
            log.error("detector.model %s is not taken, the old one stays: %s", asked.site.detector.model, error)
            return None
        log.info("detector.model: %s runs from now on", asked.site.detector.model)
        return asked.site, detector

    def close(self) -> None:
        """Give up what is being prepared; its builder is killed."""
        if self._asked is not None:
            self._asked.cancelled.set()
            self._asked = None

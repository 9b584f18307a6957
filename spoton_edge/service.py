"""The daemon: builds every part from the config and runs the frames through until it is told to stop."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from spoton_edge import config, explain, keys, network_swap
from spoton_edge.building import build_capture, build_control, build_pipeline, build_preview
from spoton_edge.control import Handler
from spoton_edge.description import describe
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import ExitCode, NotReadyError, SpotOnError, UsageError
from spoton_edge.health import Health
from spoton_edge.ids import Ids
from spoton_edge.logs import PEOPLE
from spoton_edge.network_swap import NetworkSwap
from spoton_edge.networks import BuildLog
from spoton_edge.state import ids_file
from spoton_edge.systemd import Systemd
from spoton_edge.types import Event, Status, TrackState

log = logging.getLogger(__name__)
people_log = logging.getLogger(PEOPLE)

STATUS_S = 1.0
IDLE_S = 0.1  # how long the loop waits for a batch before it looks at the clock and the signals
ANSWER_S = 10.0  # a question to the loop waits no longer
Answer = TypeVar("Answer")


class Service:
    """One site's daemon, from config to published tracks. `run` once."""

    def __init__(self, path: Path, site: config.Site, *, cache: Path, state: Path, fast: bool = False) -> None:
        """Build everything; nothing runs yet, but endpoints are bound and recordings are open.

        path: the site's file, for reloads; site: what was read from it; cache: folder of models; state: folder of what
        outlives the process; fast: take recordings as fast as possible, every frame once. Raises SpotOnError of the
        kind that tells what is wrong: a missing model, an endpoint in use, a source that cannot be read.
        """
        self._path = path
        self._site = site
        self._systemd = Systemd()
        self._stop = threading.Event()
        self._reload_asked = threading.Event()
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._status: Status | None = None
        if threading.current_thread() is threading.main_thread():
            # From here on: a reload that is asked for while the networks are loaded is done after that.
            signal.signal(signal.SIGHUP, lambda *_: self._reload_asked.set())
        with ExitStack() as undo:
            self._systemd.status("opening cameras")
            self.capture = build_capture(site, fast=fast)
            undo.callback(self.capture.stop)
            self.capture.open()
            ids = Ids(ids_file(state, site.site))
            undo.callback(ids.close)
            self._systemd.status("loading networks")
            threads = site.runtime.threads or 0
            backends = Backends(site.runtime.backend, cache, threads=threads, progress=BuildLog(self._systemd))
            self.pipeline = build_pipeline(site, self.capture, cache, backends, ids.take)
            self._swap = NetworkSwap(backends, cache)
            undo.callback(self._swap.close)
            undo.callback(self.pipeline.publisher.close)
            self._preview = build_preview(site, self.pipeline.encoder)
            if self._preview:
                undo.callback(self._preview.close)
            verbs: dict[str, Handler] = {
                "status": self.status,
                "explain": self.explain,
                "record": self.record,
                "reload": self.reload,
            }
            self._control = build_control(site, verbs)
            if self._control:
                undo.callback(self._control.close)
            self._undo = undo.pop_all()

    def run(self, *, wait_for_subscriber_s: float = 0.0) -> ExitCode:
        """Run until the recordings end or a signal (SIGTERM, SIGINT) or `stop` comes; SIGHUP reloads. A recording that
        breaks off is used as far as it goes; the exit code then says that it was not whole."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        publisher, encoder = self.pipeline.publisher, self.pipeline.encoder
        with self._undo:
            log.info("publishing on %s", ", ".join(publisher.endpoints))
            sizes = [frames.size for frames in self.capture.formats()]
            publisher.publish(encoder.site(describe(self._site, sizes, self.pipeline.ground.planes)))
            self._await_subscriber(wait_for_subscriber_s)
            self.capture.start()
            self._loop()
            self._systemd.stopping()
        return ExitCode.UNEXPECTED if self.capture.broke_off else ExitCode.STOPPED

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; from any thread or signal handler."""
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """How the daemon fares, as in the `status` message. From any thread."""
        if self._status is None:
            raise NotReadyError("the daemon is starting; ask again in a moment")
        return asdict(self._status)

    def explain(self, id: int) -> list[str]:  # noqa: A002  the name that callers of the control socket write
        """Why a person has its id, a line for each decision. From any thread but the loop's."""
        return self._in_loop(lambda: self._explain(id))

    def record(self, after: int | None, embeddings: bool) -> dict[str, Any]:
        """What was detected from batch `after` on; see `Recorder.since`. From any thread but the loop's."""
        return self._in_loop(lambda: self._record(after, embeddings))

    def reload(self) -> list[str]:
        """Read the config again; what changed, a line each. A faulty one is refused whole. From any thread but the
        loop's."""
        return self._in_loop(self._reload)

    def _loop(self) -> None:
        rate = RateMeter()
        people = 0
        next_status = time.monotonic()
        health = Health(self._systemd, self._site.runtime.stall_s)
        while not self._stop.is_set() and not self.capture.finished:
            batch = self.capture.take(IDLE_S)
            if batch is not None:
                age_ms = (self.capture.now_ns() - int(batch.captured_ns.min())) / 1e6
                tracks = self.pipeline.step(batch, age_ms)
                people = int(np.count_nonzero(tracks.state != TrackState.LOST))
                rate.count()
                if self._preview:
                    self._preview.offer(batch)
                for event in self.pipeline.events:
                    self._log_person(event)
            for event in self.capture.events():
                self.pipeline.publisher.publish(self.pipeline.encoder.event(event))
            health.beat(self.capture.states(), self.pipeline.publisher.tracks_sent)
            if time.monotonic() >= next_status:
                next_status = time.monotonic() + STATUS_S
                self._publish_status(rate, people)
                if health.ready and self._status:
                    health.tell(self._status)
            self._answer()
        self._publish_status(rate, people)

    def _publish_status(self, rate: RateMeter, people: int) -> None:
        pipeline = self.pipeline
        cameras = [
            replace(camera, unplaced=why)
            for camera, why in zip(self.capture.status(), pipeline.ground.unplaced, strict=True)
        ]
        self._status = Status(cameras, pipeline.batches, rate.hz(), people, pipeline.timer.summary())
        pipeline.publisher.publish(pipeline.encoder.status(self._status, pipeline.publisher.delivery()))

    def _log_person(self, event: Event) -> None:
        names = [camera.name for camera in self._site.cameras]
        fields: dict[str, object] = {"SPOTON_EVENT": event.kind, "SPOTON_GLOBAL_ID": event.global_id}
        if event.camera >= 0:
            fields["SPOTON_CAMERA"] = names[event.camera]
        people_log.info("person %d: %s", event.global_id, explain.sentence(event, names), extra=fields)

    def _await_subscriber(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not self._stop.is_set():
            if self.pipeline.publisher.delivery().subscriptions:
                return
            self._stop.wait(0.02)

    def _in_loop(self, work: Callable[[], Answer]) -> Answer:
        """Have the loop do something between two batches, where nothing else touches the stages."""
        answer: Future[Answer] = Future()
        self._tasks.put(Task(work, answer))
        try:
            return answer.result(timeout=ANSWER_S)
        except TimeoutError:
            raise NotReadyError("the daemon is busy; ask again in a moment") from None

    def _take_detector(self) -> None:
        """Swap in the detector that a reload has asked for, once it is ready."""
        taken = self._swap.take()
        if taken is not None:
            site, self.pipeline.detector = taken
            kept = self._site.detector
            section = kept.model_copy(update={key: getattr(site.detector, key) for key in network_swap.KEYS})
            self._site = self._site.model_copy(update={"detector": section})

    def _answer(self) -> None:
        self._take_detector()
        if self._reload_asked.is_set():
            self._reload_asked.clear()
            self._reload_and_log()
        while not self._tasks.empty():
            task = self._tasks.get()
            try:
                task.answer.set_result(task.work())
            except SpotOnError as error:
                task.answer.set_exception(error)

    def _explain(self, identity: int) -> list[str]:
        life = self.pipeline.annals.of(identity, self.pipeline.associator.explain(identity))
        if not life:
            raise UsageError(f"there is no person {identity}")
        now = self.capture.now_ns()
        names = [camera.name for camera in self._site.cameras]
        return explain.life(identity, life, names, lambda captured_ns: f"{(now - captured_ns) / 1e9:.1f} s ago")

    def _record(self, after: int | None, embeddings: bool) -> dict[str, Any]:
        cameras = [
            {"name": camera.name, "image_size": frames.size}
            for camera, frames in zip(self._site.cameras, self.capture.formats(), strict=True)
        ]
        return {"site": self._site.site, "cameras": cameras, **self.pipeline.recorder.since(after, embeddings)}

    def _reload(self) -> list[str]:
        site = config.load(self._path)
        swapped = {f"detector.{key}" for key in network_swap.KEYS}
        lines = [
            f"{key}: changed; takes effect {'when the new network is ready' if key in swapped else 'on restart'}"
            for key in changed_keys(self._site, site)
        ]
        if network_swap.asks_for_another(self._site, site):
            self._swap.ask(site)
        else:
            self._swap.close()
        if self._site.publish.keys is not None:
            known = keys.load(Path(self._site.publish.keys))
            self.pipeline.publisher.admit(known)
            if self._preview:
                self._preview.admit(known)
            lines.append("publish.keys: read again")
        self.capture.retry()
        return lines

    def _reload_and_log(self) -> None:
        try:
            for line in self._reload():
                log.info("reload: %s", line)
        except SpotOnError as error:
            for line in str(error).splitlines():
                log.error("reload refused, the config stays as it was: %s", line)


@dataclass(frozen=True, slots=True)
class Task:
    """Work for the loop, and where its answer goes."""

    work: Callable[[], Any]
    answer: Future[Any]


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


def changed_keys(before: config.Site, after: config.Site) -> list[str]:
    """The keys of sections and cameras whose values differ, as the site file spells them."""
    keys = []
    cameras = {camera.name: camera for camera in before.cameras}
    for name in type(before).model_fields:
        if name == "cameras":
            keys += [f"cameras ({camera.name})" for camera in after.cameras if cameras.pop(camera.name, None) != camera]
            keys += [f"cameras ({name})" for name in cameras]
        elif isinstance(section := getattr(before, name), BaseModel):
            other = getattr(after, name)
            keys += [
                f"{name}.{key}" for key in type(section).model_fields if getattr(section, key) != getattr(other, key)
            ]
        elif section != getattr(after, name):
            keys.append(name)
    return keys

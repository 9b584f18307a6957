"""The daemon: builds every part from the config and runs the frames through until it is told to stop."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel

from spoton_edge import config, explain, keys, network_swap
from spoton_edge.assembly import build_associator, build_ground, build_tracker, statistics_of
from spoton_edge.capture import Capture, Source
from spoton_edge.control import FOLDER, ControlServer, Handler
from spoton_edge.description import describe
from spoton_edge.embedder import Embedder
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import ExitCode, NotReadyError, PublishError, SpotOnError, StateError, UsageError
from spoton_edge.ids import Ids
from spoton_edge.metrics import StageTimer
from spoton_edge.network_swap import NetworkSwap
from spoton_edge.networks import BuildLog, build_appearance, build_detector
from spoton_edge.pipeline import STAGES, Pipeline
from spoton_edge.publisher import Publisher
from spoton_edge.types import Status, TrackState
from spoton_edge.wire import Encoder

log = logging.getLogger(__name__)

STATUS_S = 1.0
IDLE_S = 0.1  # how long the loop waits for a batch before it looks at the clock and the signals
USUAL_RATE_HZ = 15.0  # of a camera that is not yet known
ANSWER_S = 10.0  # a question to the loop waits no longer
SERVICE_STATE = Path("/var/lib/spoton-edge")
Answer = TypeVar("Answer")


class Service:
    """One site's daemon, from config to published tracks. `run` once."""

    def __init__(self, path: Path, *, cache: Path, state: Path, fast: bool = False) -> None:
        """Build everything; nothing runs yet, but endpoints are bound and recordings are open.

        path: the site's file; cache: folder of models; state: folder of what outlives the process; fast: take
        recordings as fast as possible, every frame once. Raises SpotOnError of the kind that tells what is wrong: a
        faulty config, a missing model, an endpoint in use, a source that cannot be read.
        """
        self._path = path
        self._site = site = config.load(path)
        self._stop = threading.Event()
        self._reload_asked = threading.Event()
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._status: Status | None = None
        with ExitStack() as undo:
            self.capture = build_capture(site, fast=fast)
            undo.callback(self.capture.stop)
            self.capture.open()
            ids = Ids(ids_file(state, site.site))
            undo.callback(ids.close)
            threads = site.runtime.threads or 0
            backends = Backends(site.runtime.backend, cache, threads=threads, progress=BuildLog())
            self.pipeline = build_pipeline(site, self.capture, cache, backends, ids.take)
            self._swap = NetworkSwap(backends, cache)
            undo.callback(self._swap.close)
            undo.callback(self.pipeline.publisher.close)
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
            signal.signal(signal.SIGHUP, lambda *_: self._reload_asked.set())
        publisher, encoder = self.pipeline.publisher, self.pipeline.encoder
        with self._undo:
            log.info("publishing on %s", ", ".join(publisher.endpoints))
            sizes = [frames.size for frames in self.capture.formats()]
            publisher.publish(encoder.site(describe(self._site, sizes, self.pipeline.ground.planes)))
            self._await_subscriber(wait_for_subscriber_s)
            self.capture.start()
            self._loop()
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
                next_status = time.monotonic() + STATUS_S
                self._publish_status(rate, people)
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
            self.pipeline.publisher.admit(keys.load(Path(self._site.publish.keys)))
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


def build_pipeline(
    site: config.Site, capture: Capture, cache: Path, backends: Backends, next_id: Callable[[], int]
) -> Pipeline:
    """Everything after the batch. The capture must be open, because its frames' sizes and rates are needed; next_id:
    gives ids that were never given before."""
    formats = capture.formats()
    ground = build_ground(site, [frames.size for frames in formats])
    appearance = build_appearance(site, cache, backends)
    encoder = Encoder(
        site.site,
        site.box,
        secrets.token_hex(8),
        [camera.name for camera in site.cameras],
        encoding=site.publish.format,
        boxes=site.publish.boxes,
    )
    detector = build_detector(site, cache, backends)
    return Pipeline(
        detector=detector,
        tracker=build_tracker(site, [frames.rate_hz or USUAL_RATE_HZ for frames in formats]),
        ground=ground,
        embedder=Embedder(appearance),
        associator=build_associator(site, ground, statistics_of(site), next_id),
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
    if site.runtime.control != "auto":
        return ControlServer(site.runtime.control, handlers)
    try:
        return ControlServer(f"ipc://{FOLDER}/{site.site}.sock", handlers)
    except PublishError as error:
        log.warning("no control socket, `spoton-edge status` will not work: %s", error)
        return None


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of what outlives the process: $STATE_DIRECTORY (systemd's), as root the service's, else the user's."""
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SERVICE_STATE
    own = environment.get("XDG_STATE_HOME", "")
    return (Path(own) if own.startswith("/") else Path.home() / ".local" / "state") / "spoton-edge"


def ids_file(state: Path, site: str) -> Path:
    """Where a site's reserved ids stand; makes the folder."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{state}: cannot be made ({error.strerror}); give another --state DIR") from None
    return state / f"{site}.ids.json"


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

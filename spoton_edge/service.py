"""The daemon: builds every part from the config and runs the frames through until it is told to stop."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spoton_edge import config, explain
from spoton_edge.building import build_capture, build_control, build_metrics, build_pipeline, build_preview
from spoton_edge.control import Handler
from spoton_edge.description import describe
from spoton_edge.engine.backends import Backends
from spoton_edge.errands import Errands
from spoton_edge.errors import ExitCode, NotReadyError, SpotOnError, UsageError
from spoton_edge.file_watch import FileWatch
from spoton_edge.health import Health
from spoton_edge.ids import Ids
from spoton_edge.logs import PEOPLE
from spoton_edge.metrics import Figures, Tally
from spoton_edge.network_swap import NetworkSwap
from spoton_edge.networks import BuildLog
from spoton_edge.people_file import PeopleFile
from spoton_edge.reloading import SWAPPED, Running, Update, kept, prepare
from spoton_edge.state import ids_file, people_file
from spoton_edge.systemd import Systemd
from spoton_edge.types import Event, Status

log = logging.getLogger(__name__)
people_log = logging.getLogger(PEOPLE)

STATUS_S = 1.0
IDLE_S = 0.1  # how long the loop waits for a batch before it looks at the clock and the signals
COUNTED = ("detector", "engine", "reid", "handoffs", "gallery", "reid_budget_hits", "gpu_memory")  # of the figures
DETAIL = 1000  # characters of an event's detail


class Service:
    """One site's daemon, from config to published tracks. `run` once."""

    def __init__(self, path: Path, site: config.Site, *, cache: Path, state: Path, fast: bool = False) -> None:
        """Build everything; nothing runs yet, but endpoints are bound and recordings are open.

        path: the site's file, for reloads; site: what was read from it; cache: folder of models; state: folder of what
        outlives the process; fast: take recordings as fast as possible, every frame once. Raises SpotOnError of the
        kind that tells what is wrong: a missing model, an endpoint in use, a source that cannot be read.
        """
        self._path = path
        self._systemd = Systemd()
        self._health = Health(self._systemd, site.runtime.stall_s)
        self._stop = threading.Event()
        self._reload_asked = threading.Event()
        self._reloading = threading.Lock()
        self._refusal = ""  # why the last reload was refused
        self._restart: list[str] = []  # keys that wait for a restart
        self._watch = FileWatch(config.files(path))
        self._errands = Errands()
        self._tally = Tally()
        self._figures: Figures | None = None
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
            self._builds = BuildLog(self._systemd)
            self._backends = backends = Backends(site.runtime.backend, cache, threads=threads, progress=self._builds)
            run = secrets.token_hex(8)
            self.pipeline = build_pipeline(site, run, self.capture, cache, backends, ids.take)
            self._people = None if fast else PeopleFile(people_file(state, site.site))
            if self._people:
                undo.callback(self._people.close)
                known = self._people.read([camera.name for camera in site.cameras])
                given = [person for person in known if person.global_id < ids.first]
                self.pipeline.associator.resume(given, site.identity.resume_s)
            self._swap = NetworkSwap(backends, cache)
            undo.callback(self._swap.close)
            undo.callback(self.pipeline.publisher.close)
            self._preview = build_preview(site, self.pipeline.encoder)
            if self._preview:
                undo.callback(self._preview.close)
            self._builds.serving = True
            self._running = Running.start(site, run, self.capture, self.pipeline)
            verbs: dict[str, Handler] = {
                "status": self.status,
                "explain": self.explain,
                "looks": self.looks,
                "record": self.record,
                "reload": self.reload,
            }
            self._metrics = build_metrics(site)
            if self._metrics:
                undo.callback(self._metrics.close)
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
            publisher.publish(encoder.site(describe(self._running.site, sizes, self.pipeline.ground.planes)))
            self._await_subscriber(wait_for_subscriber_s)
            self.capture.start()
            try:
                self._loop()
            finally:
                self._systemd.stopping()
                self._errands.close()
        return ExitCode.UNEXPECTED if self.capture.broke_off else ExitCode.STOPPED

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand; from any thread or signal handler."""
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """How the daemon fares: as in the `status` message, and what else is counted. From any thread."""
        figures = self._figures
        if figures is None:
            raise NotReadyError("the daemon is starting; ask again in a moment")
        counted = {key: getattr(figures, key) for key in COUNTED}
        config_now = {
            "file": str(self._path),
            "sha256": hashlib.sha256(config.effective(self._running.site).encode()).hexdigest(),
            "needs_restart": self._restart,
            "refused": self._refusal or None,
        }
        return {**asdict(figures.status), **counted, "config": config_now}

    def explain(self, id: int) -> list[str]:  # noqa: A002  the name that callers of the control socket write
        """Why a person has its id, a line for each decision. From any thread but the loop's."""
        return self._errands.ask(lambda: self._explain(id))

    def looks(self, after_ns: int) -> dict[str, Any]:
        """What people look like who were looked at after a time, and how tall people were read since this was asked
        last, for the uplink. From any thread but the loop's.

        Raises:
            UsageError: the site file does not share appearance.
        """
        if not self._running.site.uplink.share_appearance:
            raise UsageError("looks are not shared: uplink.share_appearance is false")
        found, tall_m = self._errands.ask(
            lambda: (self.pipeline.associator.looks_since(after_ns), self.pipeline.associator.readings())
        )
        looks = [
            {"id": number, "seen_ns": seen_ns, "vector": [round(float(value), 4) for value in vector]}
            for number, (vector, seen_ns) in sorted(found.items())
        ]
        statures = [{"id": number, "tall_m": round(tall, 2)} for number, tall in sorted(tall_m.items())]
        return {"looks": looks, "statures": statures}

    def record(self, after: int | None, embeddings: bool) -> dict[str, Any]:
        """What was detected from batch `after` on; see `Recorder.since`. From any thread but the loop's."""
        return self._errands.ask(lambda: self._record(after, embeddings))

    def reload(self) -> list[str]:
        """Read the config again and take what differs; a line for each change. From any thread but the loop's.

        Raises:
            SpotOnError: it is faulty, or needs what is not to be had; then nothing of it is taken.
        """
        with self._reloading:
            if self._health.ready:
                self._systemd.reloading()
            try:
                lines = self._reload()
            except SpotOnError as error:
                self._note(str(error))
                raise
            finally:
                if self._health.ready:
                    self._systemd.ready()
            self._note("")
            for line in lines:
                log.info("reload: %s", line, extra={"SPOTON_EVENT": "reload"})
            return lines

    def _loop(self) -> None:
        next_status = time.monotonic()
        while not self._stop.is_set() and not self.capture.finished:
            batch = self.capture.take(IDLE_S)
            if batch is not None:
                age_ms = (self.capture.now_ns() - int(batch.captured_ns.min())) / 1e6
                tracks = self.pipeline.step(batch, age_ms)
                self._tally.count(tracks, self.pipeline.events, age_ms / 1e3)
                if self._preview:
                    self._preview.offer(batch)
                for event in self.pipeline.events:
                    self._log_person(event)
            for event in self.capture.events():
                self.pipeline.publisher.publish(self.pipeline.encoder.event(event))
            if self._health.beat(self.capture.states(), self.pipeline.publisher.tracks_sent):
                next_status = time.monotonic()  # whoever waited for the start sees how it fares
            if time.monotonic() >= next_status:
                next_status = time.monotonic() + STATUS_S
                self._publish_status()
                self._note_people()
                if self._running.site.runtime.watch and self._watch.changed():
                    self._reload_asked.set()
            self._take_network()
            if self._reload_asked.is_set():
                self._reload_asked.clear()
                threading.Thread(target=self._reload_unasked, name="reload", daemon=True).start()
            self._errands.run()
        self._publish_status()
        self._note_people()

    def _note_people(self) -> None:
        """For the next start; nothing where nobody is to be taken up again."""
        if self._people:
            resume = self._running.site.identity.resume_s > 0
            self._people.keep(self.pipeline.associator.known() if resume else [], self._running.names)

    def _publish_status(self) -> None:
        pipeline, tally, running = self.pipeline, self._tally, self._running
        unplaced = dict(zip(running.names, pipeline.ground.unplaced, strict=True))
        cameras = [replace(camera, unplaced=unplaced[camera.name]) for camera in self.capture.status()]
        status = Status(cameras, pipeline.batches, tally.rate.hz(), tally.present, pipeline.timer.summary())
        delivery = pipeline.publisher.delivery()
        pipeline.publisher.publish(pipeline.encoder.status(status, delivery))
        self._figures = Figures(
            site=running.site.site,
            box=running.site.box,
            run=running.run,
            detector=Path(running.site.detector.model).name,
            engine=pipeline.detector.backend,
            reid=Path(running.site.reid.model).name if running.site.reid.model else "histogram",
            status=status,
            people=tally.people,
            events=dict(tally.events),
            handoffs=dict(tally.handoffs),
            gallery=pipeline.associator.gallery,
            reid_budget_hits=pipeline.associator.budget_hits,
            bad_rows=pipeline.detector.bad_rows,
            stages=pipeline.timer.histograms(),
            age=tally.age.copy(),
            delivery=delivery,
            reloads=dict(tally.reloads),
            restart_keys=len(self._restart),
            gpu_memory=self._backends.memory(),
        )
        self._tell_operator()
        if self._metrics:
            self._metrics.show(self._figures)

    def _tell_operator(self) -> None:
        """systemd's status line."""
        if self._health.ready and self._figures is not None:
            self._health.tell(self._figures.status, self._note_for_operator())

    def _log_person(self, event: Event) -> None:
        names = self._running.names
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

    def _take_network(self) -> None:
        """Swap in a network that a reload has asked for, once it is ready."""
        ready = self._swap.take()
        if ready is None:
            return
        site = self._running.site
        ready.apply(self.pipeline, site.detector.min_score)
        for key in SWAPPED[ready.section]:
            site = kept(key, ready.site, site)
        self._running = replace(self._running, site=site)

    def _reload(self) -> list[str]:
        self._watch.renew(config.files(self._path))
        update = prepare(self._running, config.load(self._path, with_files=True))
        try:
            for section in update.swap:
                self._swap.need(update.wanted, section)
            self._errands.ask(lambda: self._take(update))
        except BaseException:
            update.discard()
            raise
        return update.lines

    def _take(self, update: Update) -> None:
        """The loop's part of a reload."""
        update.apply(self._running)
        self._running, self._restart = update.after, update.restart
        self._health.stall_s = update.after.site.runtime.stall_s
        if self._preview:
            self._preview.know(update.encoder, update.after.names)
            if update.allowed is not None:
                self._preview.admit(update.allowed)
        self._swap.ask(update.wanted, update.swap)

    def _note(self, refusal: str) -> None:
        """Tell how a reload went; refusal: why it was refused, empty: it was not."""
        self._refusal = refusal
        self._tally.reloads["refused" if refusal else "applied"] += 1
        for line in refusal.splitlines():
            log.error("reload refused, the config stays as it was: %s", line, extra={"SPOTON_EVENT": "reload"})
        detail = f"refused: {refusal}" if refusal else "applied"
        event = Event("reload", time.monotonic_ns(), detail=detail[:DETAIL])
        self.pipeline.publisher.publish(self.pipeline.encoder.event(event))
        if self._health.ready:  # whoever looks because a reload has failed sees why
            with contextlib.suppress(NotReadyError):
                self._errands.ask(self._tell_operator)

    def _reload_unasked(self) -> None:
        """What a signal or a changed file asks for, in a thread of its own; nobody waits for the answer."""
        with contextlib.suppress(SpotOnError):  # which is in the log
            self.reload()

    def _note_for_operator(self) -> str:
        notes = [f"reload refused: {self._refusal.splitlines()[0]}"] if self._refusal else []
        notes += [f"needs restart: {', '.join(self._restart)}"] if self._restart else []
        return "; ".join([*notes, *self._swap.notes(self._builds.line)])

    def _explain(self, identity: int) -> list[str]:
        life = self.pipeline.annals.of(identity, self.pipeline.associator.explain(identity))
        if not life:
            raise UsageError(f"there is no person {identity}")
        now = self.capture.now_ns()
        names = self._running.names
        return explain.life(identity, life, names, lambda captured_ns: f"{(now - captured_ns) / 1e9:.1f} s ago")

    def _record(self, after: int | None, embeddings: bool) -> dict[str, Any]:
        sizes = dict(zip(self.capture.states(), [frames.size for frames in self.capture.formats()], strict=True))
        cameras = [{"name": name, "image_size": sizes.get(name)} for name in self._running.names]
        site = self._running.site.site
        return {"site": site, "cameras": cameras, **self.pipeline.recorder.since(after, embeddings)}

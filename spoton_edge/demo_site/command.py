"""`spoton-edge demo-site`: sets the site up, listens to all of it while the clip plays, and draws what was heard."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from spoton_edge import config, models
from spoton_edge.building import build_capture
from spoton_edge.client import Subscriber, Tracks
from spoton_edge.demo import CLIP_VARIABLE, check_out, find_clip, write_site
from spoton_edge.demo_map import CameraView, draw
from spoton_edge.demo_page import LivePage, live_page, stays_open
from spoton_edge.demo_site import boxes as plan
from spoton_edge.demo_site.boxes import CAMERA_BOXES, SIMULATED, Box, Ground
from spoton_edge.demo_site.machines import Machines
from spoton_edge.demo_site.programs import Program, Programs, nats_server
from spoton_edge.demo_site.story import SiteStory, short
from spoton_edge.demo_site.walkers import AREA, Walkers
from spoton_edge.errors import ExitCode
from spoton_edge.publisher import Publisher
from spoton_edge.site.streams import box_stream
from spoton_edge.types import F8, CameraDescription, SiteDescription
from spoton_edge.watch import board
from spoton_edge.wire import Encoder

START_S = 60.0  # for a program to be there
LATE_S = 2.0  # after the last frame, for the site to answer
TELL_S = 15.0  # where nobody sees a progress bar


def run(*, seconds: float | None = None, out: Path = Path("demo-site-map.png"), cache: Path | None = None) -> int:
    """Run the demo and return the exit code. seconds: from when the site knows somebody; None: the whole clip; out:
    where the picture goes."""
    console = Console()
    check_out(out)
    # The picture is painted in this process: what capture notes meanwhile is no news.
    logging.getLogger("spoton_edge.capture").setLevel(logging.WARNING)
    server = nats_server()
    folder = models.cache_dir(cache)
    models.fetch("yolox-nano", folder, console.print)
    os.environ[CLIP_VARIABLE] = str(clip := find_clip(folder, console))
    with ExitStack() as undo:
        scratch = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="spoton-")))
        machines = Machines()
        undo.callback(machines.close)
        programs = Programs(scratch)
        undo.callback(programs.close)
        shipped = write_site(scratch)
        crew = Crew(programs, machines, scratch, shipped, server, folder)
        console.print(crew.where, markup=False)
        page = undo.enter_context(live_page(crew.endpoint))
        page.start()
        console.print(page.said, markup=False, soft_wrap=True)
        capture = build_capture(shipped, fast=True)
        capture.open()
        rate_hz, frames = capture.formats()[0].rate_hz or 10.0, capture.formats()[0].frames
        capture.stop()
        whole_s = None if frames is None else frames / rate_hz
        story = SiteStory(rate_hz)
        limit_s = min((span for span in (seconds, whole_s) if span is not None), default=None)
        follow(crew, story, console, seconds, limit_s)
        paint(shipped, story, out, clip)
        console.print(summary(story))
        console.print(
            f"{story.corrected} answers put right later; W's and E's clips began {1e3 * story.apart_s:.0f} ms apart"
        )
        console.print(f"wrote {out}")
        _stay(page, console)
    return ExitCode.STOPPED if story.whole.trails() else ExitCode.UNEXPECTED


class Crew:
    """The site: servers at work, daemons that wait for somebody who listens.

    Attributes:
        where: on what it all runs, in words.
        endpoint: where the whole site is published.
        daemons: of the boxes with cameras.
    """

    def __init__(
        self, programs: Programs, machines: Machines, scratch: Path, shipped: config.Site, server: str, cache: Path
    ) -> None:
        self.programs, self._scratch = programs, scratch
        self._service: Program | None = None
        self._hub = hub = machines.machine("hub")
        places = [machines.machine(name) for name in (*CAMERA_BOXES, SIMULATED)]
        on = machines.why_not and f"this machine's loopback ({machines.why_not})"
        self.where = f"a hub and {len(places)} boxes on {on or 'a network namespace each'}"
        ports = plan.enroll(scratch / "nats", hub, places)
        self.boxes = [plan.write_box(scratch, place, ports[place.name], shipped) for place in places]
        self._file, self.endpoint = plan.write_hub(scratch, hub, ports["hub"], self.boxes)
        self.daemons = [self._daemon(box, cache) for box in self.boxes if box.name in CAMERA_BOXES]
        begun = programs.start("hub", hub, [server, "--config", "hub.conf"], scratch / "nats" / "hub")
        begun.until_said("Server is ready", START_S)
        for box in self.boxes:
            folder = scratch / "nats" / "boxes" / box.name
            programs.start(f"leaf node {box.name}", box.machine, [server, "--config", "leaf.conf"], folder)
        begun.until_said("Leafnode connection created", START_S, times=len(self.boxes))
        for daemon in self.daemons:
            daemon.until_said("publishing on", START_S)

    def join(self) -> None:
        """Start the uplinks, which listen to the daemons."""
        for box in self.boxes:
            self.programs.verb(f"uplink {box.name}", box.machine, "uplink", box.file)

    def mind(self) -> None:
        """Call it now and then. Starts the site service as soon as it finds boxes to ask: those that have nothing to
        tell yet it would ask again only after seconds. Raises ProgramError, where a program has failed."""
        self.programs.mind()
        if self._service is None and all(self._has_streams(box) for box in self.boxes):
            self._service = self.programs.verb("site service", self._hub, "site", self._file)

    def _has_streams(self, box: Box) -> bool:
        """Whether the uplink has made on the leaf node what the hub takes over from."""
        store = self._scratch / "nats" / "boxes" / box.name / "store"
        return any(store.glob(f"leaf/jetstream/*/streams/{box_stream(plan.SITE, box.name, 'tracks')}"))

    def _daemon(self, box: Box, cache: Path) -> Program:
        state = self._scratch / f"{box.name}-state"
        folders = ("--cache", cache, "--state", state)
        wait = ("--wait-for-subscriber", str(2 * START_S))
        return self.programs.verb(f"daemon {box.name}", box.machine, "run", box.file, *folders, *wait)


class Simulated:
    """The daemon of the simulated box, as its uplink hears it."""

    def __init__(self, box: Box) -> None:
        self._encoder = Encoder(plan.SITE, box.name, os.urandom(8).hex(), ("far",))
        self._publisher = Publisher(self._encoder, [box.endpoint], snapshot=box.snapshot)
        self._publisher.publish(self._encoder.site(SiteDescription([CameraDescription("far", None, None, AREA)])))
        self._walkers = Walkers()
        self._from_e = Ground(plan.POSES[box.name]).from_site @ Ground(plan.POSES["E"]).to_site

    def hear(self, message: Tracks) -> None:
        """Take in where E sees whom, and publish who is here."""
        seen: dict[int, tuple[F8, F8]] = {}
        for person in message.tracks:
            if person.state == "visible" and person.x is not None:
                place = np.array([person.x, person.y, 1.0])
                way = np.array([person.vx, person.vy, 0.0], np.float64)
                seen[person.id] = (self._from_e @ place)[:2], (self._from_e @ way)[:2]
        people = self._walkers.move(message, seen)
        wall_ns = time.time_ns() - time.monotonic_ns()
        captured_ns = np.array([round(max(message.captured.values()) * 1e9) - wall_ns])
        age_ms = (time.monotonic_ns() - int(captured_ns[0])) / 1e6
        self._publisher.publish(self._encoder.tracks(people, np.zeros(1, np.int16), captured_ns, age_ms))

    def close(self) -> None:
        self._publisher.close()


def follow(crew: Crew, story: SiteStory, console: Console, seconds: float | None, limit_s: float | None) -> None:
    """Listen to the whole site until the clip or the time is over, and show it meanwhile.

    seconds: to end after, from when the site knows somebody, if given; limit_s: about how long it is going to take, if
    that is known.
    """
    progress = Progress(TextColumn("seconds"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    task = progress.add_task("seconds", total=limit_s)
    told_s = 0.0
    with ExitStack() as undo:
        simulated = Simulated(next(box for box in crew.boxes if box.name == SIMULATED))
        undo.callback(simulated.close)
        whole = undo.enter_context(Subscriber(crew.endpoint))
        cameras = [box for box in crew.boxes if box.name in CAMERA_BOXES]
        # At once: each daemon begins when it is listened to, and both show the same clip.
        heard = {
            box.name: undo.enter_context(
                Subscriber(box.endpoint, snapshot=box.snapshot, identities=box.identities, site=plan.SITE)
            )
            for box in cameras
        }
        crew.join()
        live = undo.enter_context(Live(progress, console=console, refresh_per_second=4, transient=True))
        for passed_s in _until_over(crew, story, seconds):
            while (message := whole.receive(0.0)) is not None:
                story.hear_site(message)
            for name, subscriber in heard.items():
                while (message := subscriber.receive(0.0)) is not None:
                    story.hear_box(name, message)
                    if name == "E" and isinstance(message, Tracks) and message.captured:
                        simulated.hear(message)
            progress.update(task, completed=passed_s)
            if console.is_terminal:
                live.update(Group(progress, board(whole.latest)))
            elif passed_s >= told_s + TELL_S:
                told_s = passed_s
                console.print(f"{passed_s:.0f} s: {headline(story)}")


def _until_over(crew: Crew, story: SiteStory, seconds: float | None) -> Iterator[float]:
    """Seconds since the beginning, every now and then."""
    began, known, ended = time.monotonic(), None, None
    while True:
        crew.mind()
        passed_s = time.monotonic() - began
        known = passed_s if known is None and story.whole.trails() else known
        shown = seconds is not None and known is not None and passed_s > known + seconds
        if ended is None and (shown or all(daemon.ended for daemon in crew.daemons)):
            ended = passed_s
        yield passed_s
        if ended is not None and passed_s > ended + LATE_S:
            return
        time.sleep(0.02)


def paint(site: config.Site, story: SiteStory, out: Path, clip: Path) -> None:
    """Draw everybody's way over the site, and the moment in which most people are seen by both cameras."""
    numbers = {name: frame for name, (frame, _) in story.moment.items()}
    images = {}
    with build_capture(site, fast=True) as capture:
        for number, batch in enumerate(capture, start=1):
            for camera, image in zip(batch.camera, batch.images, strict=True):
                if numbers.get(name := site.cameras[camera].name) == number:
                    images[name] = image
            if number >= max(numbers.values(), default=0):
                break
    views = [CameraView(name, image, story.moment[name][1]) for name, image in sorted(images.items(), reverse=True)]
    draw(
        out,
        story.whole.trails(),
        views,
        story.whole.footprints(),
        title=headline(story),
        subtitle=f"{clip.name} on boxes W and E, S simulated; numbers are the last digits of the site's ids; dots end "
        "each way",
        watcher="box",
        label=short,
    )


def headline(story: SiteStory) -> str:
    """What came of it, in a line."""
    people, handoffs = len(story.whole.trails()), story.handoffs.total()
    return f"{people} people on the site, {handoffs} handoffs between boxes"


def summary(story: SiteStory) -> Table:
    """Who was on which box, and who went where."""
    table = Table(title=headline(story))
    for name in ("box", "its own ids", "came from W", "from E", "from S"):
        table.add_column(name, justify="left" if name == "box" else "right")
    names: Sequence[str] = (*CAMERA_BOXES, SIMULATED)
    for name in names:
        own = str(len(story.people.get(name, ()))) if name in CAMERA_BOXES else "simulated"
        table.add_row(name, own, *(str(story.handoffs[source, name]) for source in names))
    return table


def _stay(page: LivePage, console: Console) -> None:
    if page.said and stays_open():
        console.print(page.said, markup=False, soft_wrap=True)
        console.print("the map stays open, with what was to scrub through; Ctrl-C ends it")
        page.wait()

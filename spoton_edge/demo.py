"""The demo: the daemon on a real clip cut into two overlapping cameras, watched by a subscriber, drawn as a map.

The daemon is a process of its own and is heard over ZeroMQ like any other; nothing here takes a short cut into it.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from spoton_edge import config, models
from spoton_edge.building import build_capture
from spoton_edge.client import Event, Message, Missed, Site, Status, Subscriber, Tracks
from spoton_edge.demo_map import CameraView, draw
from spoton_edge.demo_page import LivePage, live_page, stays_open
from spoton_edge.errors import ExitCode, ModelError, SpotOnError, UsageError
from spoton_edge.types import F8
from spoton_edge.watch import board

CLIP_VARIABLE = "SPOTON_DEMO_VIDEO"
START_S = 30.0  # for the daemon to be heard
BREAK_FRAMES = 8  # a trail is interrupted where the person was not seen for longer


class Story:
    """What a subscriber remembers of a run: everybody's trail, the handoffs, the moment to show."""

    def __init__(self) -> None:
        self.frames = 0
        self.handoffs = 0
        self.missed = 0
        self.site: Site | None = None
        self.status: Status | None = None
        self._places: dict[int, list[tuple[float, float]]] = {}
        self._last_frame: dict[int, int] = {}
        self.moment = 0  # frame in which the most people are seen by several cameras
        self.boxes: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
        self._best = (-1, -1)

    def hear(self, message: Message | Missed) -> None:
        """Take in one message."""
        match message:
            case Tracks():
                self._hear_tracks(message)
            case Event():
                self.handoffs += message.event == "handed_off"
            case Site():
                self.site = message
            case Status():
                self.status = message
            case Missed():
                self.missed += message.count

    def _hear_tracks(self, message: Tracks) -> None:
        self.frames = max(self.frames, message.seq)
        for person in message.tracks:
            if person.x is None or person.y is None or person.state == "lost":
                continue
            trail = self._places.setdefault(person.id, [])
            if message.seq - self._last_frame.get(person.id, message.seq) > BREAK_FRAMES:
                trail.append((np.nan, np.nan))
            trail.append((person.x, person.y))
            self._last_frame[person.id] = message.seq
        views = [(view, person.id) for person in message.tracks for view in person.views]
        shared = sum(len(person.views) > 1 for person in message.tracks)
        if (shared, len(views)) > self._best:
            self._best, self.moment, self.boxes = (shared, len(views)), message.seq, {}
            for view, identity in views:
                self.boxes.setdefault(view.camera, []).append((identity, view.box or ()))

    def trails(self) -> dict[int, F8]:
        """For each id its places in order, f8 (N, 2) m, interrupted by NaN."""
        return {identity: np.array(places) for identity, places in self._places.items()}

    def footprints(self) -> dict[str, F8]:
        """For each camera the ground it sees, f8 (N, 2) m."""
        cameras: list[dict[str, Any]] = self.site.cameras if self.site else []
        return {camera["name"]: np.array(camera["footprint"]).reshape(-1, 2) for camera in cameras}


def run(*, realtime: bool = False, out: Path = Path("demo-map.png"), cache: Path | None = None) -> int:
    """Run the demo and return the exit code. realtime: by the clip's clock; out: where the picture goes."""
    console = Console()
    folder = models.cache_dir(cache)
    check_out(out)
    # The picture is painted in this process: what capture notes meanwhile would break into the table.
    logging.getLogger("spoton_edge.capture").setLevel(logging.WARNING)
    models.fetch("yolox-nano", folder, console.print)
    os.environ[CLIP_VARIABLE] = str(clip := find_clip(folder, console))
    with tempfile.TemporaryDirectory(prefix="spoton-") as scratch, live_page("--site", f"{scratch}/site.yaml") as page:
        site = write_site(Path(scratch))
        story = Story()
        with daemon(Path(scratch), folder, realtime=realtime) as process:
            follow(process, site, story, console, page)
            code = process.wait()
            if code or not story.frames:
                console.print((Path(scratch) / "daemon.log").read_text(), markup=False)
                return code or ExitCode.UNEXPECTED
        paint(site, story, out, clip)
        console.print(summary(story))
        console.print(f"wrote {out}")
        if page.said and stays_open():
            console.print(page.said, markup=False, soft_wrap=True)
            console.print("the map stays open, with what was to scrub through; Ctrl-C ends it")
            page.wait()
    return ExitCode.STOPPED


def check_out(out: Path) -> None:
    """Raises UsageError, where the picture cannot go there."""
    if out.suffix != ".png" or out.is_dir() or not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: write the name of a .png file in a folder that exists")


def find_clip(folder: Path, console: Console) -> Path:
    """The clip that the environment names, else the one in the cache, fetched if need be."""
    given = os.environ.get(CLIP_VARIABLE)
    if given:
        if not Path(given).is_file():
            raise ModelError(f"{CLIP_VARIABLE}={given}: no such file")
        return Path(given).absolute()
    try:
        return models.fetch("vtest", folder, console.print)
    except SpotOnError as error:
        raise ModelError(f"{error}\nor name a copy of vtest.avi: {CLIP_VARIABLE}=/path/to/vtest.avi") from None


def write_site(scratch: Path) -> config.Site:
    """The demo's site with endpoints that nobody else uses; its file is `site.yaml` in `scratch`."""
    shipped = config.load(Path(str(files("spoton_edge._sites") / "demo-site.yaml")))
    first, second = free_ports(2)
    publish = shipped.publish.model_copy(
        update={
            "bind": (f"tcp://127.0.0.1:{first}",),
            "snapshot": f"tcp://127.0.0.1:{second}",
            "preview": f"ipc://{scratch}/preview",
        }
    )
    runtime = shipped.runtime.model_copy(update={"control": f"ipc://{scratch}/control"})
    site = shipped.model_copy(update={"publish": publish, "runtime": runtime})
    (scratch / "site.yaml").write_text(config.effective(site))
    return site


@contextmanager
def daemon(scratch: Path, cache: Path, *, realtime: bool) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon as a process; stopped at the end, whatever happens."""
    command = [sys.executable, "-m", "spoton_edge", "--log-level", "warning", "run", str(scratch / "site.yaml")]
    command += ["--cache", str(cache), "--state", str(scratch), "--wait-for-subscriber", str(START_S)]
    with (scratch / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command + ([] if realtime else ["--fast"]), stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()


def follow(process: subprocess.Popen[bytes], site: config.Site, story: Story, console: Console, page: LivePage) -> None:
    """Listen until the daemon has ended and everything it sent is read, and show it meanwhile."""
    progress = Progress(
        TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )
    task = progress.add_task("frames", total=count_frames(site))
    live = Live(progress, console=console, refresh_per_second=8, transient=True)
    told = 0
    with Subscriber(site.publish.bind[0], snapshot=site.publish.snapshot) as subscriber, live:
        while True:
            ended = process.poll() is not None
            message = subscriber.receive(0.1)
            if message is not None:
                if not page.started:  # not before: the daemon begins with whoever listens first, and that must be us
                    page.start()
                    console.print(page.said, markup=False, soft_wrap=True)
                story.hear(message)
                progress.update(task, completed=story.frames)
                live.update(Group(progress, board(subscriber.latest)))
            elif ended:
                return
            if not console.is_terminal and story.frames >= told + 100:
                told = story.frames
                console.print(f"{told} frames, {len(story.trails())} ids, {story.handoffs} handoffs")


def count_frames(site: config.Site) -> int | None:
    """How many frames the site's recording announces."""
    capture = build_capture(site, fast=True)
    capture.open()
    frames = capture.formats()[0].frames
    capture.stop()
    return frames


def paint(site: config.Site, story: Story, out: Path, clip: Path) -> None:
    """Draw the trails, and the moment in which most people are seen by both cameras."""
    images = {}
    with build_capture(site, fast=True) as capture:
        for number, batch in enumerate(capture, start=1):
            if number == story.moment:
                images = {
                    site.cameras[camera].name: image for camera, image in zip(batch.camera, batch.images, strict=True)
                }
                break
    views = [CameraView(name, image, story.boxes.get(name, [])) for name, image in images.items()]
    trails = story.trails()
    draw(
        out,
        trails,
        views,
        story.footprints(),
        title=f"{len(trails)} ids, {story.handoffs} handoffs",
        subtitle=f"{clip.name}, {story.frames} frames; the cameras as of frame {story.moment}; dots end each way",
    )


def summary(story: Story) -> Table:
    """What came out of it, and what each stage took."""
    table = Table(title=f"{story.frames} frames, {len(story.trails())} ids, {story.handoffs} handoffs")
    for name in ("stage", "p50 ms", "p95 ms"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    stages = story.status.stages if story.status else {}
    for name, time in stages.items():
        table.add_row(name, f"{time['p50_ms']:.2f}", f"{time['p95_ms']:.2f}")
    if story.missed:
        table.caption = f"{story.missed} messages were lost on the way"
    return table


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

"""What may be typed after `spoton-edge replay` and `spoton-edge record`; the work lies in modules of those names."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spoton_edge.errors import ExitCode, UsageError

log = logging.getLogger(__name__)

USUAL_RATE_HZ = 15.0  # where neither the command line nor the recording tells

REPLAY = """\
Runs a site on recorded detections, as fast as possible: DIR has CAMERA.npz (frame, xyxy, score, and embedding
where wanted) or CAMERA.txt (MOTChallenge: frame,-1,left,top,width,height,score) for each camera of the site. Sources
are not opened and no network runs. Writes ground.csv (frame,id,x,y in metres: people in sight or coasting, as far as
they have a place) and views.csv (frame,camera,id,track_id,x1,y1,x2,y2,score: boxes found in that frame). The same
input gives the same bytes."""


RECORD = """\
Fetches what the detector of a running daemon finds and writes it as a recording for `spoton-edge replay`, until
Ctrl-C or --seconds have passed. Nothing is kept of how people look, unless --embeddings says so: such files are
biometric data."""


def add_verbs(verbs: Any) -> None:
    """Add `replay` and `record` to a command line."""
    _add_replay(verbs)
    record = verbs.add_parser(
        "record",
        help="Write a running daemon's detections, for replay",
        description=RECORD,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    record.set_defaults(run=run_record)
    record.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    record.add_argument("--seconds", type=_positive, metavar="S", help="how long; default: until Ctrl-C")
    record.add_argument("--embeddings", action="store_true", help="also write what people look like to the Re-ID model")
    which = record.add_mutually_exclusive_group()
    which.add_argument("--site", metavar="NAME", help="name of the site; default: the only daemon that runs here")
    which.add_argument("--control", metavar="ENDPOINT", help="as runtime.control names it")


def _add_replay(verbs: Any) -> None:
    replay = verbs.add_parser(
        "replay",
        help="Run a site on recorded detections instead of cameras",
        description=REPLAY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.set_defaults(run=run_replay)
    replay.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file")
    replay.add_argument("--detections", type=Path, required=True, metavar="DIR", help="the recording")
    replay.add_argument("--out", type=Path, required=True, metavar="DIR", help="where ground.csv and views.csv go")
    replay.add_argument(
        "--frame-rate",
        type=_positive,
        metavar="F",
        help=f"frames a second: capture time is frame / F; default: what the recording tells, else {USUAL_RATE_HZ:g}",
    )
    replay.add_argument(
        "--explain",
        type=int,
        action="append",
        default=[],
        metavar="ID",
        help="print the life of a person: each view, gate, distance, cosine, margin; may be given again",
    )


def run_replay(options: argparse.Namespace) -> int:
    """Replay a recording; prints what was written and the lives that were asked for."""
    from spoton_edge import config, explain, recording, replay

    site = config.load(options.site)
    names = [camera.name for camera in site.cameras]
    found = recording.read(options.detections, names)
    frame_rate = options.frame_rate or found.frame_rate
    if frame_rate is None:
        frame_rate = USUAL_RATE_HZ
        log.warning("the frame rate is not known, taking %g a second; give --frame-rate", frame_rate)
    chronicle = explain.Chronicle(options.explain)
    frames = found.last - found.first + 1
    try:
        with _progress(frames) as progress:
            ids = replay.run(site, found, options.out, frame_rate=frame_rate, chronicle=chronicle, progress=progress)
    except OSError as error:
        raise UsageError(f"{options.out}: cannot be written: {error.strerror}; give another --out") from error
    print(f"{frames} frames, {ids} people: {options.out / 'ground.csv'}, {options.out / 'views.csv'}", file=sys.stderr)
    for identity, events in chronicle.lives.items():
        if not events:
            raise UsageError(f"--explain {identity}: nobody had that id; views.csv has the ids that there were")
        print("\n".join(explain.life(identity, events, names, lambda ns: moment(ns, frame_rate))))
    return ExitCode.STOPPED


def run_record(options: argparse.Namespace) -> int:
    """Record from a running daemon; prints what was written."""
    from spoton_edge import control, record

    def tell(so_far: record.Record) -> None:
        print(f"\r{so_far.batches} frames, {so_far.rows} detections", end="", file=sys.stderr, flush=True)

    found, rate = record.run(
        options.control or control.find(options.site),
        options.out,
        seconds=options.seconds,
        embeddings=options.embeddings,
        progress=tell if sys.stderr.isatty() else None,
    )
    print(f"{options.out}: {found.batches} frames at {rate:.2f} a second, {found.rows} detections", file=sys.stderr)
    if found.lost:
        log.warning("%d frames came faster than they could be fetched and are not in the recording", found.lost)
    return ExitCode.STOPPED


def moment(captured_ns: int, frame_rate: float) -> str:
    """A capture time of a replay, as it is printed."""
    return f"frame {round(captured_ns * frame_rate / 1e9)}, {captured_ns / 1e9:.2f} s"


@contextmanager
def _progress(frames: int) -> Iterator[Callable[[int], object] | None]:
    """A bar on a terminal; elsewhere, or where rich is not installed, silence."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield None
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("replay", total=frames)
        yield lambda done: bar.update(task, completed=done)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number

"""`spoton-edge evaluate`: scores of tracks against truth; `evaluate reid`: of Re-ID models on pictures."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spoton_edge.errors import ExitCode, MissingExtraError, UsageError

if TYPE_CHECKING:  # a command line that is not about scores loads none of it
    from spoton_edge.evaluation.rows import Tracks
    from spoton_edge.evaluation.sequences import Scene

TRUTH = """\
Compares what replay wrote (a folder with ground.csv and views.csv, or one file) with truth: ground.csv
(frame,id,x,y in metres) and CAMERA.txt for each camera (MOTChallenge). Prints a line for each camera, for all
views together, for people who are right in every view at once, and for the ground; HOTA, IDF1, MOTA and switches
are trackeval's."""

CROPS = """\
Compares Re-ID models on pictures of your own people: CROPS has a folder for each person, in it pictures or a
folder for each camera. A model is a name of `spoton-edge models list`, a path to an .onnx file, or `histogram`, the
colour histograms of a site without a reid.model."""


def add_verbs(verbs: Any) -> None:
    """Add `evaluate` and its verb `reid` to a command line."""
    evaluate = verbs.add_parser(
        "evaluate",
        help="Score tracks against truth, or Re-ID models on pictures",
        description=TRUTH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.set_defaults(run=run)
    evaluate.add_argument("--truth", type=Path, metavar="PATH", help="folder or file of truth")
    evaluate.add_argument("--result", type=Path, metavar="PATH", help="folder or file to score")
    evaluate.add_argument(
        "--gate-m",
        type=_positive,
        default=1.0,
        metavar="METRES",
        help="on the ground, a hit is within this; default: 1",
    )
    evaluate.add_argument(
        "--hota-zero-m",
        type=_positive,
        metavar="METRES",
        help="where the similarity of HOTA on the ground reaches 0; default: the gate; WILDTRACK takes twice that",
    )
    evaluate.add_argument(
        "--align", action="store_true", help="leave out results before the first and after the last frame of truth"
    )
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="write scores.json and breaks.png there")

    kinds = evaluate.add_subparsers(title="commands", metavar="COMMAND")
    reid = kinds.add_parser(
        "reid",
        help="Score Re-ID models on a folder of pictures",
        description=CROPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reid.set_defaults(run=run_reid)
    reid.add_argument("crops", type=Path, metavar="CROPS", help="folder of pictures")
    reid.add_argument("model", nargs="+", metavar="MODEL", help="what to compare")
    reid.add_argument("--cache", type=Path, metavar="DIR", help="where models are kept; see `spoton-edge run --help`")
    reid.add_argument("--out", type=Path, metavar="DIR", help="write reid.json and reid.png there")


def run(options: argparse.Namespace) -> int:
    """Score tracks; prints the table, writes what `--out` asks for."""
    if options.truth is None or options.result is None:
        raise UsageError("evaluate wants --truth PATH and --result PATH, or: spoton-edge evaluate reid CROPS MODEL")
    with _needing("trackeval"):
        from spoton_edge.evaluation import report
        from spoton_edge.evaluation.rows import read_tracks

        scenes = _scenes(options, read_tracks(options.truth), read_tracks(options.result))
        scores = report.report(scenes, options.out)
    print(report.table(scores))
    if options.out is not None:
        print(f"wrote {options.out / 'scores.json'} and {options.out / 'breaks.png'}", file=sys.stderr)
    return ExitCode.STOPPED


def run_reid(options: argparse.Namespace) -> int:
    """Score Re-ID models; prints the table, writes what `--out` asks for."""
    with _needing("opencv-python-headless"):
        from spoton_edge import models
        from spoton_edge.evaluation import crops, reid

        pictures = crops.find_crops(options.crops)
    scores = []
    for model in options.model:
        vectors = reid.describe(pictures, reid.load(model, models.cache_dir(options.cache)))
        scores.append(reid.score(model, vectors, pictures.person, pictures.camera))
    one = scores[0]
    cameras = f"from {one.cameras} cameras" if one.cameras else "cameras not told"
    print(f"{one.crops} crops of {one.people} people, {cameras}; {one.queries} searches")
    print(reid.table(scores))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "reid.json").write_text(json.dumps([asdict(figures) for figures in scores], indent=1) + "\n")
        reid.draw(options.out / "reid.png", scores)
        print(f"wrote {options.out / 'reid.json'} and {options.out / 'reid.png'}", file=sys.stderr)
    return ExitCode.STOPPED


def _scenes(options: argparse.Namespace, truth: Tracks, result: Tracks) -> list[Scene]:
    from spoton_edge.evaluation.sequences import scenes

    boxes = result.boxes
    if len(truth.boxes) == len(boxes) == 1:
        boxes = dict(zip(truth.boxes, boxes.values(), strict=True))  # one camera each: names need not agree
    found = scenes(
        (truth.ground, truth.boxes),
        (result.ground, boxes),
        gate_m=options.gate_m,
        zero_m=options.hota_zero_m or options.gate_m,
        align=options.align,
    )
    if not found:
        raise UsageError(
            f"nothing to compare: {options.truth} has {_content(truth)}, {options.result} has {_content(result)}"
        )
    unknown = sorted(set(boxes) - set(truth.boxes)) if truth.boxes else []
    if unknown:
        print(f"no truth for camera {', '.join(unknown)}: left out", file=sys.stderr)
    return found


def _content(tracks: Tracks) -> str:
    ground = [] if tracks.ground is None else ["places on the ground"]
    boxes = [f"boxes of {', '.join(tracks.boxes)}"] if tracks.boxes else []
    return " and ".join(ground + boxes)


@contextlib.contextmanager
def _needing(usual: str) -> Iterator[None]:
    """Turn a package that is not there into a line that says how to get it."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        missing = error.name or usual
        remedy = "pip install 'spoton-edge[evaluate]'"
        if missing == "trackeval":
            # Its requirements name the desktop's OpenCV, which would take the place of the headless one.
            remedy = (
                "pip install --no-deps trackeval (where no service runs, also: pip install 'spoton-edge[evaluate]')"
            )
        raise MissingExtraError(f"evaluate needs {missing}: {remedy}") from None


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number

"""`spoton-edge calibrate ...`: what may be typed."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoton_edge.errors import MissingExtraError

GATE_M = 1.0

_FIT = """\
POINTS.csv has a line for each floor mark: u, v, x, y, where (u, v) is the pixel in the picture and (x, y) its place on
the floor in metres. A header line is skipped. Use six marks or more, spread over the floor where people walk and not on
one line: with more than four, a mistyped one is found and named by its line.

  spoton-edge calibrate fit lobby.csv --image-size 1920 1080 --out lobby.yaml

The file goes into the site file as `ground: {file: lobby.yaml}`. Nothing is written for a calibration that is refused.
"""
_CHECK = """\
good: use it. usable: it works, and the reason says what would make it better. refuse: the daemon leaves this camera's
places out. The exit code is 2 if any camera is refused.

  --marks      CSV with mark, camera, u, v: the same marks of the floor in several cameras. The best measure there is.
  --detections people's boxes, whose feet are off by decimetres: the shares of feet and calibration are told apart
"""
_BOXES = """\
DIR has a file for each camera, named like it: NAME.csv with the columns frame, x1, y1, x2, y2; or NAME.txt in
MOTChallenge's layout (frame, id, left, top, width, height, ...); or NAME.npz. Or it is a recording: what
spoton-edge record --out DIR has made, or spoton-edge watch --json > FILE. Or a running daemon is listened to for
--seconds: tcp://127.0.0.1:5591. Nothing here tells 1.7 m tall people from 4 m tall ones but such boxes.
"""
_REFINE = """\
Measures what people seen by two cameras at once (or floor marks) say of each camera's floor: a 2x2 and a shift for
each, so that the cameras agree. A box ends at the nearer shoe: that is allowed for, and not taken for an error.
Without --out it only shows what it would do. --frames fits on some and tests on the rest.

  spoton-edge calibrate refine site.yaml --detections boxes/ --frames 0:600 --out site.refined.yaml
"""
_SERVE = """\
The page shows each camera's picture beside the floor. Click a spot of the floor in one and where it is in the other;
the errors and the floor's metric grid follow as you drag. Nothing is written before you save; then the whole site is
checked, comments and order of your file stay, and what was there is kept as SITE.yaml.bak. A running daemon takes it
up when you give the command that is shown.
"""
_IMPORT = """\
Known are, by content: NumPy archives with image_points and map_points; JSON with cameras[].source_points,
destination_points, homography and pixels_per_meter; exit_rules (JSON, or Python source, which is read and never run);
JSON with intrinsic and extrinsic; WILDTRACK's and MultiviewX's folder of intr_*.xml and extr_*.xml; OpenCV's YAML
and XML; MATLAB's 3x4 and 3x3. Several paths make one site.

  spoton-edge calibrate import homography_points_c09.npz homography_points_c12.npz --pixels-per-metre 50 --out site.yaml
"""


def add_verbs(verbs: Any) -> None:
    """Put `calibrate` and its verbs among the commands."""
    text = "Get the floor of each camera, and know how good it is"
    calibrate = verbs.add_parser("calibrate", help=text, description=text + ".")
    inner = calibrate.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = _verb(
        inner,
        "fit",
        _later("commands", "fit"),
        "Fit a camera's floor to points and say how far it can be trusted",
        _FIT,
    )
    verb.add_argument("points", type=Path, metavar="POINTS.csv", help="lines of u, v, x, y")
    verb.add_argument("--image-size", type=int, nargs=2, metavar=("W", "H"), required=True, help="of the picture")
    verb.add_argument(
        "--axes", choices=("y_up", "y_down"), default="y_up", help="the site's ground.axes; default: y_up"
    )
    verb.add_argument("--drop", action="store_true", help="leave out points that contradict the others")
    verb.add_argument("--out", type=Path, metavar="FILE.yaml", help="write the camera's `ground` here")
    _json_option(verb)

    verb = _verb(
        inner,
        "check",
        _later("commands", "check"),
        "Judge each camera's calibration and how well cameras agree",
        _CHECK + _BOXES,
    )
    _site_options(verb)
    verb.add_argument("--no-sources", action="store_true", help="do not open the cameras to see their pictures' sizes")
    _json_option(verb)

    verb = _verb(
        inner,
        "refine",
        _later("commands", "refine"),
        "Correct calibrations by what several cameras see at once",
        _REFINE + _BOXES,
    )
    _site_options(verb)
    verb.add_argument("--frames", type=_span, metavar="A:B", help="fit on frames A to B-1, test on the others")
    verb.add_argument("--no-clocks", action="store_true", help="do not measure clock offsets")
    verb.add_argument("--out", type=Path, metavar="NEW.yaml", help="write the corrected site here, beside the old one")
    _json_option(verb)

    verb = _verb(
        inner,
        "draw",
        _later("commands", "draw"),
        "Draw the floor's grid into each camera's picture, and the site from above",
        _BOXES,
    )
    _site_options(verb)
    verb.add_argument("--pictures", type=Path, metavar="DIR", help="NAME.png or NAME.jpg; default: from the sources")
    verb.add_argument(
        "--out", type=Path, default=Path("calibration-pictures"), metavar="DIR", help="default: %(default)s"
    )

    verb = _verb(
        inner,
        "serve",
        _later("serve", "run"),
        "Calibrate in the browser: click a spot in the picture and on the floor, and see how good it is",
        _SERVE,
    )
    verb.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file; cameras may lack a `ground`")
    verb.add_argument(
        "--bind",
        default="127.0.0.1:8591",
        metavar="ADDRESS:PORT",
        help="default: %(default)s; port 0: any that is free",
    )
    verb.add_argument("--no-browser", action="store_true", help="only print the address")

    verb = _verb(
        inner,
        "import",
        _later("importing", "import_site"),
        "Read calibrations of other programs into a site file",
        _IMPORT,
    )
    verb.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files or folders")
    verb.add_argument("--pixels-per-metre", type=float, metavar="N", help="where floor places are pixels of a picture")
    verb.add_argument("--image-size", type=int, nargs=2, metavar=("W", "H"), help="of the cameras' pictures")
    verb.add_argument("--axes", choices=("y_up", "y_down"), help="default: y_down where all cameras say so")
    verb.add_argument(
        "--source", default="{name}.mp4", metavar="PATTERN", help="each camera's source; default: %(default)s"
    )
    verb.add_argument(
        "--boxes", type=Path, metavar="DIR", help="write annotated boxes here, as --detections takes them"
    )
    verb.add_argument("--site", default="site", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--out", type=Path, metavar="SITE.yaml", help="write the site here; default: to the terminal")


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text + ".", epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.set_defaults(run=run)
    return verb


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The command, imported when it is given: other commands do not wait for it."""

    def run(options: argparse.Namespace) -> int:
        code: int = getattr(part(module), name)(options)
        return code

    return run


def part(module: str) -> Any:
    """A module of this package whose dependencies are optional."""
    try:
        return importlib.import_module(f"spoton_edge.calibration.{module}")
    except ImportError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[calibrate]'") from None


def _site_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file")
    verb.add_argument(
        "--marks", type=Path, metavar="CSV", help="floor marks seen by several cameras: mark, camera, u, v"
    )
    verb.add_argument(
        "--detections", metavar="DIR", help="people's boxes, a recording, or a running daemon's tcp://ADDRESS:PORT"
    )
    verb.add_argument(
        "--seconds", type=float, default=60.0, metavar="N", help="to listen to a daemon; default: %(default)g"
    )
    verb.add_argument(
        "--rate", type=float, default=10.0, metavar="HZ", help="frames a second of DIR; default: %(default)g"
    )
    verb.add_argument("--gate", type=float, default=GATE_M, metavar="M", help="feet farther apart are two people's; "
                      "default: %(default)g")  # fmt: skip


def _json_option(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="the figures as JSON")


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    try:
        span = int(first or 0), int(last or 10**9)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A:B, as in 0:600") from None
    if span[0] >= span[1]:
        raise argparse.ArgumentTypeError(f"{text!r} holds no frame")
    return span

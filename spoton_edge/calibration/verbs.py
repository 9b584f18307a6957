"""`spoton-edge calibrate ...`: what may be typed, and the figures in words."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from spoton_edge import config
from spoton_edge.calibration import files
from spoton_edge.calibration.agreement import PairVerdict, judge_pairs, rms, view_to_mean
from spoton_edge.calibration.clocks import clock_offsets
from spoton_edge.calibration.fit import Fit
from spoton_edge.calibration.formats import Imported, read
from spoton_edge.calibration.judge import CameraVerdict, judge_person_height, judge_site
from spoton_edge.calibration.observations import (
    Boxes,
    Sightings,
    feet_of,
    mark_sightings,
    people_sightings,
    read_boxes,
    read_marks,
)
from spoton_edge.calibration.refine import Refinement, allow_for_shoes, corrected_ground, explain, refine
from spoton_edge.errors import ExitCode, MissingExtraError, SpotOnError, UsageError
from spoton_edge.ground_plane import FootModel, GroundPlane

GATE_M = 1.0
CLOCK_SDS, CLOCK_MS = 4.0, 50.0  # a clock is set only for more than this

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
  --detections people's boxes, which are off by decimetres at the feet: the shares of feet and calibration are told apart
"""
_BOXES = """\
DIR has a file for each camera, named like it: NAME.csv with the columns frame, x1, y1, x2, y2; or NAME.txt in MOTChallenge's
layout (frame, id, left, top, width, height, ...); or NAME.npz. Or it is a recording: spoton-edge watch --json > FILE.
"""
_REFINE = """\
Measures what people seen by two cameras at once (or floor marks) say of each camera's floor: one 2x2 and a shift a camera,
so that the cameras agree. A box ends at the nearer shoe: this is allowed for, and not taken for a calibration error.
Without --out it only shows what it would do. --frames fits on some and tests on the rest.

  spoton-edge calibrate refine site.yaml --detections boxes/ --frames 0:600 --out site.refined.yaml
"""
_IMPORT = """\
Known are, by content: NumPy archives with image_points and map_points; JSON with cameras[].source_points,
destination_points, homography and pixels_per_meter; exit_rules (JSON, or Python source, which is read and never run);
JSON with intrinsic and extrinsic; WILDTRACK's and MultiviewX's folder of intr_*.xml and extr_*.xml; OpenCV's YAML and XML;
MATLAB's 3x4 and 3x3. Several paths make one site.

  spoton-edge calibrate import homography_points_c09.npz homography_points_c12.npz --pixels-per-metre 50 --out site.yaml
"""


def add_verbs(verbs: Any) -> None:
    """Put `calibrate` and its verbs among the commands."""
    text = "Get the floor of each camera, and know how good it is"
    calibrate = verbs.add_parser("calibrate", help=text, description=text + ".")
    inner = calibrate.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = _verb(inner, "fit", _fit, "Fit a camera's floor to points and say how far it can be trusted", _FIT)
    verb.add_argument("points", type=Path, metavar="POINTS.csv", help="lines of u, v, x, y")
    verb.add_argument("--image-size", type=int, nargs=2, metavar=("W", "H"), required=True, help="of the picture")
    verb.add_argument(
        "--axes", choices=("y_up", "y_down"), default="y_up", help="the site's ground.axes; default: y_up"
    )
    verb.add_argument("--drop", action="store_true", help="leave out points that contradict the others")
    verb.add_argument("--out", type=Path, metavar="FILE.yaml", help="write the camera's `ground` here")
    _json_option(verb)

    verb = _verb(inner, "check", _check, "Judge each camera's calibration and how well cameras agree", _CHECK + _BOXES)
    _site_options(verb)
    verb.add_argument("--no-sources", action="store_true", help="do not open the cameras to see their pictures' sizes")
    _json_option(verb)

    verb = _verb(inner, "refine", _refine, "Correct calibrations by what several cameras see at once", _REFINE + _BOXES)
    _site_options(verb)
    verb.add_argument("--frames", type=_span, metavar="A:B", help="fit on frames A to B-1, test on the others")
    verb.add_argument("--no-clocks", action="store_true", help="do not measure clock offsets")
    verb.add_argument("--out", type=Path, metavar="NEW.yaml", help="write the corrected site here, beside the old one")
    _json_option(verb)

    verb = _verb(
        inner, "draw", _draw, "Draw the floor's grid into each camera's picture, and the site from above", _BOXES
    )
    _site_options(verb)
    verb.add_argument("--pictures", type=Path, metavar="DIR", help="NAME.png or NAME.jpg; default: from the sources")
    verb.add_argument(
        "--out", type=Path, default=Path("calibration-pictures"), metavar="DIR", help="default: %(default)s"
    )

    verb = _verb(inner, "import", _import, "Read calibrations of other programs into a site file", _IMPORT)
    verb.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files or folders")
    verb.add_argument("--pixels-per-metre", type=float, metavar="N", help="where floor places are pixels of a picture")
    verb.add_argument("--image-size", type=int, nargs=2, metavar=("W", "H"), help="of the cameras' pictures")
    verb.add_argument("--axes", choices=("y_up", "y_down"), help="default: y_down where all cameras say so")
    verb.add_argument(
        "--source", default="{name}.mp4", metavar="PATTERN", help="each camera's source; default: %(default)s"
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


def _site_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file")
    verb.add_argument(
        "--marks", type=Path, metavar="CSV", help="floor marks seen by several cameras: mark, camera, u, v"
    )
    verb.add_argument("--detections", type=Path, metavar="DIR", help="people's boxes, or a recording")
    verb.add_argument(
        "--rate", type=float, default=10.0, metavar="HZ", help="frames a second of DIR; default: %(default)g"
    )
    verb.add_argument("--gate", type=float, default=GATE_M, metavar="M", help="feet farther apart are two people's; default: "
                      "%(default)g")  # fmt: skip


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


def _fit(options: argparse.Namespace) -> int:
    rows = _read_points(options.points)
    size = (options.image_size[0], options.image_size[1])
    verdict, ground = _fitted(rows, size, options.axes)
    dropped: list[int] = []
    if options.drop and verdict.fit is not None and verdict.fit.outliers and not verdict.fit.ambiguous:
        dropped = [i + 1 for i in verdict.fit.outliers]
        verdict, ground = _fitted([row for i, row in enumerate(rows, 1) if i not in dropped], size, options.axes)
    if options.json:
        print(json.dumps(_plain(verdict), indent=2))
    else:
        for number in dropped:
            print(f"point {number} is left out")
        if verdict.fit is not None:
            _print_points(verdict.fit)
        _print_camera(verdict)
    if verdict.grade == "refuse":
        return ExitCode.USAGE
    if options.out is not None:
        remarks = [f"{verdict.grade}: {reason}" for reason in verdict.reasons] or [
            f"{verdict.grade}: {_figures(verdict)}"
        ]
        files.write_new(options.out, files.ground_text(ground, remarks))
        if not options.json:
            print(f"written to {options.out}; in the site file: ground: {{file: {options.out.name}}}")
    return ExitCode.STOPPED


def _fitted(rows: list[list[float]], size: tuple[int, int], axes: str) -> tuple[CameraVerdict, dict[str, Any]]:
    """The verdict on a site of one camera that has these points."""
    ground = {"image_size": list(size), "points": rows}
    try:
        site = config.Site.model_validate(
            {"ground": {"axes": axes}, "cameras": [{"name": "camera", "source": "camera.mp4", "ground": ground}]}
        )
    except ValidationError as error:
        return CameraVerdict("camera", "refuse", (_first(error),)), ground
    return judge_site(site)[0], ground


def _first(error: ValidationError) -> str:
    return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")


def _read_points(path: Path) -> list[list[float]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [
                (n, row) for n, row in enumerate(csv.reader(file), 1) if row and not row[0].lstrip().startswith("#")
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    if lines and not _is_number(lines[0][1][0]):
        lines = lines[1:]
    points = []
    for line, row in lines:
        if len(row) < 4 or not all(_is_number(x) for x in row[:4]):
            raise UsageError(f"{path}:{line}: needs four numbers u, v, x, y")
        points.append([float(x) for x in row[:4]])
    return points


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _check(options: argparse.Namespace) -> int:
    site = config.load(options.site)
    pictures: dict[str, tuple[int, int]] = {}
    unseen: list[str] = []
    if not options.no_sources:
        pictures, unseen = _part("stills").sizes(site)
    verdicts = judge_site(site, pictures)
    boxes = _boxes(options, site)
    verdicts = _with_heights(verdicts, boxes)
    planes = _planes(verdicts)
    marks = _marks(options, planes)
    people = people_sightings(boxes, planes, gate_m=options.gate) if boxes else None
    pairs = judge_pairs(planes, marks if marks is not None else _standing(people))
    if options.json:
        print(json.dumps(_report(verdicts, pairs, marks, people), indent=2))
    else:
        for line in unseen:
            print(f"not looked at: {line}")
        for verdict in verdicts:
            _print_camera(verdict)
        for pair in pairs:
            _print_pair(pair)
        _print_agreement(marks, people, len(planes))
    return ExitCode.USAGE if any(verdict.grade == "refuse" for verdict in verdicts) else ExitCode.STOPPED


def _refine(options: argparse.Namespace) -> int:
    if (options.marks is None) == (options.detections is None):
        raise UsageError("give --detections DIR or --marks CSV: what the cameras saw")
    site = config.load(options.site)
    if options.out is not None and options.out.parent.resolve() != options.site.parent.resolve():
        raise UsageError(
            f"--out {options.out}: paths in a site file are relative to it; write it beside {options.site}"
        )
    verdicts = judge_site(site)
    planes = _planes(verdicts)
    boxes = _boxes(options, site)
    if boxes:
        sightings = people_sightings(boxes, planes, gate_m=options.gate)
        span = options.frames
        chosen = None if span is None else _within(sightings, span, options.rate)
    else:
        sightings, chosen = _marks(options, planes) or mark_sightings([], planes), None
    names = list(planes)
    try:
        refinement = refine(sightings, names, people=bool(boxes), fit=chosen)
    except ValueError as error:
        raise UsageError(f"{error}; record for longer, or place marks where views overlap") from None
    clocks = clock_offsets(boxes, planes) if boxes and not options.no_clocks else {}
    if options.json:
        print(json.dumps(_refinement_json(refinement, clocks), indent=2))
    else:
        _print_refinement(refinement, clocks)
    if not refinement.helps:
        raise UsageError(
            "the cameras would agree no better on what was not fitted: nothing is written; record for longer"
        )
    if options.out is not None:
        _write_refined(options, site, refinement, clocks)
    return ExitCode.STOPPED


def _write_refined(
    options: argparse.Namespace, site: config.Site, refinement: Refinement, clocks: Mapping[str, Any]
) -> None:
    grounds, offsets = {}, {}
    for camera in site.cameras:
        if camera.ground is not None and camera.name in refinement.corrections:
            grounds[camera.name] = corrected_ground(camera.ground, refinement.corrections[camera.name])
        clock = clocks.get(camera.name)
        if clock is not None and abs(clock.offset_ms) > max(CLOCK_SDS * clock.sd_ms, CLOCK_MS):
            offsets[camera.name] = camera.clock_offset_ms + clock.offset_ms
    remark = (
        f"refined from {options.site.name} on {refinement.things} things seen by several cameras: they disagreed by "
        f"{100 * refinement.before_m:.1f} cm rms around their mean, now by {100 * refinement.after_m:.1f} cm"
    )
    files.write_new(options.out, files.changed_site_text(options.site, grounds, offsets, [remark]))
    config.load(options.out)
    if not options.json:
        print(f"written to {options.out}; compare: spoton-edge calibrate check {options.out}")


def _within(sightings: Sightings, span: tuple[int, int], rate_hz: float) -> np.ndarray:
    frame = np.round(sightings.time_s * rate_hz)
    return np.asarray((frame >= span[0]) & (frame < span[1]))


def _draw(options: argparse.Namespace) -> int:
    draw, stills = _part("draw"), _part("stills")
    site = config.load(options.site)
    boxes = _boxes(options, site)
    images, lacking = {}, []
    for camera in site.cameras:
        try:
            images[camera.name] = stills.still(camera, options.pictures)
        except SpotOnError as error:
            lacking.append(str(error))
    sizes = {name: (image.shape[1], image.shape[0]) for name, image in images.items()}
    verdicts = _with_heights(judge_site(site, sizes), boxes)
    planes = _planes(verdicts)
    people = people_sightings(boxes, planes, gate_m=options.gate) if boxes else None
    pairs = judge_pairs(planes, _marks(options, planes) or _standing(people))
    options.out.mkdir(parents=True, exist_ok=True)
    for verdict in verdicts:
        if verdict.camera in images:
            seen = boxes.get(verdict.camera)
            feet = None if seen is None else np.column_stack([seen.xyxy[:, [0, 2]].mean(axis=1), seen.xyxy[:, 3]])
            draw.draw_camera(options.out / f"{verdict.camera}.png", images[verdict.camera], verdict, feet)
            print(options.out / f"{verdict.camera}.png")
    places = {}
    for name, plane in planes.items():
        if plane is not None and name in boxes:
            feet = feet_of(boxes[name], plane)
            places[name] = np.column_stack([feet["x"], feet["y"]])
    draw.draw_site(options.out / "site.png", site, verdicts, pairs, places)
    print(options.out / "site.png")
    for line in lacking:
        print(f"no picture: {line}")
    return ExitCode.STOPPED


def _import(options: argparse.Namespace) -> int:
    imported = Imported()
    for path in options.paths:
        imported |= read(path, pixels_per_metre=options.pixels_per_metre)
    if not imported.grounds and not imported.handoffs:
        raise UsageError(f"{options.paths[0]}: has no camera in it")
    names = list(dict.fromkeys([*imported.grounds, *imported.handoffs]))
    floor = dict(imported.floor)
    if options.axes:
        floor["axes"] = options.axes
    cameras, refused = [], []
    for name in names:
        camera: dict[str, Any] = {"name": name, "source": options.source.format(name=name)}
        ground = imported.grounds.get(name)
        if ground is not None:
            if options.image_size:
                ground = {
                    "image_size": list(options.image_size),
                    **{k: v for k, v in ground.items() if k != "image_size"},
                }
            fault = _ground_fault(ground)
            if fault is None:
                camera["ground"] = ground
            else:
                refused.append(CameraVerdict(name, "refuse", (fault,)))
        links = [link for link in imported.handoffs.get(name, []) if link["to"] in names]
        if links:
            camera["handoff"] = links
        cameras.append(camera)
    site, data = _imported_site(options, floor, cameras)
    verdicts = [v for v in judge_site(site) if v.camera not in {r.camera for r in refused}] + refused
    if "axes" not in floor and all(
        "ground.axes: y_down" in " ".join(v.reasons) for v in verdicts if v.plane is not None
    ):
        site, data = _imported_site(options, {**floor, "axes": "y_down"}, cameras)
        verdicts = judge_site(site) + refused
    # A calibration that is refused does not go into the site; its camera does, so that it can be calibrated.
    bad = {v.camera for v in verdicts if v.grade == "refuse"}
    for camera in data["cameras"]:
        if camera["name"] in bad:
            camera.pop("ground", None)
    remarks = [
        f"{v.camera}: {v.grade}" + "".join(f"; {reason}" for reason in v.reasons) for v in verdicts if v.calibrated
    ]
    if options.out is None:
        print(files.site_text(data, [*imported.notes, *remarks]), end="")
    else:
        for note in imported.notes:
            print(note)
        for verdict in verdicts:
            _print_camera(verdict)
        files.write_new(options.out, files.site_text(data, [*imported.notes, *remarks]))
        print(f"written to {options.out}; set each camera's source, then: spoton-edge calibrate check {options.out}")
    return ExitCode.USAGE if bad else ExitCode.STOPPED


def _ground_fault(ground: Mapping[str, Any]) -> str | None:
    try:
        config.CameraGround.model_validate(dict(ground))
    except ValidationError as error:
        return _first(error)
    return None


def _imported_site(
    options: argparse.Namespace, floor: Mapping[str, Any], cameras: Sequence[Mapping[str, Any]]
) -> tuple[config.Site, dict[str, Any]]:
    data: dict[str, Any] = {"site": options.site} | ({"ground": dict(floor)} if floor else {})
    data["cameras"] = [dict(camera) for camera in cameras]
    try:
        return config.Site.model_validate(data), data
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise UsageError(f"{'.'.join(map(str, details['loc']))}: {_first(error)}") from None


def _part(module: str) -> Any:
    """A module of this package whose dependencies are optional."""
    try:
        return importlib.import_module(f"spoton_edge.calibration.{module}")
    except ImportError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[calibrate]'") from None


def _boxes(options: argparse.Namespace, site: config.Site) -> dict[str, Boxes]:
    if options.detections is None:
        return {}
    return read_boxes(options.detections, [camera.name for camera in site.cameras], options.rate)


def _marks(options: argparse.Namespace, planes: Mapping[str, GroundPlane | None]) -> Sightings | None:
    return None if options.marks is None else mark_sightings(read_marks(options.marks, list(planes)), planes)


def _standing(people: Sightings | None) -> Sightings | None:
    """People where the daemon places them."""
    return None if people is None else allow_for_shoes(people, FootModel().shoe_m)


def _planes(verdicts: Sequence[CameraVerdict]) -> dict[str, GroundPlane | None]:
    return {verdict.camera: verdict.plane for verdict in verdicts}


def _with_heights(verdicts: Sequence[CameraVerdict], boxes: Mapping[str, Boxes]) -> list[CameraVerdict]:
    out = []
    for verdict in verdicts:
        if verdict.plane is not None and verdict.camera in boxes:
            heights = feet_of(boxes[verdict.camera], verdict.plane)["height_m"]
            verdict = judge_person_height(verdict, heights[np.isfinite(heights)])
        out.append(verdict)
    return out


def _print_points(fit: Fit) -> None:
    print("point        u        v        x        y   off by   left out")
    for i, ((u, v, x, y), inlier) in enumerate(zip(fit.points, fit.inlier, strict=True)):
        left_out = "-" if np.isnan(fit.leave_one_out_m[i]) else f"{fit.leave_one_out_m[i]:.2f} m"
        print(
            f"{i + 1:5} {u:8.1f} {v:8.1f} {x:8.2f} {y:8.2f} {fit.residual_m[i]:6.2f} m {left_out:>10}{'' if inlier else '  wrong'}"
        )


def _figures(verdict: CameraVerdict) -> str:
    f = verdict.figures
    shown = [
        None if f.rms_m is None else f"points {100 * f.rms_m:.1f} cm rms",
        None if f.left_out_m is None else f"left out {100 * f.left_out_m:.0f} cm at most",
        None if f.sd_m is None else f"known to {100 * f.sd_m:.0f} cm among the points",
        None if f.hull_share is None else f"they enclose {f.hull_share:.0%} of the floor seen",
        None if f.conditioning is None else f"conditioning {f.conditioning:.0f}",
        None if f.camera_height_m is None else f"camera {f.camera_height_m:.1f} m high",
        None if f.metres_per_pixel is None else f"{100 * f.metres_per_pixel:.1f} cm a pixel",
        None if f.horizon_v is None else f"horizon at v = {f.horizon_v:.0f}",
        None if f.person_height_m is None else f"people {f.person_height_m:.2f} m tall",
    ]
    return ", ".join(text for text in shown if text)


def _print_camera(verdict: CameraVerdict) -> None:
    print(f"{verdict.camera}: {verdict.grade if verdict.calibrated else 'not calibrated'}")
    for reason in verdict.reasons if verdict.calibrated else ():
        print(f"  {reason}")
    if _figures(verdict):
        print(f"  {_figures(verdict)}")


def _print_pair(pair: PairVerdict) -> None:
    measured = ""
    if pair.rms_m is not None:
        measured = (
            f", {pair.count} seen by both: {100 * (pair.median_m or 0):.0f} cm apart (median), "
            f"{100 * pair.rms_m:.0f} cm rms, {100 * (pair.worst_m or 0):.0f} cm at most"
        )
    print(f"{' - '.join(pair.cameras)}: {pair.grade}, {pair.shared_m2:.0f} m2 of common floor{measured}")
    if pair.reason:
        print(f"  {pair.reason}")


def _print_agreement(marks: Sightings | None, people: Sightings | None, cameras: int) -> None:
    if marks is not None and len(marks):
        off = 100 * rms(view_to_mean(marks))
        print(f"floor marks: {len(np.unique(marks.group))} seen by several cameras, {off:.1f} cm rms around their mean")
    if people is not None and len(people):
        causes = {name: 100 * value for name, value in explain(people, cameras).items()}
        print(
            f"people: {len(np.unique(people.group))} moments seen by several cameras, {causes['all']:.1f} cm rms around "
            f"their mean; of that feet explain {causes['feet']:.1f}, calibration {causes['calibration']:.1f}, "
            f"neither {causes['rest']:.1f} cm (squares add up)"
        )


def _print_refinement(refinement: Refinement, clocks: Mapping[str, Any]) -> None:
    r = refinement
    print(f"{r.things} things seen by several cameras, {r.views} views")
    if r.foot_m is not None:
        print(f"feet lie {100 * r.foot_m:.0f} cm towards the camera: allowed for, not corrected")
        c = {name: 100 * value for name, value in r.causes_m.items()}
        print(
            f"disagreement {c['all']:.1f} cm rms: feet {c['feet']:.1f}, calibration {c['calibration']:.1f}, rest {c['rest']:.1f}"
        )
    print(f"cameras around their mean: {100 * r.before_m:.1f} cm rms before, {100 * r.after_m:.1f} after")
    if r.tested_before_m is not None and r.tested_after_m is not None:
        print(
            f"on what was not fitted:    {100 * r.tested_before_m:.1f} cm rms before, {100 * r.tested_after_m:.1f} after"
        )
    for name, m in r.corrections.items():
        print(
            f"{name}: x' = {m[0, 0]:.4f} x {m[0, 1]:+.4f} y {m[0, 2]:+.3f}   y' = {m[1, 0]:.4f} x {m[1, 1]:+.4f} y {m[1, 2]:+.3f}"
        )
    for name, clock in clocks.items():
        print(f"{name}: clock {clock.offset_ms:+.0f} ms (sd {clock.sd_ms:.0f})")


def _refinement_json(refinement: Refinement, clocks: Mapping[str, Any]) -> dict[str, Any]:
    return _plain(refinement) | {"clocks": {name: asdict(clock) for name, clock in clocks.items()}}


def _report(
    verdicts: Sequence[CameraVerdict], pairs: Sequence[PairVerdict], marks: Sightings | None, people: Sightings | None
) -> dict[str, Any]:
    report: dict[str, Any] = {"cameras": [_plain(v) for v in verdicts], "pairs": [_plain(p) for p in pairs]}
    if marks is not None:
        report["marks_rms_m"] = rms(view_to_mean(marks))
    if people is not None and len(people):
        report["people_rms_m"] = explain(people, len(verdicts))
    return report


def _plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON holds them; a plane is its homography."""
    if isinstance(value, GroundPlane):
        return {"homography": value.homography.tolist(), "image_size": list(value.image_size)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value

"""What `spoton-edge calibrate fit|check|refine|draw` do with the files and cameras they are given."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from spoton_edge import config
from spoton_edge.calibration import files
from spoton_edge.calibration.agreement import judge_pairs
from spoton_edge.calibration.clocks import ClockOffset, clock_offsets
from spoton_edge.calibration.edit import changed_text
from spoton_edge.calibration.judge import judge_person_height, judge_site
from spoton_edge.calibration.observations import (
    Boxes,
    Sightings,
    feet_of,
    hear_boxes,
    mark_sightings,
    people_sightings,
    read_boxes,
    read_marks,
)
from spoton_edge.calibration.refine import Refinement, allow_for_shoes, corrected_ground
from spoton_edge.calibration.refine import refine as fit_corrections
from spoton_edge.calibration.report import (
    figures,
    plain,
    print_agreement,
    print_camera,
    print_knowledge,
    print_pair,
    print_points,
    print_refinement,
    refinement_json,
    report,
)
from spoton_edge.calibration.verbs import part
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.errors import ExitCode, SpotOnError, UsageError
from spoton_edge.ground_plane import FootModel, GroundPlane

SCALE = "scale: not checked; do the cameras hang as high as this says?"
CLOCK_SDS, CLOCK_MS = 4.0, 50.0  # a clock is set only for more than this


def fit(options: argparse.Namespace) -> int:
    """`calibrate fit`: points to a camera's `ground`."""
    rows = _read_points(options.points)
    size = (options.image_size[0], options.image_size[1])
    verdict, ground = _fitted(rows, size, options.axes)
    dropped: list[int] = []
    if options.drop and verdict.fit is not None and verdict.fit.outliers and not verdict.fit.ambiguous:
        dropped = [i + 1 for i in verdict.fit.outliers]
        verdict, ground = _fitted([row for i, row in enumerate(rows, 1) if i not in dropped], size, options.axes)
    if options.json:
        print(json.dumps(plain(verdict), indent=2))
    else:
        for number in dropped:
            print(f"point {number} is left out")
        if verdict.fit is not None:
            print_points(verdict.fit)
            print_knowledge(verdict.fit, size)
        print_camera(verdict)
        if verdict.plane is not None:
            print(SCALE)
    if verdict.grade == "refuse":
        return ExitCode.USAGE
    if options.out is not None:
        remarks = [f"{verdict.grade}: {reason}" for reason in verdict.reasons] or [
            f"{verdict.grade}: {', '.join(figures(verdict))}"
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
        return CameraVerdict("camera", "refuse", (first_fault(error),)), ground
    return judge_site(site)[0], ground


def first_fault(error: ValidationError) -> str:
    """The first thing that a schema finds wrong, in an operator's words."""
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


def check(options: argparse.Namespace) -> int:
    """`calibrate check`: a verdict for each camera and each pair."""
    site = config.load(options.site)
    pictures: dict[str, tuple[int, int]] = {}
    unseen: list[str] = []
    if not options.no_sources:
        pictures, unseen = part("stills").sizes(site)
    verdicts = judge_site(site, pictures)
    boxes = _boxes(options, site)
    verdicts = _with_heights(verdicts, boxes)
    planes = _planes(verdicts)
    marks = _marks(options, planes)
    people = people_sightings(boxes, planes, gate_m=options.gate) if boxes else None
    pairs = judge_pairs(planes, marks if marks is not None else _standing(people))
    if options.json:
        print(json.dumps(report(verdicts, pairs, marks, people), indent=2))
    else:
        for line in unseen:
            print(f"not looked at: {line}")
        for verdict in verdicts:
            print_camera(verdict)
        for pair in pairs:
            print_pair(pair)
        print_agreement(marks, people, len(planes))
        if not boxes and any(planes.values()):
            print(f"{SCALE}; how tall people come out tells it, with --detections")
    return ExitCode.USAGE if any(verdict.grade == "refuse" for verdict in verdicts) else ExitCode.STOPPED


def refine(options: argparse.Namespace) -> int:
    """`calibrate refine`: a corrected site beside the old one."""
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
        chosen = _firstpart(sightings) if span is None else _within(sightings, span, options.rate)
    else:
        sightings, chosen = _marks(options, planes) or mark_sightings([], planes), None
    names = list(planes)
    try:
        refinement = fit_corrections(sightings, names, people=bool(boxes), fit=chosen)
        if boxes and options.frames is None:  # tested on the rest; what is kept may use all there is
            tested = refinement
            refinement = replace(
                fit_corrections(sightings, names, people=True),
                tested_before_m=tested.tested_before_m,
                tested_after_m=tested.tested_after_m,
            )
    except ValueError as error:
        raise UsageError(f"{error}; record for longer, or place marks where views overlap") from None
    clocks = clock_offsets(boxes, planes) if boxes and not options.no_clocks else {}
    if options.json:
        print(json.dumps(refinement_json(refinement, clocks), indent=2))
    else:
        print_refinement(refinement, clocks)
    if not refinement.helps:
        raise UsageError(
            "the cameras would agree no better on what was not fitted: nothing is written; record for longer"
        )
    if options.out is not None:
        _write_refined(options, site, refinement, clocks)
    return ExitCode.STOPPED


def _write_refined(
    options: argparse.Namespace, site: config.Site, refinement: Refinement, clocks: Mapping[str, ClockOffset]
) -> None:
    changes: dict[str, dict[str, Any]] = {}
    for camera in site.cameras:
        if camera.ground is not None and camera.name in refinement.corrections:
            ground = corrected_ground(camera.ground, refinement.corrections[camera.name])
            changes.setdefault(camera.name, {})["ground"] = ground
        clock = clocks.get(camera.name)
        if clock is not None and abs(clock.offset_ms) > max(CLOCK_SDS * clock.sd_ms, CLOCK_MS):
            offset = round(camera.clock_offset_ms + clock.offset_ms, 1)
            changes.setdefault(camera.name, {})["clock_offset_ms"] = offset
    remark = (
        f"refined from {options.site.name} on {refinement.things} things seen by several cameras: they disagreed by "
        f"{100 * refinement.before_m:.1f} cm rms around their mean, now by {100 * refinement.after_m:.1f} cm"
    )
    text = changed_text(options.site.read_text(encoding="utf-8"), changes)
    files.write_new(options.out, files.remarks_text([remark]) + text)
    config.load(options.out)
    if not options.json:
        print(f"written to {options.out}; compare: spoton-edge calibrate check {options.out}")


def _firstpart(sightings: Sightings, share: float = 0.6) -> np.ndarray:
    return np.asarray(sightings.time_s <= np.quantile(sightings.time_s, share)) if len(sightings) else np.zeros(0, bool)


def _within(sightings: Sightings, span: tuple[int, int], rate_hz: float) -> np.ndarray:
    frame = np.round(sightings.time_s * rate_hz)
    return np.asarray((frame >= span[0]) & (frame < span[1]))


def draw(options: argparse.Namespace) -> int:
    """`calibrate draw`: a picture for each camera and one of the site."""
    draw, stills = part("draw"), part("stills")
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


def _boxes(options: argparse.Namespace, site: config.Site) -> dict[str, Boxes]:
    if options.detections is None:
        return {}
    names = [camera.name for camera in site.cameras]
    if "://" in options.detections:
        print(f"listening to {options.detections} for {options.seconds:g} s", file=sys.stderr, flush=True)
        return hear_boxes(options.detections, names, options.seconds)
    return read_boxes(Path(options.detections), names, options.rate)


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

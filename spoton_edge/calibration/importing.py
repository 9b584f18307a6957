"""`spoton-edge calibrate import`: calibrations of other programs to a site file, each with a verdict."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from spoton_edge import config
from spoton_edge.calibration import files
from spoton_edge.calibration.annotations import (
    MULTIVIEWX,
    WILDTRACK,
    foot_errors_m,
    read_annotations,
    write_boxes,
)
from spoton_edge.calibration.commands import first_fault
from spoton_edge.calibration.formats import Imported, read
from spoton_edge.calibration.judge import judge_site
from spoton_edge.calibration.report import print_camera
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.errors import ExitCode, UsageError


def import_site(options: argparse.Namespace) -> int:
    """`calibrate import`: other programs' files to a site file with verdicts."""
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
    notes = [*imported.notes, *_annotated(options, list(imported.grounds), imported.notes, verdicts)]
    for camera in data["cameras"]:
        if camera["name"] in bad:
            camera.pop("ground", None)
    remarks = [
        f"{v.camera}: {v.grade}" + "".join(f"; {reason}" for reason in v.reasons) for v in verdicts if v.calibrated
    ]
    if options.out is None:
        print(files.site_text(data, [*notes, *remarks]), end="")
    else:
        for note in notes:
            print(note)
        for verdict in verdicts:
            print_camera(verdict)
        files.write_new(options.out, files.site_text(data, [*notes, *remarks]))
        print(f"written to {options.out}; set each camera's source, then: spoton-edge calibrate check {options.out}")
    return ExitCode.USAGE if bad else ExitCode.STOPPED


def _annotated(
    options: argparse.Namespace, cameras: list[str], notes: Sequence[str], verdicts: Sequence[CameraVerdict]
) -> list[str]:
    """What annotated people say of the calibrations; their boxes are written where asked for."""
    planes = {v.camera: v.plane for v in verdicts}
    found = []
    for path in options.paths:
        if not (path / "annotations_positions").is_dir():
            continue
        grid = WILDTRACK if any("centimetres" in note for note in notes) else MULTIVIEWX
        annotated = read_annotations(path, cameras, grid)
        for camera, rows in annotated.items():
            plane = planes.get(camera)
            if plane is not None:
                errors = foot_errors_m(plane, rows)
                found.append(f"{camera}: {len(errors)} annotated feet, {100 * np.median(errors):.1f} cm off (median)")
        if options.boxes is not None:
            write_boxes(options.boxes, annotated)
    if options.boxes is not None and not found:
        raise UsageError("--boxes: there is no annotations_positions in what is imported")
    return found


def _ground_fault(ground: Mapping[str, Any]) -> str | None:
    try:
        config.CameraGround.model_validate(dict(ground))
    except ValidationError as error:
        return first_fault(error)
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
        raise UsageError(f"{'.'.join(map(str, details['loc']))}: {first_fault(error)}") from None

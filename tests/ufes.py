"""The four views of the UFES laboratory: boxes of a detector (checked by eye) and hand-read places of two walkers."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spoton_edge.calibration.agreement import rms
from spoton_edge.ground_plane import GroundPlane

RATE_HZ = 10.0
NAMES = [f"cam{n}" for n in range(4)]
HEIGHT = 728


def labelled(data: Path) -> list[tuple[int, str, int, np.ndarray]]:
    """(frame, camera, person, box) of every box that a detector gave and that shows the feet's side of a walker."""
    with (data / "ufes4cam" / "gt" / "boxes.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["src"] == "det" and row["visible"] == "1"]
    out = []
    for row in rows:
        box = np.array([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
        if box[3] < 0.995 * HEIGHT:
            out.append((int(row["frame"]), f"cam{row['cam']}", int(row["id"]), box))
    return out


def truth(data: Path) -> dict[tuple[int, int], np.ndarray]:
    """(frame, person) -> metres."""
    with (data / "ufes4cam" / "gt" / "ground.csv").open() as file:
        return {
            (int(r["frame"]), int(r["id"])): np.array([float(r["x_m"]), float(r["y_m"])]) for r in csv.DictReader(file)
        }


def write_boxes(data: Path, folder: Path) -> None:
    """One CSV a camera, as `calibrate --detections` takes them; who is who is not told."""
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        rows = [f"{f},{b[0]},{b[1]},{b[2]},{b[3]}" for f, camera, _, b in labelled(data) if camera == name]
        (folder / f"{name}.csv").write_text("frame,x1,y1,x2,y2\n" + "\n".join(rows) + "\n")


def errors(
    data: Path, planes: Mapping[str, GroundPlane], *, shoe_m: float, frames: tuple[int, int] = (135, 268)
) -> tuple[float, float]:
    """rms m of single views, and of the mean of two or more views, against the hand-read places."""
    places = truth(data)
    single: list[np.ndarray] = []
    views: dict[tuple[int, int], list[np.ndarray]] = {}
    for frame, camera, person, box in labelled(data):
        if not frames[0] <= frame < frames[1]:
            continue
        foot = np.array([[(box[0] + box[2]) / 2, box[3]]])
        xy = planes[camera].to_ground(foot)[0]
        down = planes[camera].to_ground(foot + np.array([0.0, 1.0]))[0] - xy
        error = xy - shoe_m * down / np.linalg.norm(down) - places[frame, person]
        single.append(error)
        views.setdefault((frame, person), []).append(error)
    fused = [np.mean(found, axis=0) for found in views.values() if len(found) > 1]
    return rms(np.array(single)), rms(np.array(fused))

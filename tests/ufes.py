"""The four views of the UFES laboratory: boxes of a detector (checked by eye) and hand-read places of two walkers."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.optimize import linear_sum_assignment

from spoton_edge.calibration.agreement import rms
from spoton_edge.cli import main
from spoton_edge.ground_plane import GroundPlane
from tests.pets import Estimate, overlaps

RATE_HZ = 10.0
NAMES = [f"cam{n}" for n in range(4)]
HEIGHT = 728
WALKERS, SEATED = (1, 2), 11
REACH_M = 0.6  # a person is whom the program has nearest to the hand-read place, within so much


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


def write_site(data: Path, folder: Path, detector: str, /, **changes: dict[str, object]) -> Path:
    """The laboratory's calibrations as they are delivered, on its videos and a model, published on ENDPOINT."""
    path, videos = folder / "site.yaml", data / "ufes4cam" / "videos"
    calibrations = str(data / "ufes4cam" / "config_camera_2021_USE")
    if main(["calibrate", "import", calibrations, "--source", str(videos / "{name}.mp4"), "--out", str(path)]):
        raise SystemExit("the calibrations cannot be imported")
    site = yaml.safe_load(path.read_text())
    site["detector"] = {"model": detector}
    site["publish"] = {"bind": ["ENDPOINT"], "snapshot": "ENDPOINT-snapshot"}
    site["runtime"] = {"control": f"ipc://{folder}/control"}
    for section, values in changes.items():
        site[section] = {**site.get(section, {}), **values}
    path.write_text(yaml.safe_dump(site))
    return path


@dataclass(frozen=True)
class Score:
    """What the bench prints and the tests assert."""

    ids: dict[int, Counter[int]]  # of each walker: in how many of the labelled frames which id was nearest to him
    confused: int  # boxes of the seated person with an id that is also a walker's
    placed: float  # share of the walkers' labelled frames with somebody in reach
    median_m: float  # of those, how far off
    people: int  # ids in all


def score(data: Path, estimate: Estimate) -> Score:
    """Of what the program said; frames are counted from 1 there, and from 0 in the labels."""
    places = {(frame + 1, person): xy for (frame, person), xy in truth(data).items() if person in WALKERS}
    ids: dict[int, Counter[int]] = {person: Counter() for person in WALKERS}
    errors: list[float] = []
    for frame in sorted({frame for frame, _ in places}):
        here = [person for person in WALKERS if (frame, person) in places]
        said = [identity for at, identity in estimate.ground if at == frame]
        apart = np.array([[_apart(places[frame, p], estimate.ground[frame, i]) for i in said] for p in here])
        for row, column in zip(*linear_sum_assignment(np.minimum(apart, 2 * REACH_M)), strict=True):
            if apart[row, column] <= REACH_M:
                ids[here[row]][said[column]] += 1
                errors.append(float(apart[row, column]))
    walkers = {identity for count in ids.values() for identity in count}
    return Score(
        ids=ids,
        confused=sum(identity in walkers for identity in _seated(data, estimate)),
        placed=len(errors) / len(places),
        median_m=float(np.median(errors)) if errors else float("nan"),
        people=len({identity for views in estimate.views.values() for identity, _ in views}),
    )


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


def _seated(data: Path, estimate: Estimate) -> list[int]:
    """The ids of the boxes that fit the seated person better than anybody else who is labelled."""
    with (data / "ufes4cam" / "gt" / "boxes.csv").open() as file:
        rows = [(int(r["frame"]) + 1, f"cam{r['cam']}", int(r["id"]), r) for r in csv.DictReader(file)]
    people: dict[tuple[int, str], list[tuple[int, list[float]]]] = {}
    for frame, camera, person, row in rows:
        box = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
        people.setdefault((frame, camera), []).append((person, box))
    found = []
    for at, persons in people.items():
        for identity, box in estimate.views.get(at, []):
            fit = overlaps(np.array([b for _, b in persons]), box[None])[:, 0]
            if fit.max() >= 0.5 and persons[int(fit.argmax())][0] == SEATED:
                found.append(identity)
    return found

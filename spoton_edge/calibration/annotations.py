"""WILDTRACK's and MultiviewX's annotations: who stands where on a grid of the floor, and each camera's box of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spoton_edge.errors import UsageError
from spoton_edge.ground_plane import FootModel, GroundPlane, Site
from spoton_edge.types import F8, I8, Tracklets

CELL_M = 0.025


@dataclass(frozen=True, slots=True)
class Annotated:
    """One camera's people, one row each."""

    frame: I8  # (n,) from 0
    person: I8  # (n,)
    xyxy: F8  # (n, 4) px
    xy: F8  # (n, 2) m


@dataclass(frozen=True, slots=True)
class Grid:
    """How a positionID becomes metres."""

    columns: int
    origin_m: tuple[float, float]


WILDTRACK, MULTIVIEWX = Grid(480, (-3.0, -9.0)), Grid(1000, (0.0, 0.0))


def read_annotations(folder: Path, cameras: Sequence[str], grid: Grid) -> dict[str, Annotated]:
    """`annotations_positions/*.json` of a data set; viewNum counts the cameras in the order given.

    Raises `UsageError` with the file that cannot be read.
    """
    rows: dict[str, list[tuple[float, ...]]] = {camera: [] for camera in cameras}
    for frame, path in enumerate(sorted((folder / "annotations_positions").glob("*.json"))):
        try:
            for person in json.loads(path.read_text(encoding="utf-8")):
                at = int(person["positionID"])
                x = grid.origin_m[0] + CELL_M * (at % grid.columns)
                y = grid.origin_m[1] + CELL_M * (at // grid.columns)
                for view in person["views"]:
                    # Whole pixels, of which the last belongs to the box: its edge is one further.
                    box = [float(view[key]) for key in ("xmin", "ymin")] + [view[key] + 1.0 for key in ("xmax", "ymax")]
                    if box[0] >= 0 and box[2] > box[0]:  # -1: not seen in this view
                        rows[cameras[view["viewNum"]]].append((frame, float(person["personID"]), *box, x, y))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{path}: is no WILDTRACK annotation ({type(error).__name__}: {error})") from None
    tables = {camera: np.array(found, np.float64).reshape(-1, 8) for camera, found in rows.items()}
    return {
        camera: Annotated(t[:, 0].astype(np.int64), t[:, 1].astype(np.int64), t[:, 2:6], t[:, 6:8])
        for camera, t in tables.items()
        if len(t)
    }


def foot_errors_m(plane: GroundPlane, annotated: Annotated) -> F8:
    """(k,) m between the foot points of boxes that the picture's lower edge does not cut, and the annotation.

    Annotated boxes are made of a body at the place, so that no allowance for shoes is due.
    """
    whole = annotated.xyxy[:, 3] < 0.995 * plane.image_size[1]
    site = Site([plane], FootModel(cover=2.0, shoe_m=0.0))  # boxes of all frames at once: none covers another
    n = int(whole.sum())
    tracklets = Tracklets.tracked(
        camera=np.zeros(n, np.int16), track_id=annotated.person[whole], state=np.zeros(n, np.uint8),
        xyxy=annotated.xyxy[whole].astype(np.float32), score=np.ones(n, np.float32), captured_ns=annotated.frame[whole],
    )  # fmt: skip
    error = np.linalg.norm(site.project(tracklets).ground_xy - annotated.xy[whole], axis=1)
    return np.asarray(error[np.isfinite(error)])


def write_boxes(folder: Path, annotated: Mapping[str, Annotated]) -> None:
    """NAME.csv for each camera, as `--detections` takes them, with the person and the place beside."""
    folder.mkdir(parents=True, exist_ok=True)
    for camera, rows in annotated.items():
        lines = ["frame,x1,y1,x2,y2,id,x,y"]
        for frame, person, box, xy in zip(rows.frame, rows.person, rows.xyxy, rows.xy, strict=True):
            lines.append(",".join([str(frame), *(f"{v:g}" for v in box), str(person), *(f"{v:.3f}" for v in xy)]))
        (folder / f"{camera}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

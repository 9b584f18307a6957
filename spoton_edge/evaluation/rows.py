"""Reading tracks and truth: ground CSV (`frame,id,x,y`), `views.csv` and MOTChallenge boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spoton_edge import tables
from spoton_edge.errors import UsageError
from spoton_edge.types import F8, I8, Bool

GROUND, VIEWS = "ground.csv", "views.csv"
PEDESTRIAN, DISTRACTORS = 1, (2, 7, 8, 12)  # of MOT16 to MOT20: on a vehicle, static, distractor, reflection


@dataclass(frozen=True, slots=True)
class Rows:
    """One sighting a row, in ascending order of frame and id; no id twice in a frame.

    `value` is xy f8 (N, 2) m, or xyxy f8 (N, 4) px. `counts` is False where truth says that a box is not to be scored;
    `distracts` where, in addition, a result that finds it is not to be blamed.
    """

    frame: I8  # (N,)
    identity: I8  # (N,)
    value: F8
    counts: Bool  # (N,)
    distracts: Bool  # (N,)

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, which: Bool) -> Rows:
        """The rows where `which` (N,) is true."""
        return Rows(*(getattr(self, name)[which] for name in self.__slots__))

    def at(self, frame: int) -> slice:
        """The rows of one frame."""
        low, high = np.searchsorted(self.frame, (frame, frame + 1))
        return slice(int(low), int(high))


@dataclass(frozen=True, slots=True)
class Tracks:
    """What a folder or a file holds; None, or no camera, where it has nothing of the kind."""

    ground: Rows | None
    boxes: dict[str, Rows]  # by camera


def read_tracks(path: Path) -> Tracks:
    """Tracks or truth of a folder or a single file.

    A folder may have `ground.csv`, and boxes as `views.csv` or as a MOTChallenge file a camera: `CAMERA.txt`,
    `CAMERA/gt.txt` or `CAMERA/gt/gt.txt`. Raises UsageError that names file and line.
    """
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder; give what replay wrote, or a folder of truth")
    ground = read_ground(path / GROUND) if (path / GROUND).is_file() else None
    boxes = read_views(path / VIEWS) if (path / VIEWS).is_file() else {}
    for file in sorted(path.glob("*.txt")) if not boxes else ():
        boxes[file.stem] = read_mot(file)
    for folder in sorted(path.iterdir()) if not boxes else ():
        for file in (folder / "gt.txt", folder / "gt" / "gt.txt"):
            if file.is_file():
                boxes[folder.name] = read_mot(file)
    if ground is None and not boxes:
        raise UsageError(f"{path}: has no {GROUND}, no {VIEWS} and no CAMERA.txt; give the folder that has them")
    return Tracks(ground, boxes)


def _of_file(path: Path) -> Tracks:
    """A single file is known by its columns: x and y are ground, left, top, width and height a camera's boxes."""
    line = next(tables.lines(path), (0, []))[1]
    names = [cell.strip().lower() for cell in line]
    if "camera" in names:
        return Tracks(None, read_views(path))
    if ("x" in names and "y" in names) or (len(line) in (4, 5) and "x1" not in names):
        return Tracks(read_ground(path), {})
    name = path.parent.parent.name if path.parent.name == "gt" else path.parent.name if path.stem == "gt" else path.stem
    return Tracks(None, {name: read_mot(path)})


def read_ground(path: Path) -> Rows:
    """Rows of `frame,id,x,y` in metres, with or without that header; more columns are ignored."""
    table, _ = tables.numbers(path, 4)
    return _rows(path, table[:, 0], table[:, 1], table[:, 2:4])


def read_views(path: Path) -> dict[str, Rows]:
    """Boxes by camera from `frame,camera,id,track_id,x1,y1,x2,y2,score`, as `replay` writes it."""
    found: dict[str, list[list[float]]] = {}
    lines = tables.lines(path)
    header = [cell.strip() for cell in next(lines, (0, []))[1]]
    try:
        places = [header.index(name) for name in ("frame", "camera", "id", "x1", "y1", "x2", "y2")]
    except ValueError:
        raise UsageError(f"{path}:1: wants the header frame,camera,id,track_id,x1,y1,x2,y2,score") from None
    for number, line in lines:
        if len(line) != len(header):
            raise UsageError(f"{path}:{number}: has {len(line)} columns, the header {len(header)}")
        cells = [line[place] for place in places]
        found.setdefault(cells.pop(1), []).append([tables.finite(path, number, cell) for cell in cells])
    by_camera = {camera: np.array(rows) for camera, rows in sorted(found.items())}
    return {camera: _rows(path, rows[:, 0], rows[:, 1], rows[:, 2:]) for camera, rows in by_camera.items()}


def read_mot(path: Path) -> Rows:
    """Boxes of one camera from `frame,id,left,top,width,height[,score...]`.

    Truth of nine columns has a flag and a class in the seventh and eighth: only flagged pedestrians are scored.
    """
    table, _ = tables.numbers(path, 6)
    xyxy = np.hstack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]])
    counts, distracts = np.ones(len(table), np.bool_), np.zeros(len(table), np.bool_)
    if table.shape[1] > 6:
        counts = table[:, 6] != 0
    if table.shape[1] == 9 and (table[:, 7] >= PEDESTRIAN).any():
        counts &= table[:, 7] == PEDESTRIAN
        distracts = np.isin(table[:, 7], DISTRACTORS)
    return _rows(path, table[:, 0], table[:, 1], xyxy, counts, distracts)


def _rows(
    path: Path, frame: F8, identity: F8, value: F8, counts: Bool | None = None, distracts: Bool | None = None
) -> Rows:
    for name, numbers in (("frame", frame), ("id", identity)):
        if not (numbers == np.rint(numbers)).all():
            raise UsageError(f"{path}: {name} {numbers[numbers != np.rint(numbers)][0]} is not a whole number")
    order = np.lexsort((identity, frame))
    counts = np.ones(len(frame), np.bool_) if counts is None else counts
    distracts = np.zeros(len(frame), np.bool_) if distracts is None else distracts
    rows = Rows(
        frame[order].astype(np.int64), identity[order].astype(np.int64), value[order], counts[order], distracts[order]
    )
    twice = (np.diff(rows.frame) == 0) & (np.diff(rows.identity) == 0)
    if twice.any():
        at = int(np.flatnonzero(twice)[0])
        raise UsageError(f"{path}: id {rows.identity[at]} occurs twice in frame {rows.frame[at]}; keep one of them")
    return rows

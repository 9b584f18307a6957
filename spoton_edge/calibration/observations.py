"""What cameras saw, for measuring calibrations: people's boxes and floor marks, from files, placed on the floor."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import recording
from spoton_edge.calibration.fit import DOWN
from spoton_edge.client import Subscriber, Tracks
from spoton_edge.errors import UsageError
from spoton_edge.ground_plane import FootModel, GroundPlane, Site
from spoton_edge.types import F8, I2, I8, FootPoint, Tracklets

SURE = 0.5  # score of a recorded detection that counts


@dataclass(frozen=True, slots=True)
class Boxes:
    """A camera's people, one row each, in ascending order of time."""

    time_s: F8  # (n,)
    xyxy: F8  # (n, 4) px


@dataclass(frozen=True, slots=True)
class Sightings:
    """Places on the floor that are one and the same for several cameras; rows with equal `group` belong together."""

    group: I8  # (n,)
    camera: I2  # (n,) index of the site's camera
    xy: F8  # (n, 2) m, by that camera
    towards: F8  # (n, 2) unit vector on the floor from the foot to the camera; 0 for marks
    time_s: F8  # (n,)
    height_m: F8  # (n,) of the person; NaN where unknown

    def __len__(self) -> int:
        return len(self.group)

    def pick(self, rows: np.ndarray) -> Sightings:
        """The rows of a mask or an index."""
        return Sightings(*(getattr(self, name)[rows] for name in self.__slots__))


def read_boxes(path: Path, names: Sequence[str], rate_hz: float = 10.0) -> dict[str, Boxes]:
    """Boxes of each camera from a folder with one file a camera, from a folder that `spoton-edge record` made, or from
    a file of `spoton-edge watch --json`.

    NAME.csv or NAME.txt: a header with frame, x1, y1, x2, y2, or MOTChallenge's frame (from 1), id, left, top, width,
    height without one; NAME.npz: for frame i, from 0, an array `i` whose rows begin with x1, y1, x2, y2. Raises
    `UsageError` where nothing of a site's camera is found.
    """
    if path.is_file():
        return _of_messages(path, names)
    if (path / recording.ABOUT).is_file():
        return _recorded(path, names, rate_hz)
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; name the one that holds a file of boxes for each camera")
    files = {_plain(file.stem): file for file in sorted(path.iterdir()) if file.suffix in (".csv", ".txt", ".npz")}
    found = {name: files[_plain(name)] for name in names if _plain(name) in files}
    if not found:
        raise UsageError(f"{path}: no {names[0]}.csv, .txt or .npz in it; one file a camera is needed")
    return {
        name: (_arrays(file, rate_hz) if file.suffix == ".npz" else _table(file, rate_hz))
        for name, file in found.items()
    }


def hear_boxes(endpoint: str, names: Sequence[str], seconds: float) -> dict[str, Boxes]:
    """Boxes that a running daemon publishes in so many seconds. Raises `UsageError` where it publishes none."""
    messages = []
    try:
        with Subscriber(endpoint, kinds=("tracks",)) as subscriber:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                message = subscriber.receive(left)
                if isinstance(message, Tracks):
                    messages.append(message.raw)
    except (ValueError, OSError) as error:
        raise UsageError(f"--detections {endpoint}: {error}") from None
    if not messages:
        raise UsageError(f"nothing heard from {endpoint} for {seconds:g} s: is the daemon running, and is this where?")
    return _boxes_of(messages, endpoint, names)


def read_marks(path: Path, names: Sequence[str]) -> list[tuple[str, str, float, float]]:
    """(mark, camera, u, v) from a CSV with the columns mark, camera, u, v (and x, y, which are not needed here).

    `cam` stands for camera, and gx, gy for a mark's name. Raises `UsageError` with the line that cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    by_plain = {_plain(name): name for name in names}
    marks = []
    for line, row in enumerate(rows, 2):
        try:
            camera = row["camera"] if "camera" in row else row["cam"]
            name = by_plain.get(_plain(camera)) or by_plain.get(_plain(f"cam{camera}"))
            mark = row["mark"] if "mark" in row else f"{row['gx']},{row['gy']}"
            if name is not None:
                marks.append((mark, name, float(row["u"]), float(row["v"])))
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{path}:{line}: needs the columns mark, camera, u, v with numbers in u and v") from None
    if not marks:
        raise UsageError(f"{path}: no mark of the cameras {', '.join(names)}")
    return marks


def mark_sightings(
    marks: Sequence[tuple[str, str, float, float]], planes: Mapping[str, GroundPlane | None]
) -> Sightings:
    """The marks that two or more calibrated cameras see."""
    order = list(planes)
    groups: dict[str, int] = {}
    rows = []
    for mark, name, u, v in marks:
        plane = planes.get(name)
        xy = np.full(2, np.nan) if plane is None else plane.to_ground([[u, v]])[0]
        if np.isfinite(xy).all():
            rows.append((groups.setdefault(mark, len(groups)), order.index(name), *xy))
    return _several_views(_sightings(rows))


def people_sightings(
    boxes: Mapping[str, Boxes], planes: Mapping[str, GroundPlane | None], *, gate_m: float = 1.0, window_s: float = 0.05
) -> Sightings:
    """People whose feet are seen by two or more cameras at once, placed as the daemon places them but without its
    allowance for shoes (`FootModel.shoe_m`), which is measured here.

    Feet of two cameras are one person's where each is the other's nearest and no farther than `gate_m`.
    """
    order = list(planes)
    feet = {name: feet_of(boxes[name], plane) for name, plane in planes.items() if plane is not None and name in boxes}
    moments = sorted({float(t) for seen in feet.values() for t in seen["time_s"]})
    rows: list[tuple[float, ...]] = []
    group = 0
    for instants in _together(moments, window_s):
        here = [
            (order.index(name), *seen[i].tolist())
            for name, seen in feet.items()
            for i in range(*np.searchsorted(seen["time_s"], [instants[0] - 1e-9, instants[-1] + 1e-9]))
        ]
        for members in _same_person(here, gate_m):
            rows += [(group, here[m][0], *here[m][2:6], here[m][1], here[m][6]) for m in members]
            group += 1
    return _sightings(rows)


_FOOT = np.dtype([(name, np.float64) for name in ("time_s", "x", "y", "tx", "ty", "height_m")])


def feet_of(boxes: Boxes, plane: GroundPlane) -> np.ndarray:
    """The uncovered, uncut feet of a camera: time, place, direction to the camera, the person's height."""
    site = Site([plane], FootModel(shoe_m=0.0))
    rows = []
    starts = np.flatnonzero(np.diff(boxes.time_s, prepend=-np.inf) > 0)
    for start, end in zip(starts, [*starts[1:], len(boxes.time_s)], strict=True):
        xyxy = boxes.xyxy[start:end].astype(np.float32)
        n = len(xyxy)
        tracklets = Tracklets.tracked(
            camera=np.zeros(n, np.int16), track_id=np.arange(n, dtype=np.int64), state=np.zeros(n, np.uint8), xyxy=xyxy,
            score=np.ones(n, np.float32), captured_ns=np.zeros(n, np.int64),
        )  # fmt: skip
        placed = site.project(tracklets)
        stands = np.isin(placed.foot, (FootPoint.SEEN, FootPoint.SIDE))
        seen = np.flatnonzero(stands & np.isfinite(placed.ground_xy).all(axis=1))
        if not len(seen):
            continue
        foot = np.column_stack([(xyxy[seen, 0] + xyxy[seen, 2]) / 2, xyxy[seen, 3]])
        down = plane.to_ground(foot + DOWN) - placed.ground_xy[seen]
        towards = down / np.maximum(np.linalg.norm(down, axis=1, keepdims=True), 1e-12)
        standing = placed.ground_xy[seen] - FootModel().shoe_m * towards
        tall = person_heights(plane, xyxy[seen].astype(np.float64), standing)
        for i, row in enumerate(seen):
            rows.append((boxes.time_s[start], *placed.ground_xy[row], *towards[i], tall[i]))
    return np.array(rows, _FOOT)


def person_heights(plane: GroundPlane, xyxy: F8, xy: F8) -> F8:
    """(n,) m: how tall people in boxes (n, 4) px are that stand at xy (n, 2) m; NaN where heights cannot be read."""
    heights = np.full(len(xyxy), np.nan)
    if not plane.has_vertical:
        return heights
    head = np.column_stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 1]])
    whole = xyxy[:, 1] > 0.01 * plane.image_size[1]  # a head above the picture is cut off
    head = head if plane.lens is None else plane.lens.straighten(head)
    p = plane.projection
    base = np.column_stack([xy, np.zeros(len(xy)), np.ones(len(xy))]) @ p.T
    v = head[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (v * base[:, 2] - base[:, 1]) / (p[1, 2] - v * p[2, 2])
    heights[whole] = z[whole]
    return heights


def _together(moments: Sequence[float], window_s: float) -> Iterable[list[float]]:
    """Moments closer to the first of them than the window."""
    instants: list[float] = []
    for moment in moments:
        if instants and moment - instants[0] > window_s:
            yield instants
            instants = []
        instants.append(moment)
    if instants:
        yield instants


def _same_person(feet: Sequence[tuple[float, ...]], gate_m: float) -> list[list[int]]:
    """Groups of rows of (camera, time, x, y, ...) that are one person's, one row a camera."""
    if len(feet) < 2:
        return []
    camera, xy = np.array([f[0] for f in feet]), np.array([f[2:4] for f in feet])
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    distance[camera[:, None] == camera[None]] = np.inf
    parent = list(range(len(feet)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(feet)):
        for other in set(camera.tolist()) - {camera[i]}:
            theirs = np.flatnonzero(camera == other)
            j = int(theirs[np.argmin(distance[i, theirs])])
            mine = np.flatnonzero(camera == camera[i])
            if distance[i, j] <= gate_m and int(mine[np.argmin(distance[j, mine])]) == i:
                parent[root(i)] = root(j)
    groups: dict[int, list[int]] = {}
    for i in range(len(feet)):
        groups.setdefault(root(i), []).append(i)
    return [g for g in groups.values() if len(g) > 1 and len({camera[i] for i in g}) == len(g)]


def _sightings(rows: Sequence[tuple[float, ...]]) -> Sightings:
    table = np.array([(*row, *(0.0, 0.0, 0.0, np.nan)[len(row) - 4 :]) for row in rows], np.float64).reshape(-1, 8)
    return Sightings(
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int16),
        table[:, 2:4],
        table[:, 4:6],
        table[:, 6],
        table[:, 7],
    )


def _several_views(sightings: Sightings) -> Sightings:
    counts = np.bincount(sightings.group, minlength=1)
    return sightings.pick(counts[sightings.group] > 1)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _table(path: Path, rate_hz: float) -> Boxes:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = lines[0].lower().replace(" ", "").split(",") if lines else []
        if "x1" in header:
            columns = [header.index(name) for name in ("frame", "x1", "y1", "x2", "y2")]
            table = np.array([[float(line.split(",")[c]) for c in columns] for line in lines[1:] if line.strip()])
        else:
            raw = np.array([[float(x) for x in line.split(",")[:6]] for line in lines if line.strip()]).reshape(-1, 6)
            table = np.column_stack([raw[:, 0] - 1, raw[:, 2:4], raw[:, 2:4] + raw[:, 4:6]])
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"{path}: is no table of boxes ({error}); see `spoton-edge calibrate refine --help`") from None
    table = table.reshape(-1, 5)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Boxes(table[:, 0] / rate_hz, table[:, 1:])


def _arrays(path: Path, rate_hz: float) -> Boxes:
    with np.load(path, allow_pickle=False) as archive:
        frames = sorted(int(key) for key in archive.files if key.isdigit())
        parts = [np.asarray(archive[str(frame)], np.float64).reshape(-1, archive[str(frame)].shape[-1])[:, :4]
                 if archive[str(frame)].size else np.zeros((0, 4)) for frame in frames]  # fmt: skip
    time = np.concatenate([np.full(len(part), frame / rate_hz) for frame, part in zip(frames, parts, strict=True)])
    return Boxes(time, np.concatenate(parts))


def _recorded(path: Path, names: Sequence[str], rate_hz: float) -> dict[str, Boxes]:
    """What `spoton-edge record` wrote: detections by frame, of which those that are people beyond doubt count."""
    found = recording.read(path, names)
    boxes = {}
    for name, camera in zip(names, found.cameras, strict=True):
        sure = camera.score >= SURE
        boxes[name] = Boxes(camera.frame[sure] / (found.frame_rate or rate_hz), camera.xyxy[sure].astype(np.float64))
    return boxes


def _of_messages(path: Path, names: Sequence[str]) -> dict[str, Boxes]:
    """The views of `tracks` messages, one message a line."""
    messages = []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            message = json.loads(text)
            messages.append(message.get("payload", message))
        except (ValueError, AttributeError) as error:
            raise UsageError(f"{path}:{line}: is no message of `spoton-edge watch --json` ({error})") from None
    return _boxes_of(messages, str(path), names)


def _boxes_of(messages: Sequence[Any], origin: str, names: Sequence[str]) -> dict[str, Boxes]:
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for number, message in enumerate(messages, 1):
        try:
            if message.get("kind") != "tracks":
                continue
            for track in message["tracks"]:
                for view in track["views"]:
                    camera = view["camera"]
                    if camera in rows and camera in message["captured"] and "box" in view:
                        rows[camera].append((float(message["captured"][camera]), *map(float, view["box"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{origin}:{number}: is no message of `spoton-edge watch --json` ({error})") from None
    if not any(rows.values()):
        raise UsageError(f"{origin}: has no boxes of the cameras {', '.join(names)}; publish.boxes must be true")
    out = {}
    for name, seen in rows.items():
        table = np.array(sorted(set(seen)), np.float64).reshape(-1, 5)
        out[name] = Boxes(table[:, 0], table[:, 1:])
    return out

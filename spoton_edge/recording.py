"""Recorded detections: a folder with `CAMERA.npz` or `CAMERA.txt` for each camera.

An `.npz` has `frame` i8 (N,), `xyxy` f4 (N, 4) px, `score` f4 (N,) and, where wanted, `embedding` f4 (N, D); a `.txt`
is MOTChallenge's (`frame,-1,left,top,width,height,score`). Frames are numbered alike in all files; one that a file does
not mention is a frame in which that camera found nobody. `recording.json`, which `record` adds, tells the frame rate
and the cameras' picture sizes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import tables
from spoton_edge.errors import UsageError
from spoton_edge.types import F4, I8

ABOUT = "recording.json"


@dataclass(frozen=True, slots=True)
class CameraDetections:
    """What one camera's detector found, in ascending order of frame."""

    frame: I8  # (N,) from 0
    xyxy: F4  # (N, 4) px
    score: F4  # (N,)
    embedding: F4 | None = None  # (N, D) unit rows, zero where there is none

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Recording:
    """Detections of all cameras of a site, in the order of the config."""

    cameras: Sequence[CameraDetections]
    frame_rate: float | None = None
    image_sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by camera, where it is told

    @property
    def first(self) -> int:
        """The smallest frame number of all files."""
        return min((int(camera.frame[0]) for camera in self.cameras if len(camera)), default=0)

    @property
    def last(self) -> int:
        """The largest frame number of all files; one less than the first where there is no detection at all."""
        return max((int(camera.frame[-1]) for camera in self.cameras if len(camera)), default=-1)


def read(folder: Path, cameras: Sequence[str]) -> Recording:
    """The recording of the cameras that a config names.

    Raises UsageError for a camera without a file, a file without a camera, and whatever cannot be a detection.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the one with a CAMERA.npz or CAMERA.txt for each camera")
    files: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".txt")):
        if path.stem not in cameras:
            raise UsageError(
                f"{path}: the site has no camera {path.stem}, only {', '.join(cameras)}; rename or remove it"
            )
        if path.stem in files:
            raise UsageError(f"{path}: camera {path.stem} has {files[path.stem].name} as well; keep one of them")
        files[path.stem] = path
    missing = [camera for camera in cameras if camera not in files]
    if missing:
        raise UsageError(
            f"{folder}: has no detections of camera {', '.join(missing)}; add {missing[0]}.npz or {missing[0]}.txt, "
            "or take the camera out of the site file"
        )
    found = [_read_npz(files[name]) if files[name].suffix == ".npz" else _read_txt(files[name]) for name in cameras]
    _check_dimensions(found, [files[name] for name in cameras])
    about = _read_about(folder / ABOUT)
    sizes = {name: (int(size[0]), int(size[1])) for name, size in about.get("image_sizes", {}).items()}
    return Recording(found, about.get("frame_rate"), sizes)


def write(folder: Path, cameras: dict[str, CameraDetections], about: dict[str, Any]) -> None:
    """Write a recording that `read` takes, `about` as its `recording.json`. The folder must exist."""
    for name, camera in cameras.items():
        columns: dict[str, Any] = {"frame": camera.frame, "xyxy": camera.xyxy, "score": camera.score}
        if camera.embedding is not None:
            columns["embedding"] = camera.embedding
        np.savez(folder / f"{name}.npz", allow_pickle=False, **columns)
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def detection_of(xyxy: F4, score: F4, found_xyxy: F4, found_score: F4) -> I8:
    """Which detection (N, 4), (N,) each tracklet (T, 4), (T,) was matched to, -1: none.

    A tracklet has its detection's score, to the bit; of several such detections it is the one that overlaps most.
    """
    low = np.maximum(xyxy[:, None, :2], found_xyxy[None, :, :2])
    high = np.minimum(xyxy[:, None, 2:], found_xyxy[None, :, 2:])
    common = np.where(score[:, None] == found_score[None], np.prod(np.clip(high - low, 0, None), axis=2), -1.0)
    if not common.shape[1]:
        return np.full(len(xyxy), -1)
    best = common.argmax(axis=1)
    return np.where(common[np.arange(len(best)), best] > 0, best, -1)


def _read_npz(path: Path) -> CameraDetections:
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in ("frame", "xyxy", "score", "embedding") if name in file}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UsageError(f"{path}: is not an .npz file of numbers: {error}") from error
    for name, shape in (("frame", "(N,)"), ("xyxy", "(N, 4)"), ("score", "(N,)")):
        if name not in columns:
            raise UsageError(f"{path}: has no array {name}; it wants frame (N,), xyxy (N, 4) and score (N,)")
        if columns[name].dtype.kind not in "iuf" or columns[name].shape[1:] != ((4,) if name == "xyxy" else ()):
            raise UsageError(f"{path}: {name} is {columns[name].dtype} {columns[name].shape}, not numbers {shape}")
    rows = len(columns["frame"])
    for name, column in columns.items():
        if column.ndim == 0 or len(column) != rows:
            raise UsageError(f"{path}: {name} has shape {column.shape}, frame has {rows} rows")
    embedding = columns.get("embedding")
    if embedding is not None:
        if embedding.ndim != 2 or embedding.dtype.kind != "f":
            raise UsageError(f"{path}: embedding is {embedding.dtype} {embedding.shape}, not float32 (N, D)")
        embedding = _unit_rows(embedding)
    return _detections(path, columns["frame"], columns["xyxy"], columns["score"], embedding, np.arange(rows), "row")


def _read_txt(path: Path) -> CameraDetections:
    table, line = tables.numbers(path, 7)
    xyxy = np.hstack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]])
    return _detections(path, table[:, 0], xyxy, table[:, 6], None, line, "line")


def _detections(
    path: Path, frame: Any, xyxy: Any, score: Any, embedding: F4 | None, where: I8, place: str
) -> CameraDetections:
    """Rows in the order of their frames, checked; `where` and `place` tell where each row stands."""
    wrong = np.column_stack(
        [
            ~np.isfinite(frame) | (frame != np.rint(frame)) | (frame < 0) | (np.abs(frame) > 2**53),
            ~np.isfinite(xyxy).all(axis=1),
            (xyxy[:, 2] < xyxy[:, 0]) | (xyxy[:, 3] < xyxy[:, 1]),
            ~np.isfinite(score),
        ]
    )
    if wrong.any():
        row, kind = (int(index) for index in np.argwhere(wrong)[0])
        complaint = (
            f"frame {frame[row]} is not a whole number from 0",
            f"the box {xyxy[row].tolist()} is not finite",
            f"the box {xyxy[row].tolist()} ends before it begins",
            f"score {score[row]} is not finite",
        )[kind]
        raise UsageError(f"{path}: {place} {where[row]}: {complaint}")
    order = np.argsort(frame, kind="stable")
    return CameraDetections(
        np.ascontiguousarray(frame[order], np.int64),
        np.ascontiguousarray(xyxy[order], np.float32),
        np.ascontiguousarray(score[order], np.float32),
        None if embedding is None else embedding[order],
    )


def _unit_rows(vectors: Any) -> F4:
    """Rows of length 1; one that is zero or not finite becomes zero: no appearance."""
    rows = np.asarray(vectors, np.float64)
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0), np.float32)


def _check_dimensions(found: Sequence[CameraDetections], files: Sequence[Path]) -> None:
    lengths = {path: camera.embedding.shape[1] for path, camera in zip(files, found, strict=True)
               if camera.embedding is not None}  # fmt: skip
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{path.name} {length}" for path, length in lengths.items())
        raise UsageError(f"{files[0].parent}: embeddings of different lengths cannot be compared: {told}")


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        rate = about.get("frame_rate")
        sizes = about.get("image_sizes", {})
        if (rate is None or 0 < float(rate) < float("inf")) and all(len(size) == 2 for size in sizes.values()):
            return {"frame_rate": None if rate is None else float(rate), "image_sizes": sizes}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}; correct or remove it") from error
    raise UsageError(f"{path}: frame_rate or image_sizes makes no sense; correct or remove it")

"""A folder of pictures of known people, by which Re-ID models are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from spoton_edge.errors import UsageError
from spoton_edge.types import I8, U8

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
CAMERA = re.compile(r"(?:^|_)(c\d+)(?=s\d|_|\.|$)", re.IGNORECASE)  # 0002_c1s1_000451_03.jpg, c3_17.png
MARKET = re.compile(r"(-?\d+)_c\d+")  # Market-1501 and its kin: person_camera...; -1 and 0 are nobody


@dataclass(frozen=True, slots=True)
class Crops:
    """Pictures of people; row i of every field is one crop."""

    paths: list[Path]
    person: I8  # (N,) 0.. in the order of their names
    camera: I8 | None  # (N,) 0..; None where the names do not tell

    def read(self, row: int) -> U8:
        """One picture, (H, W, 3) BGR; raises UsageError where the file is none."""
        image = cv2.imdecode(np.fromfile(self.paths[row], np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{self.paths[row]}: is not a picture; remove it from the folder")
        return np.asarray(image, np.uint8)


def find_crops(folder: Path) -> Crops:
    """Crops in `FOLDER/PERSON/*.jpg` or `FOLDER/PERSON/CAMERA/*.jpg`, or flat and named as Market-1501 is.

    The camera is that of the folder, else a `c1` in the file's name. Raises UsageError where there are not two people,
    one of them with two crops.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one with a folder of pictures for each person")
    rows: list[tuple[str, str, Path]] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES):
        parts = path.relative_to(folder).parts
        named = MARKET.match(path.name)
        if len(parts) == 1 and named is None:
            raise UsageError(f"{path}: whose picture is this? put it into a folder for the person")
        if len(parts) == 1 and named is not None:
            person = named[1]
            if int(person) <= 0:
                continue
        else:
            person = parts[0]
        found = CAMERA.search(path.name)
        camera = parts[1] if len(parts) > 2 else found[1].lower() if found else ""
        rows.append((person, camera, path))
    people, person_row = np.unique([row[0] for row in rows], return_inverse=True)
    if len(people) < 2 or np.bincount(person_row).max() < 2:
        raise UsageError(f"{folder}: has {len(rows)} pictures of {len(people)} people; at least two people are needed, "
                         "one of them with two pictures")  # fmt: skip
    cameras, camera_row = np.unique([row[1] for row in rows], return_inverse=True)
    told = len(cameras) > 1 and "" not in cameras
    return Crops([row[2] for row in rows], person_row.astype(np.int64), camera_row.astype(np.int64) if told else None)

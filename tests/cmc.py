"""CMC1 and CMC2 as the program takes them: a site file and a recording, made from `shared/data/cmc`."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import yaml

from spoton_edge import recording
from spoton_edge.recording import CameraDetections
from spoton_edge.types import F8

SEQUENCES = ("CMC1", "CMC2")
FRAME_RATE = 4.0
CAMERAS = ("Cam_1", "Cam_2", "Cam_3", "Cam_4")
SIZE = (1920, 1024)
# The part of the room (m) in which truth lists people: from the side of the door, near x = 2 m, to the walls and 0.3 m
# beyond them, as calibrations are not exact. Who sits outside is in no list.
AREA = np.array([[1.95, -0.3], [6.6, -0.3], [6.6, 3.71], [1.95, 3.71]])
NEAREST_M = 0.1  # of the camera: nothing nearer has a place in its picture


def truth(data: Path, sequence: str) -> Path:
    """`frame,id,x,y` in metres."""
    return data / "cmc" / "gt_ground" / f"{sequence}.csv"


def projection(data: Path, number: int) -> F8:
    """World metres -> pixel, (3, 4), of camera `number` from 1."""
    with h5py.File(data / "cmc" / "calib" / f"cam{number}_cam_mat.mat") as file:
        return np.array(file[f"cam{number}_cam_mat"]).T


def region(world: F8) -> list[list[float]]:
    """The area's outline in a camera's pixels: cut off behind the camera (Sutherland, Hodgman 1974)."""
    floor = np.column_stack([AREA, np.ones(len(AREA))]) @ world[:, [0, 1, 3]].T
    floor /= np.sign(np.linalg.det(world[:, :3])) * np.linalg.norm(world[2, :3])
    corners: list[F8] = []
    for here, there in zip(floor, np.roll(floor, -1, axis=0), strict=True):
        if here[2] >= NEAREST_M:
            corners.append(here)
        if (here[2] >= NEAREST_M) != (there[2] >= NEAREST_M):
            share = (NEAREST_M - here[2]) / (there[2] - here[2])
            corners.append(here + share * (there - here))
    return [[float(u / w), float(v / w)] for u, v, w in corners]


def write_site(data: Path, path: Path, **sections: object) -> Path:
    """The site file of the room; everything is left at its default but the calibration. sections: more of the file."""
    cameras = [
        {
            "name": name,
            "source": f"{name}.mp4",  # never opened
            "ground": {"projection": projection(data, number).tolist(), "image_size": list(SIZE)},
            "region": region(projection(data, number)),
        }
        for number, name in enumerate(CAMERAS, 1)
    ]
    path.write_text(yaml.safe_dump({"site": "cmc", "cameras": cameras, **sections}))
    return path


def write_recording(data: Path, sequence: str, folder: Path, *, embeddings: bool = True) -> Path:
    """The published FairMOT detections as a recording, with or without their vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = {}
    for name in CAMERAS:
        with np.load(data / "cmc" / "det_fairmot" / sequence / f"{name}.npz") as file:
            frames = {int(key) + 1: file[key].reshape(-1, 133) for key in file.files}
        table = np.concatenate(list(frames.values())).astype(np.float32)
        frame = np.repeat(list(frames), [len(rows) for rows in frames.values()]).astype(np.int64)
        vectors = table[:, 5:] if embeddings else None
        cameras[name] = CameraDetections(frame, table[:, :4], table[:, 4], vectors)
    recording.write(folder, cameras, {"frame_rate": FRAME_RATE})
    return folder

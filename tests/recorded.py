"""Recordings of the simulated site, and sites for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spoton_edge import recording
from spoton_edge.recording import CameraDetections
from spoton_edge.types import F8
from tests.world import World


def write_world(world: World, folder: Path, *, embeddings: bool = False, first: int = 0) -> Path:
    """What the world's detectors find as a recording with cameras c0, c1...; `first` is the number of its first frame.

    Returns the folder; `truth.csv` beside it has everybody's place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = list(world.steps())
    cameras = {}
    for camera in range(len(world.cameras)):
        counts = [len(seen.boxes[camera]) for seen in steps]
        frame = np.repeat([first + seen.frame_id for seen in steps], counts).astype(np.int64)
        columns = [
            np.concatenate([getattr(seen, name)[camera] for seen in steps]) for name in ("boxes", "scores", "looks")
        ]
        cameras[f"c{camera}"] = CameraDetections(frame, columns[0], columns[1], columns[2] if embeddings else None)
    recording.write(folder, cameras, {"frame_rate": world.frame_rate})
    truth = [
        (first + seen.frame_id, person, *at)
        for seen in steps
        for person, at in zip(seen.person.tolist(), seen.xy.tolist(), strict=True)
    ]
    np.savetxt(folder.with_name("truth.csv"), truth, "%d,%d,%.4f,%.4f", header="frame,id,x,y", comments="")
    return folder


def write_site(world: World, path: Path, **sections: Any) -> Path:
    """A site file for the world's cameras, with sources that do not exist."""
    cameras = [
        {
            "name": f"c{number}",
            "source": f"nowhere/{number}.mp4",
            "ground": {"homography": _scaled(camera.homography).tolist(), "image_size": list(camera.image_size)},
        }
        for number, camera in enumerate(world.cameras)
    ]
    path.write_text(yaml.safe_dump({"site": "world", "cameras": cameras, **sections}))
    return path


def _scaled(homography: F8) -> F8:
    return np.asarray(homography / np.linalg.norm(homography))

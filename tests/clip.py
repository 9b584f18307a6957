"""The demo's clip through the real daemon, as estimates to score."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import yaml

from spoton_edge import models
from spoton_edge.client import Message, Tracks
from spoton_edge.errors import SpotOnError
from tests.pets import BLIND, ROWS, Estimate

ROOT = Path(__file__).parents[1]
DETECTOR = "yolox_nano_dyn_bhw.onnx"


def find_clip(shared: Path) -> Path | None:
    """The clip: named by the environment, among the shared data, or in the cache."""
    named = os.environ.get("SPOTON_DEMO_VIDEO")
    places = [Path(named)] if named else []
    places += [shared / "data" / "pets09_s2l1_view1" / "vtest.avi", models.cached_path("vtest", models.cache_dir())]
    return next((place for place in places if place.is_file()), None)


def find_detector(shared: Path) -> str | None:
    """A detector that is here without the network: among the shared models, or in the cache."""
    given = shared / "models" / DETECTOR
    if given.is_file():
        return str(given)
    try:
        return str(models.resolve("yolox-nano", models.cache_dir()))
    except SpotOnError:
        return None


def write_site(folder: Path, clip: Path, detector: str, /, **changes: dict[str, object]) -> Path:
    """The demo's site on a clip and a model, published on ENDPOINT; `changes` are sections to update."""
    site = yaml.safe_load((ROOT / "calibration" / "demo-site.yaml").read_text())
    for camera in site["cameras"]:
        camera["source"] = str(clip)
    site["detector"]["model"] = detector
    site["publish"] = {"bind": ["ENDPOINT"], "snapshot": "ENDPOINT-snapshot"}
    site["runtime"] = {"control": f"ipc://{folder}/control"}
    for section, values in changes.items():
        site[section] = {**site.get(section, {}), **values}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


def write_blind_site(folder: Path, clip: Path, detector: str, /, **changes: dict[str, object]) -> Path:
    """The same with a stretch between the two cameras that nobody sees, and a link over it each way."""
    path = write_site(folder, clip, detector, **{"detector": {"input": [352, ROWS]}, **changes})
    site = yaml.safe_load(path.read_text())
    for camera, (low, high), sides, other in zip(site["cameras"], BLIND.values(), ("right", "left"), "EW", strict=True):
        homography = np.array(camera["ground"]["homography"])
        shift = np.array([[1, 0, low - camera["crop"][0]], [0, 1, 0], [0, 0, 1.0]])
        camera["crop"] = [low, 0, high, ROWS]
        camera["ground"] = {"homography": (homography @ shift).tolist(), "image_size": [high - low, ROWS]}
        here, there = _half(sides, high - low), _half({"left": "right", "right": "left"}[sides], _width(other))
        camera["handoff"] = [{"zone": here, "to": other, "enter": there, "travel_s": [0.2, 20]}]
    path.write_text(yaml.safe_dump(site))
    return path


def _width(camera: str) -> int:
    low, high = BLIND[camera]
    return high - low


def _half(side: str, width: int) -> list[list[int]]:
    """The left or the right half of a picture."""
    low, high = (0, width // 2) if side == "left" else (width // 2, width)
    return [[low, 0], [high, 0], [high, ROWS], [low, ROWS]]


def estimate(messages: list[Message]) -> Estimate:
    """What the tracks messages say, by frame (from 1: the clip's frames are the batches)."""
    result = Estimate()
    for message in messages:
        if not isinstance(message, Tracks):
            continue
        for person in message.tracks:
            if person.state != "lost" and person.x is not None and person.y is not None:
                result.ground[message.seq, person.id] = np.array([person.x, person.y])
            for view in person.views:
                assert view.box is not None
                result.views.setdefault((message.seq, view.camera), []).append((person.id, np.array(view.box)))
    return result

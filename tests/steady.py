"""A detector that finds the same people in every picture, and sites on it: what changes is then the service's doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml

from tests.onnx_graphs import Graph

SIZE = 64  # of the network's input, px; pictures of that size are not scaled
PEOPLE = ((12.0, 10.0, 10.0, 24.0), (44.0, 28.0, 10.0, 24.0))  # centre x, y, width, height: feet at (12, 22), (44, 40)
MANIFEST = """
name = "steady"
kind = "detector"
about = "finds the same people everywhere"
licence = "none"
family = "yolox"
[input]
name = "images"
shape = ["batch", 3, 64, 64]
colour = "bgr"
size = [64, 64]
multiple = 32
fit = "letterbox"
pad = 114
[output]
name = "output"
shape = ["batch", "anchors", 85]
[detector]
person_class = 0
classes = 80
strides = [8, 16, 32]
min_score = 0.1
nms_iou = 0.65
"""
LOOKS = """
name = "{name}"
kind = "reid"
about = "looks made up"
licence = "none"
family = "osnet"
[input]
name = "images"
shape = ["batch", 3, 64, 32]
colour = "rgb"
size = [32, 64]
fit = "stretch"
mean = [123.675, 116.28, 103.53]
std = [58.395, 57.12, 57.375]
[output]
name = "output"
shape = ["batch", {dimension}]
[embedding]
dimension = {dimension}
same_mean = 0.7
same_std = 0.1
different_mean = 0.4
different_std = 0.1
equal_error = 0.55
"""


def write_detector(folder: Path) -> Path:
    """The network's file, with its manifest beside it."""
    rows = np.zeros((84, 85), np.float32)  # 8 x 8, 4 x 4 and 2 x 2 cells
    for cell, (x, y, width, height) in zip((0, 9), PEOPLE, strict=True):
        column, row = cell % 8, cell // 8
        rows[cell, :6] = [x / 8 - column, y / 8 - row, np.log(width / 8), np.log(height / 8), 0.95, 1.0]
    g = Graph(0)
    nothing = g.op("Mul", g.op("ReduceMean", "images", axes=[1, 2, 3], keepdims=1), g.constant(0.0))
    flat = g.reshape(nothing, 0, 1, 1)
    path = folder / "steady.onnx"
    onnx.save(g.model((SIZE, SIZE), [("output", g.op("Add", flat, g.constant(rows[None])), ["anchors", 85])]), path)
    path.with_suffix(".toml").write_text(MANIFEST)
    return path


def write_reid(path: Path, dimension: int) -> Path:
    """A Re-ID network that gives vectors of so many numbers, with its manifest beside it."""
    g = Graph(dimension)
    mean = g.op("GlobalAveragePool", "images")
    onnx.save(g.model((32, 64), [("output", g.linear(g.reshape(mean, 0, 3), 3, dimension), [dimension])]), path)
    path.with_suffix(".toml").write_text(LOOKS.format(name=path.stem, dimension=dimension))
    return path


def write_unfit(path: Path) -> Path:
    """A sound network whose output is neither people nor vectors."""
    g = Graph(0)
    onnx.save(g.model((SIZE, SIZE), [("output", g.op("GlobalAveragePool", "images"), [3, 1, 1])]), path)
    return path


def homography(x: float, y: float = 0.0) -> list[list[float]]:
    """A view straight down on 4 m x 4 m whose upper left corner is at (x, y) m."""
    return [[4 / SIZE, 0.0, x], [0.0, -4 / SIZE, y], [0.0, 0.0, 1.0]]


def camera(name: str, x: float | None = None, source: str = f"test:{SIZE}x{SIZE}@10") -> dict[str, Any]:
    """A camera of a site file; x: where its view lies, None: not calibrated."""
    ground = {"ground": {"homography": homography(x), "image_size": [SIZE, SIZE]}} if x is not None else {}
    return {"name": name, "source": source, **ground}


def write_site(path: Path, model: Path, cameras: list[dict[str, Any]], **sections: dict[str, Any]) -> Path:
    """A site file; endpoints lie beside it."""
    folder = path.parent
    site: dict[str, Any] = {
        "site": "steady",
        "cameras": cameras,
        "detector": {"model": str(model), "input": [SIZE, SIZE]},
        "publish": {"bind": [f"ipc://{folder}/p"], "snapshot": f"ipc://{folder}/s"},
        "runtime": {"backend": "onnxruntime", "threads": 1, "control": f"ipc://{folder}/c"},
    }
    for section, values in sections.items():
        site[section] = {**site.get(section, {}), **values}
    path.write_text(yaml.safe_dump(site))
    return path

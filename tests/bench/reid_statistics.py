"""How alike a Re-ID model finds two pictures of one person, and of two: the figures of the manifests' [embedding].

    python -m tests.bench.reid_statistics [CACHE]

Takes the weights of the manifests' `reid` models from CACHE (default: ../shared/models) and pictures of known people
from ../shared/data: PETS 2009 (one camera, 19 people; two pictures of a person are at least 2 s apart) and UFES
(four cameras, two people dressed alike; pairs from different cameras). The manifests quote PETS, which has more people.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from spoton_edge.manifests import InputSpec, Manifest, manifests
from spoton_edge.models import cached_path, manifest_for
from tests.conftest import SHARED

PETS_PERIOD, PETS_APART = 7, 14  # frames; 7 are a second
HIDDEN = 0.3  # a box of which another, nearer one covers more shows somebody else
BATCH = 32


@dataclass(frozen=True)
class Gallery:
    """Pictures of known people: crops[i] shows person[i], seen by view[i] at time[i] (frames)."""

    name: str
    crops: list[NDArray[np.uint8]]
    person: NDArray[np.int64]
    view: NDArray[np.int64]
    time: NDArray[np.int64]
    across_views: bool

    def pairs(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which pairs of pictures are worth comparing and show one person, and which show two."""
        same = self.person[:, None] == self.person[None, :]
        fair = np.triu(np.ones_like(same), 1)
        if self.across_views:
            fair &= self.view[:, None] != self.view[None, :]
            return fair & same, fair & ~same
        return fair & same & (np.abs(self.time[:, None] - self.time[None, :]) >= PETS_APART), fair & ~same


def frames(path: Path, wanted: set[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The wanted pictures of a video, BGR."""
    with av.open(str(path)) as video:
        for number, frame in enumerate(video.decode(video=0)):
            if number in wanted:
                yield number, frame.to_ndarray(format="bgr24")


def cut(image: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8] | None:
    """The part of a picture inside a box (xyxy); None where less than 8 pixels of it are in the picture."""
    x1, y1 = np.maximum(box[:2], 0).astype(int)
    x2, y2 = np.minimum(box[2:], image.shape[1::-1]).astype(int)
    return None if x2 - x1 < 8 or y2 - y1 < 8 else image[y1:y2, x1:x2].copy()


def covered(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of each box is covered by the one box that hides most of it and stands nearer (a lower foot)."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    share = np.prod(np.maximum(high - low, 0), axis=2) / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    share[boxes[None, :, 3] <= boxes[:, None, 3]] = 0
    return share.max(axis=1)


def gallery(name: str, rows: list[tuple[NDArray[np.uint8], int, int, int]], across_views: bool) -> Gallery:
    """Bring rows of crop, person, view, time into columns."""
    crops, person, view, time = zip(*rows, strict=True)
    return Gallery(name, list(crops), np.array(person), np.array(view), np.array(time), across_views)


def pets(data: Path) -> Gallery:
    """One view of PETS 2009 S2.L1, once a second, without people who are hidden by others."""
    folder = data / "pets09_s2l1_view1"
    truth = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    rows = []
    wanted = set(range(0, 795, PETS_PERIOD))
    for number, image in frames(folder / "vtest.avi", wanted):
        here = truth[truth[:, 0] == number + 1]
        boxes = np.hstack([here[:, 2:4], here[:, 2:4] + here[:, 4:6]])
        for row, box, share in zip(here, boxes, covered(boxes), strict=True):
            if share <= HIDDEN and (crop := cut(image, box)) is not None:
                rows.append((crop, int(row[1]), 0, number))
    return gallery("PETS 2009, one camera", rows, across_views=False)


def ufes(data: Path) -> Gallery:
    """Four views of two walkers, where at least half of a person is seen."""
    folder = data / "ufes4cam"
    with (folder / "gt" / "boxes.csv").open() as file:
        truth = [row for row in csv.DictReader(file) if row["visible"] == "1"]
    rows = []
    for view in range(4):
        here = [row for row in truth if row["cam"] == str(view)]
        for number, image in frames(folder / "videos" / f"cam{view}.mp4", {int(row["frame"]) for row in here}):
            for row in here:
                box = np.array([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
                if int(row["frame"]) == number and (crop := cut(image, box)) is not None:
                    rows.append((crop, int(row["id"]), view, number))
    return gallery("UFES, across 4 cameras", rows, across_views=True)


def network_input(crop: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """One crop as the manifest describes the input, (3, H, W)."""
    resized = cv2.resize(crop, spec.size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if spec.colour == "rgb":
        resized = resized[:, :, ::-1]
    normal = (resized - np.float32(spec.mean)) / np.float32(spec.std)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), dtype=np.float32)


def embed(path: Path, known: Manifest, crops: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Unit vectors (N, D)."""
    assert known.input is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rows = []
    for start in range(0, len(crops), BATCH):
        batch = np.stack([network_input(crop, known.input) for crop in crops[start : start + BATCH]])
        rows.append(session.run(None, {known.input.name: batch})[0])
    vectors = np.concatenate(rows)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def equal_error(same: NDArray[np.float32], different: NDArray[np.float32]) -> tuple[float, float]:
    """The cosine at which both kinds of error are as frequent, and how frequent."""
    levels = np.linspace(-1, 1, 4001)
    missed = np.searchsorted(np.sort(same), levels) / len(same)
    confused = 1 - np.searchsorted(np.sort(different), levels) / len(different)
    best = int(np.argmin(np.abs(missed - confused)))
    return float(levels[best]), float((missed[best] + confused[best]) / 2)


def weights(folder: Path) -> Iterator[tuple[Manifest, Path]]:
    """The Re-ID models in a cache or in a folder of ONNX files."""
    for known in manifests().values():
        if known.kind != "reid":
            continue
        cached = cached_path(known.name, folder)
        loose = [path for path in folder.glob("*_dynbatch.onnx") if "yolox" not in path.name]
        fitting = [cached] if cached.is_file() else [path for path in loose if manifest_for(path, "reid") == known]
        if fitting:
            yield known, fitting[0]
        else:
            print(f"{known.name}: no weights in {folder}")


def main(arguments: list[str] | None = None) -> None:
    """Print one line for each model and set of pictures."""
    data = SHARED / "data"
    if not data.is_dir():
        print("reid_statistics: skipped, no ../shared/data")
        return
    sets = [pets(data), ufes(data)]
    for known, path in weights(Path(arguments[0]) if arguments else SHARED / "models"):
        for pictures in sets:
            vectors = embed(path, known, pictures.crops)
            cosine = vectors @ vectors.T
            one, two = (cosine[pairs] for pairs in pictures.pairs())
            level, rate = equal_error(one, two)
            print(
                f"{known.name:12} {pictures.name:40} {len(pictures.crops):4} crops"
                f"  same {one.mean():.3f} +- {one.std():.3f} ({len(one)})"
                f"  different {two.mean():.3f} +- {two.std():.3f} ({len(two)})"
                f"  equal error {100 * rate:.1f} % at {level:.2f}"
            )


if __name__ == "__main__":
    main(sys.argv[1:])

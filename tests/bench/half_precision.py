"""How far FP16 graphs are from FP32 ones on the clip, in ONNX Runtime: the rounding, not FP16 accumulation.

python -m tests.bench.half_precision
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from spoton_edge.engine_check import compare_detector, compare_embeddings
from spoton_edge.graph_surgery import load_graph, save_graph
from spoton_edge.half_precision import to_half
from spoton_edge.pictures import recorded
from tests.conftest import SHARED

DETECTOR = "yolox_nano_dyn_bhw.onnx"
REID = ("osnet_x0_25_msmt17_dynbatch.onnx", "person-reid-retail-0287_dynbatch.onnx")


def main() -> None:
    """Print one line for each network, and whom only one precision sees."""
    models, clip = SHARED / "models", SHARED / "data" / "pets09_s2l1_view1"
    if not models.is_dir() or not clip.is_dir():
        print("half_precision: skipped, no ../shared")
        return
    logging.disable(logging.INFO)
    pictures = [image.copy() for _, _, image in recorded(clip, 66)]
    crops = [picture[y : y + 120, x : x + 50] for picture in pictures for x in range(50, 700, 90) for y in (100, 300)]
    with tempfile.TemporaryDirectory() as scratch:
        for name in (DETECTOR, *REID):
            save_graph(to_half(load_graph(models / name)), Path(scratch) / name)
        for size in ((416, 416), (640, 640)):
            found = compare_detector(models / DETECTOR, Path(scratch) / DETECTOR, pictures, size)
            print(f"{DETECTOR} {size[0]}x{size[1]}: {found.summary}", *found.unmatched, sep="\n  ")
        for name in REID:
            print(f"{name}: {compare_embeddings(models / name, Path(scratch) / name, crops).summary}")


if __name__ == "__main__":
    main()

"""The strategies that this project's predecessor tried, with today's numbers: `make bench-predecessor`.

It ran a detector of its own for each of four cameras (1.97 frames/s), then ONNX at 640 px (2.37), then skipped two
frames of three (6.11). Each line: frames of all cameras together, per second of wall time, and CPU time a frame;
medians over rounds, in one run. ONNX Runtime on this machine; TensorRT too where there is a GPU.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from spoton_edge.detector import Detector
from spoton_edge.engine import Engine, Workload
from spoton_edge.engine.backends import Backends
from spoton_edge.engine.driver import NoDriver, probe
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.graph_surgery import load_graph, save_graph
from spoton_edge.half_precision import to_half
from spoton_edge.models import manifest_for
from spoton_edge.types import FrameBatch
from tests.bench.detect_stage import frames
from tests.conftest import SHARED

MODEL = "yolox_nano_dyn_bhw.onnx"
ROUNDS = 7
CAMERAS = (1, 2, 4)


def batch_of(images: list[np.ndarray]) -> FrameBatch:
    count = len(images)
    numbers = np.zeros(count, np.int64)
    return FrameBatch(np.arange(count, dtype=np.int16), numbers, numbers, images)


def measured(work: Callable[[], object], pictures: int) -> str:
    """Run `work`, which handles so many pictures, and say how fast."""
    work()
    wall, cpu = [], []
    for _ in range(ROUNDS):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return f"{pictures / np.median(wall):8.1f} frames/s {1e3 * np.median(cpu) / pictures:8.1f} ms CPU a frame"


def detector(engine: Engine, path: Path, size: tuple[int, int], cameras: int) -> Detector:
    return Detector(engine, manifest_for(path, "detector"), input_size=size, min_score=0.1, max_batch=cameras)


def one_session_a_camera(path: Path, size: tuple[int, int], images: list[np.ndarray]) -> str:
    """What the predecessor did: every camera its own session and thread, together on all cores."""
    threads = max(1, (os.cpu_count() or 1) // len(images))
    own = [detector(OnnxRuntimeEngine(path, threads=threads), path, size, 1) for _ in images]
    batches = [batch_of([image]) for image in images]
    with ThreadPoolExecutor(len(images)) as pool:
        return measured(lambda: list(pool.map(Detector.detect, own, batches)), len(images))


def one_batched_call(
    engine: Engine, path: Path, size: tuple[int, int], images: list[np.ndarray], every: int = 1
) -> str:
    """What SpotOn Edge does; every: detection on each n-th batch only."""
    shared = detector(engine, path, size, len(images))
    batch = batch_of(images)
    return measured(lambda: shared.detect(batch), every * len(images))


def lines(path: Path, scratch: Path) -> Iterator[str]:
    """One line for each strategy."""
    pictures = frames(max(CAMERAS), (640, 360))
    small, large = (416, 416), (640, 640)
    for cameras in CAMERAS:
        images = pictures[:cameras]
        apart = one_session_a_camera(path, small, images)
        together = one_batched_call(OnnxRuntimeEngine(path), path, small, images)
        yield f"cameras {cameras}  416  a session each        {apart}"
        yield f"cameras {cameras}  416  one batched call      {together}"
    half = scratch / MODEL
    save_graph(to_half(load_graph(path)), half)
    for label, file, size, every in (
        ("416  half precision   ", half, small, 1),
        ("640  one batched call ", path, large, 1),
        ("416  every third batch", path, small, 3),
        ("640  every third batch", path, large, 3),
    ):
        yield f"cameras 4  {label} {one_batched_call(OnnxRuntimeEngine(file), path, size, pictures, every)}"
    try:
        gpu = probe()
    except NoDriver as reason:
        yield f"TensorRT: not run, {reason}"
        return
    for name in ("tensorrt", "tensorrt_rtx"):
        for size in ((416, 416), (640, 640)):
            engine = Backends(name, scratch).load(path, Workload(size, 4, 4))
            yield f"cameras 4  {size[0]}  {name} on {gpu.name} {one_batched_call(engine, path, size, pictures)}"


def main() -> None:
    path = SHARED / "models" / MODEL
    if not path.is_file():
        print("predecessor: skipped, no ../shared/models")
        return
    print(f"YOLOX-Nano, frames of 640x360, ONNX Runtime on {os.cpu_count()} cores, medians of {ROUNDS}:")
    with tempfile.TemporaryDirectory() as scratch:
        for line in lines(path, Path(scratch)):
            print(line, flush=True)


if __name__ == "__main__":
    main()

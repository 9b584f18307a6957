"""The detect stage against the bare network: CPU time of one thread, alternating, on four frames of 640x360.

python -m tests.bench.detect_stage
"""

from __future__ import annotations

import time
from collections.abc import Callable

import av
import cv2
import numpy as np
import onnxruntime

from spoton_edge.detector import Detector
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.models import manifest_for
from spoton_edge.types import FrameBatch
from tests.conftest import SHARED

ROUNDS = 60
CAMERAS = 4
SIZE = (416, 416)


def cpu_ms(work: Callable[[], object]) -> float:
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e6


def frames(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Pictures of the clip, well apart."""
    wanted = set(range(0, 100 * count, 100))
    with av.open(str(SHARED / "data" / "pets09_s2l1_view1" / "vtest.avi")) as video:
        return [
            cv2.resize(frame.to_ndarray(format="bgr24"), size)
            for number, frame in enumerate(video.decode(video=0))
            if number in wanted
        ]


def main() -> None:
    path = SHARED / "models" / "yolox_nano_dyn_bhw.onnx"
    if not path.is_file():
        print("detect_stage: skipped, no ../shared/models")
        return
    images = frames(CAMERAS, (640, 360))
    engine = OnnxRuntimeEngine(path, threads=1)
    detector = Detector(engine, manifest_for(path, "detector"), input_size=SIZE, min_score=0.1, max_batch=CAMERAS)
    numbers = np.zeros(CAMERAS, np.int64)
    batch = FrameBatch(np.arange(CAMERAS, dtype=np.int16), numbers, numbers, images)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tensor = np.random.default_rng(0).uniform(0, 255, (CAMERAS, 3, *SIZE)).astype(np.float32)
    rounds = [
        (cpu_ms(lambda: session.run(None, {"images": tensor})), cpu_ms(lambda: detector.detect(batch)))
        for _ in range(ROUNDS)
    ]
    bare, stage = np.median(np.array(rounds[5:]), axis=0)
    people = len(detector.detect(batch).score)
    print(f"{CAMERAS} frames of 640x360, {people} candidates kept, one thread, medians of {ROUNDS - 5}:")
    print(f"bare session.run  {bare:7.2f} ms CPU")
    print(f"detect stage      {stage:7.2f} ms CPU   {stage / bare:.3f} x")


if __name__ == "__main__":
    main()

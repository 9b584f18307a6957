"""What everything else costs beside the detector: CPU time of the whole pipeline, decoding, appearance and publishing
included, against the bare network on the same frames; one intra-op thread, spinning off, alternating."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spoton_edge import config
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.service import Service
from tests.clip import find_clip, find_detector, write_site
from tests.conftest import SHARED

CHUNK = 25  # batches in a row, so that the decoder's thread is at work while the pipeline is measured
CHUNKS = 12


def main() -> None:
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None:
        sys.exit("needs the clip and a detector: make demo fetches both")
    with tempfile.TemporaryDirectory() as scratch:
        path = write_site(Path(scratch), clip, detector, runtime={"threads": 1})
        path.write_text(path.read_text().replace("ENDPOINT", f"ipc://{scratch}/tracks"))
        site = config.load(path)
        service = Service(path, config.load(path), cache=Path(scratch), state=Path(scratch), fast=True)
        width, height = site.detector.input
        tensor = np.random.default_rng(0).uniform(0, 255, (len(site.cameras), 3, height, width)).astype(np.float32)
        bare = OnnxRuntimeEngine(Path(detector), threads=1)
        bare.infer(tensor)
        service.capture.start()
        ratios, pipeline_ms, bare_ms = [], [], []
        for _ in range(CHUNKS):
            start = time.process_time()
            for _ in range(CHUNK):
                batch = service.capture.take(10.0)
                assert batch is not None
                service.pipeline.step(batch, 0.0)
            middle = time.process_time()
            for _ in range(CHUNK):
                bare.infer(tensor)
            end = time.process_time()
            pipeline_ms.append((middle - start) / CHUNK * 1e3)
            bare_ms.append((end - middle) / CHUNK * 1e3)
            ratios.append((middle - start) / (end - middle))
        service.capture.stop()
        service.pipeline.publisher.close()
        stages = service.pipeline.timer.summary()
    print(
        f"CPU ms a batch of {len(site.cameras)}: "
        f"pipeline {np.median(pipeline_ms):.1f}, network {np.median(bare_ms):.1f}"
    )
    print(f"pipeline / network: median {np.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})")
    for name, spent in stages.items():
        print(f"  {name:10} p50 {spent.p50_ms:7.2f} ms  p95 {spent.p95_ms:7.2f} ms (wall)")


if __name__ == "__main__":
    main()

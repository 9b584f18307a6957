"""The model server that `make bench-deployment` compares with: it answers as the embedded engine does, only later."""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np

from spoton_edge.detector import Detector
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.models import manifest_for
from tests.bench._model_server import MIN_SCORE
from tests.bench._remote import Connection, RemoteDetector, RemoteEngine, model_server
from tests.bench.deployment import FRAME, Deployment, batch_of, check_same

INPUT = (160, 128)
DELAY_S = 0.05


def test_a_model_server_finds_the_same_people_and_a_delayed_one_later(clip: Path, detector: str) -> None:
    path = Path(detector)
    with av.open(str(clip)) as video:
        picture = next(video.decode(video=0)).reformat(*FRAME, format="bgr24").to_ndarray()
    manifest = manifest_for(path, "detector")
    own = OnnxRuntimeEngine(path, threads=1)
    rows = [int(np.prod(out.shape[1:])) for out in own.infer(np.zeros((1, 3, *INPUT[::-1]), np.float32))]
    batch = batch_of([picture, picture[:, ::-1].copy()], 2)
    with model_server(path, 1, INPUT, FRAME, [DELAY_S]) as (_, ways):
        remote = RemoteEngine(Connection(ways[0.0]), own.inputs, own.outputs, rows)
        engines = [
            Detector(engine, manifest, input_size=INPUT, min_score=MIN_SCORE, max_batch=2) for engine in (own, remote)
        ]
        late = RemoteDetector(Connection(ways[DELAY_S]))
        start = time.perf_counter()
        late.detect(batch)
        assert time.perf_counter() - start >= DELAY_S
        check_same([Deployment("", [each.detect]) for each in (*engines, late)], batch)

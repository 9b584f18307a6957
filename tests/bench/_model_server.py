"""A model server as good as one can reasonably be: starlette on uvicorn with httptools, binary bodies, keep-alive.

python -m tests.bench._model_server MODEL HOST THREADS, which prints the port that it listens on.

    POST /infer?batch=B    f4 (B, 3, H, W), network pixels -> the network's outputs, f4, one after the other
    POST /detect?batch=B   u8 (B, h, w, 3) BGR, frames -> JSON head line, then boxes f4 (N, 4) and scores f4 (N,)
    GET  /cpu              CPU seconds that the server has used

`infer` is what general model servers offer; `detect` moves letterbox and decoding there, too, which sends the least.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spoton_edge.detector import Detector
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.models import manifest_for
from spoton_edge.types import FrameBatch

MIN_SCORE = 0.1
MAX_BATCH = 8


class ModelServer:
    """One network; requests are computed one at a time, and received meanwhile."""

    def __init__(self, path: Path, input_size: tuple[int, int], frame_size: tuple[int, int], threads: int) -> None:
        """input_size, frame_size: width, height, of what `infer` and `detect` take."""
        self._input_size, self._frame_size = input_size, frame_size
        self._engine = OnnxRuntimeEngine(path, threads=threads)
        self._detector = Detector(
            self._engine,
            manifest_for(path, "detector"),
            input_size=input_size,
            min_score=MIN_SCORE,
            max_batch=MAX_BATCH,
        )
        self._turn = threading.Lock()

    def app(self) -> Starlette:
        routes = [
            _posted("/infer", self._infer),
            _posted("/detect", self._detect),
            Route("/cpu", lambda _: Response(str(time.process_time()))),
        ]
        return Starlette(routes=routes)

    def _infer(self, body: bytes, count: int) -> bytes:
        width, height = self._input_size
        with self._turn:
            outputs = self._engine.infer(np.frombuffer(body, np.float32).reshape(count, 3, height, width))
            return b"".join(output.tobytes() for output in outputs)

    def _detect(self, body: bytes, count: int) -> bytes:
        width, height = self._frame_size
        images = list(np.frombuffer(body, np.uint8).reshape(count, height, width, 3))
        numbers = np.zeros(count, np.int64)
        with self._turn:
            found = self._detector.detect(FrameBatch(np.arange(count, dtype=np.int16), numbers, numbers, images))
        head = json.dumps(found.offsets.tolist()).encode() + b"\n"
        return head + found.xyxy.tobytes() + found.score.tobytes()


def _posted(path: str, answer: Callable[[bytes, int], bytes]) -> Route:
    """What computes for a posted body, off the event loop; batch: how many frames the body has."""

    async def respond(request: Request) -> Response:
        count = int(request.query_params["batch"])
        body = await request.body()
        return Response(await run_in_threadpool(answer, body, count), media_type="application/octet-stream")

    return Route(path, respond, methods=["POST"])


def main(model: str, host: str, threads: str, *sizes: str) -> None:
    input_width, input_height, width, height = map(int, sizes)
    server = ModelServer(Path(model), (input_width, input_height), (width, height), int(threads))
    listener = socket.create_server((host, 0))
    config = uvicorn.Config(
        server.app(), http="httptools", log_level="warning", access_log=False, timeout_keep_alive=3600
    )
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])

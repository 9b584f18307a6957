"""The detector behind an HTTP model server: the server's process, the way to it, and its clients."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from spoton_edge.engine import TensorSpec
from spoton_edge.types import F4, Detections, FrameBatch
from tests.e2e.line import Line
from tests.e2e.networks import Namespaces


class Connection:
    """One connection to the server, kept."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._http = http.client.HTTPConnection(*address, timeout=60.0)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: memoryview) -> bytes:
        self._http.request("POST", path, body=body, headers={"Content-Length": str(body.nbytes)})
        answer = self._http.getresponse()
        data = answer.read()
        assert answer.status == 200, data[:200]
        return data

    def cpu_s(self) -> float:
        """CPU time that the server has used."""
        self._http.request("GET", "/cpu")
        return float(self._http.getresponse().read())


class RemoteEngine:
    """An `Engine` whose network runs on the server: tensors go there and come back."""

    backend = "http"
    max_batch: int | None = None

    def __init__(
        self, connection: Connection, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], rows: list[int]
    ) -> None:
        """rows: numbers in each output, a picture."""
        self.inputs, self.outputs = inputs, outputs
        self._connection, self._rows = connection, rows
        self._done: deque[tuple[F4, ...]] = deque()

    def infer(self, batch: F4) -> tuple[F4, ...]:
        count = len(batch)
        flat = np.frombuffer(self._connection.post(f"/infer?batch={count}", _bytes_of(batch)), np.float32)
        ends = np.cumsum([count * row for row in self._rows])
        parts = np.split(flat, ends[:-1])
        shapes = [spec.shape[-1] or -1 for spec in self.outputs]
        return tuple(part.reshape(count, -1, last) for part, last in zip(parts, shapes, strict=True))

    def submit(self, batch: F4) -> None:
        self._done.append(self.infer(batch))

    def collect(self) -> tuple[F4, ...]:
        return self._done.popleft()


class RemoteDetector:
    """The whole detect stage on the server: frames go there, boxes come back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def detect(self, batch: FrameBatch) -> Detections:
        frames = np.stack(batch.images)
        answer = self._connection.post(f"/detect?batch={len(batch)}", _bytes_of(frames))
        head, _, rest = answer.partition(b"\n")
        offsets = np.array(json.loads(head), np.int32)
        numbers = np.frombuffer(rest, np.float32)
        found = int(offsets[-1])
        return Detections(numbers[: 4 * found].reshape(-1, 4), numbers[4 * found :], offsets)


@contextmanager
def model_server(
    model: Path, threads: int, input_size: tuple[int, int], frame_size: tuple[int, int], delays_s: list[float]
) -> Iterator[tuple[str, dict[float, tuple[str, int]]]]:
    """A server, and by how much its answers are delayed the address to reach it at; and what delays them.

    A delayed way is a server of its own in a network namespace with netem where this machine has these; else this
    one's, through a process that holds what passes. That one is kinder: TCP's window has nothing to wait for.
    """
    with ExitStack() as stack:
        sizes = [str(number) for size in (input_size, frame_size) for number in size]

        def started(prefix: tuple[str, ...], host: str) -> int:
            command = [*prefix, sys.executable, "-m", "tests.bench._model_server", str(model), host, str(threads)]
            process = subprocess.Popen([*command, *sizes], stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            assert process.stdout is not None
            return int(process.stdout.readline())

        near = started((), "127.0.0.1")
        ways = {0.0: ("127.0.0.1", near)}
        try:
            network = Namespaces()
            stack.callback(network.close)
            for number, delay_s in enumerate(delays_s):
                place = network.place(f"server{number}")
                network.delay(place, delay_s)
                ways[delay_s] = place.reach, started(place.prefix, "0.0.0.0")
            how = "netem in a network namespace"
        except OSError as error:
            how = f"a relay on loopback, for want of netem ({str(error).rpartition('Error: ')[2]})"
            for delay_s in delays_s:
                ways[delay_s] = "127.0.0.1", _relayed(near, delay_s, stack)
        yield how, ways


def _relayed(port: int, delay_s: float, stack: ExitStack) -> int:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_relay, args=(port, delay_s, theirs), daemon=True)
    process.start()
    stack.callback(process.join)
    stack.callback(process.terminate)
    return int(ours.recv())


def _relay(port: int, delay_s: float, ready: object) -> None:
    line = Line(("127.0.0.1", port), delay_s=delay_s / 2)  # each way
    ready.send(line.port)  # type: ignore[attr-defined]
    threading.Event().wait()


def _bytes_of(array: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(array)).cast("B")

"""The embedded engine against the same network behind an HTTP model server: `make bench-deployment`.

One cycle is the detect stage on one frame of each camera, from pictures to boxes. Beside the embedded engine, a server
is measured that takes tensors, as general model servers do, and one that takes frames and answers with boxes, which
sends the least; each on loopback and with a delay added to its answers. All in turn, round by round, in one run.

What a month costs is the reader's to say; the defaults are the predecessor's two scenarios, embedded 384 and 549
dollars a month against 445 for a model server, of which no more is known than these sums.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from spoton_edge.detector import Detector
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.models import manifest_for
from spoton_edge.types import Detections, FrameBatch
from tests.bench._model_server import MAX_BATCH, MIN_SCORE
from tests.bench._remote import Connection, RemoteDetector, RemoteEngine, model_server
from tests.bench.detect_stage import frames
from tests.conftest import SHARED

MODEL = "yolox_nano_dyn_bhw.onnx"
INPUT, FRAME = (416, 416), (640, 360)
COUNTS = (1, 2, 4, 8)
SCENARIOS = ((384.0, 445.0), (549.0, 445.0))

Detect = Callable[[FrameBatch], Detections]


@dataclass
class Deployment:
    """One way to run the network. `detect`: two of it, so that one cycle can be under way while another is."""

    name: str
    detect: list[Detect]
    server: Connection | None = None
    wall_s: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    cpu_s: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in COUNTS})
    twice_s: list[float] = field(default_factory=list)

    def measure(self, count: int, batch: FrameBatch) -> None:
        served, start, start_cpu = self._served_s(), time.perf_counter(), time.process_time()
        self.detect[0](batch)
        self.wall_s[count].append(time.perf_counter() - start)
        self.cpu_s[count].append(time.process_time() - start_cpu + self._served_s() - served)

    def measure_twice(self, batch: FrameBatch, pool: ThreadPoolExecutor, cycles: int = 2) -> None:
        """Seconds a cycle with two under way."""
        start = time.perf_counter()
        list(pool.map(lambda detect: [detect(batch) for _ in range(cycles)], self.detect))
        self.twice_s.append((time.perf_counter() - start) / (2 * cycles))

    def cameras(self, budget_s: float) -> int:
        """Most cameras whose cycle takes no longer, by a line through the medians of all counts."""
        medians = [np.median(self.wall_s[count]) for count in COUNTS]
        each_s, fixed_s = np.polyfit(COUNTS, medians, 1, w=1 / np.array(medians))
        return max(0, int((budget_s - fixed_s) / each_s))

    def _served_s(self) -> float:
        return self.server.cpu_s() if self.server else 0.0


def batch_of(pictures: list[np.ndarray], count: int) -> FrameBatch:
    numbers = np.zeros(count, np.int64)
    images = [pictures[number % len(pictures)] for number in range(count)]
    return FrameBatch(np.arange(count, dtype=np.int16), numbers, numbers, images)


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    path = SHARED / "models" / MODEL
    if not path.is_file():
        print("deployment: skipped, no ../shared/models")
        return
    manifest, threads = manifest_for(path, "detector"), options.threads

    def detector(engine: OnnxRuntimeEngine | RemoteEngine) -> Detect:
        return Detector(engine, manifest, input_size=INPUT, min_score=MIN_SCORE, max_batch=MAX_BATCH).detect

    pictures = frames(4, FRAME)
    own = OnnxRuntimeEngine(path, threads=threads)
    rows = [int(np.prod(out.shape[1:])) for out in own.infer(np.zeros((1, 3, *INPUT[::-1]), np.float32))]
    deployments = [Deployment("embedded", [detector(OnnxRuntimeEngine(path, threads=threads)) for _ in range(2)])]
    delays_s = [ms / 1e3 for ms in options.delays_ms]
    with model_server(path, threads, INPUT, FRAME, delays_s) as (how, ways), ThreadPoolExecutor(2) as pool:
        for delay_s, address in ways.items():
            where = f"+{1e3 * delay_s:.0f} ms" if delay_s else "loopback"
            lines = [Connection(address) for _ in range(4)]
            engines = [RemoteEngine(line, own.inputs, own.outputs, rows) for line in lines[:2]]
            deployments += [
                Deployment(f"tensors, {where}", [detector(engine) for engine in engines], Connection(address)),
                Deployment(
                    f"frames, {where}", [RemoteDetector(line).detect for line in lines[2:]], Connection(address)
                ),
            ]
        check_same(deployments, batch_of(pictures, 4))
        order, shuffle = list(deployments), random.Random(0).shuffle
        for _ in range(options.rounds):
            for count in COUNTS:
                batch = batch_of(pictures, count)
                shuffle(order)
                for deployment in order:
                    deployment.measure(count, batch)
            for deployment in order:
                deployment.measure_twice(batch_of(pictures, 4), pool)
    print(f"YOLOX-Nano at {INPUT[0]}, frames of {FRAME[0]}x{FRAME[1]}, ONNX Runtime with {threads} threads on the")
    print(f"{os.cpu_count()} cores that client and server share; medians of {options.rounds} rounds")
    print(f"a delay is added to the round trip, by {how}")
    report(deployments, options.budget_ms / 1e3)
    costs(deployments, options.budget_ms / 1e3, options.costs or SCENARIOS)


def check_same(deployments: list[Deployment], batch: FrameBatch) -> None:
    """All find the same people."""
    expected = deployments[0].detect[0](batch)
    assert len(expected.score) > 0
    for deployment in deployments:
        for detect in deployment.detect:
            found = detect(batch)
            assert np.array_equal(found.offsets, expected.offsets), deployment.name
            np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=1e-2)


def report(deployments: list[Deployment], budget_s: float) -> None:
    """Of four cameras: a cycle's latency, CPU time and rate; and how many cameras a budget allows. The ratio to the
    embedded engine is taken round by round."""
    base = np.array(deployments[0].wall_s[4])
    budget = f"cameras at {1e3 * budget_s:.0f} ms"
    print(f"\n{'4 cameras':18} {'cycle ms':>9} {'p95':>7} {'ratio':>6} {'CPU ms/frame':>13} {'frames/s':>9}", end="")
    print(f" {'two under way':>14} {budget:>18} {'frames/s':>9}")
    for deployment in deployments:
        wall = np.array(deployment.wall_s[4])
        cpu_ms = 1e3 * np.median(deployment.cpu_s[4]) / 4
        cameras = deployment.cameras(budget_s)
        print(
            f"{deployment.name:18} {1e3 * np.median(wall):9.1f} {1e3 * np.percentile(wall, 95):7.1f}"
            f" {np.median(wall / base):6.2f} {cpu_ms:13.1f} {4 / np.median(wall):9.1f}"
            f" {4 / np.median(deployment.twice_s):14.1f} {cameras:18d} {cameras / budget_s:9.1f}"
        )


def costs(deployments: list[Deployment], budget_s: float, scenarios: list[tuple[float, float]]) -> None:
    """What a camera costs a month, were each sum that of one box or server as measured here."""
    for number, (embedded, served) in enumerate(scenarios, 1):
        print(f"\nscenario {number}: embedded {embedded:.0f}, model server {served:.0f} dollars a month")
        for deployment in deployments:
            cameras = deployment.cameras(budget_s)
            price = embedded if deployment is deployments[0] else served
            each = f"{price / cameras:.2f} dollars a camera" if cameras else "no camera within the budget"
            print(f"  {deployment.name:18} {price:4.0f} / {cameras:2d} cameras = {each}")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the network; default: all cores")
    parser.add_argument("--budget-ms", type=float, default=200.0, help="a cycle may take; default: %(default)s")
    parser.add_argument("--delays-ms", type=float, nargs="*", default=[20.0, 100.0], help="default: 20 100")
    parser.add_argument(
        "--costs", type=float, nargs=2, action="append", metavar=("EMBEDDED", "SERVER"), help="a month; repeatable"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

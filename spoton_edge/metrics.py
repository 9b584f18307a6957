"""How long each stage takes: wall time of the last batches, under the name the stage has everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from spoton_edge.types import StageTime


class StageTimer:
    """Times named stages; keeps the last `window` times of each."""

    def __init__(self, stages: tuple[str, ...], *, window: int = 1024) -> None:
        self._times_ns = {stage: np.zeros(window, np.int64) for stage in stages}
        self._counts = dict.fromkeys(stages, 0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` as one run of `stage`; one that raises is not counted."""
        start_ns = time.perf_counter_ns()
        yield
        times = self._times_ns[stage]
        times[self._counts[stage] % len(times)] = time.perf_counter_ns() - start_ns
        self._counts[stage] += 1

    def summary(self) -> dict[str, StageTime]:
        """Median and 95th percentile of each stage that has run, in milliseconds."""
        summary = {}
        for stage, times in self._times_ns.items():
            if count := min(self._counts[stage], len(times)):
                p50, p95 = np.percentile(times[:count], (50, 95)) / 1e6
                summary[stage] = StageTime(float(p50), float(p95))
        return summary


class RateMeter:
    """Batches a second over the last few seconds."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._times: list[float] = []

    def count(self) -> None:
        """One batch is done."""
        self._times.append(time.monotonic())

    def hz(self) -> float:
        """0 where fewer than two batches lie in the window."""
        horizon = time.monotonic() - self._window_s
        self._times = [moment for moment in self._times if moment >= horizon]
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

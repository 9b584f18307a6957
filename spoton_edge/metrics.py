"""What a daemon measures and counts: how long each stage takes, under the name it has everywhere, and the rest."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from spoton_edge.types import Delivery, Event, GlobalTracks, StageTime, Status, TrackState

STAGE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
AGE_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """Counts of values since the start, by the first bound that is not below them, and those beyond all."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds

    def copy(self) -> Histogram:
        """As it is now."""
        other = Histogram(self.bounds_s)
        other.counts, other.sum_s = list(self.counts), self.sum_s
        return other


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is counted, at one moment; counts are since the start."""

    site: str
    box: str
    run: str
    detector: str  # model
    engine: str  # what it runs on
    reid: str  # model, or "histogram"
    status: Status
    people: Mapping[str, int]  # by state
    events: Mapping[str, int]  # of identities, by kind
    handoffs: Mapping[str, int]  # by gate, links taken together
    gallery: int  # people whose looks are remembered
    reid_budget_hits: int
    bad_rows: int
    stages: Mapping[str, Histogram]
    age: Histogram
    delivery: Delivery
    reloads: Mapping[str, int]  # applied, refused
    restart_keys: int
    gpu_memory: tuple[int, int] | None  # bytes: used, all


class StageTimer:
    """Times named stages; keeps the last `window` times of each."""

    def __init__(self, stages: tuple[str, ...], *, window: int = 1024) -> None:
        self._times_ns = {stage: np.zeros(window, np.int64) for stage in stages}
        self._counts = dict.fromkeys(stages, 0)
        self._histograms = {stage: Histogram(STAGE_S) for stage in stages}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` as one run of `stage`; one that raises is not counted."""
        start_ns = time.perf_counter_ns()
        yield
        took_ns = time.perf_counter_ns() - start_ns
        times = self._times_ns[stage]
        times[self._counts[stage] % len(times)] = took_ns
        self._counts[stage] += 1
        self._histograms[stage].add(took_ns / 1e9)

    def histograms(self) -> dict[str, Histogram]:
        """How long each stage has taken so far."""
        return {stage: histogram.copy() for stage, histogram in self._histograms.items()}

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


class Tally:
    """What happens batch by batch, counted."""

    def __init__(self) -> None:
        self.rate = RateMeter()
        self.age = Histogram(AGE_S)
        self.people = {state.name.lower(): 0 for state in TrackState}  # in the last batch
        self.events: Counter[str] = Counter()
        self.handoffs: Counter[str] = Counter()
        self.reloads: Counter[str] = Counter()

    def count(self, tracks: GlobalTracks, events: Sequence[Event], age_s: float) -> None:
        """A batch is done; age_s: of its oldest frame when it was taken."""
        self.rate.count()
        self.age.add(age_s)
        states = np.bincount(tracks.state, minlength=len(TrackState)).tolist()
        self.people = {state.name.lower(): states[state] for state in TrackState}
        for event in events:
            self.events[event.kind] += 1
            if event.kind == "handed_off" and event.reason is not None:
                self.handoffs[event.reason.gate.partition(":")[0]] += 1

    @property
    def present(self) -> int:
        """People who are not lost."""
        return sum(self.people.values()) - self.people["lost"]

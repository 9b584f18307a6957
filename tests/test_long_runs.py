"""Identity over many draws and many visitors: shares that a few runs cannot show, and memory that stays what it was."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.test_association import AWAY_AND_BACK, associator, looks_of, play, standing
from tests.world import OracleTracker, Seen, Walker, World, room

SEEDS = 40


@pytest.mark.soak
@pytest.mark.parametrize("hidden_s", [1.0, 5.0, 20.0])
def test_of_those_who_stand_hidden_95_in_100_keep_the_id_and_no_passer_by_takes_it(hidden_s: float) -> None:
    kept = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        spot, angle = rng.uniform([3, 2], [7, 6]), rng.uniform(0, 2 * np.pi)
        sits = Walker(standing(*spot, hidden_s + 16), looks_of(2)[0], hidden_s=((8.0, 8.0 + hidden_s),))
        past, middle = 4.5 * np.array([np.cos(angle), np.sin(angle)]), 8.0 + hidden_s / 2
        beside = spot + 0.1 * np.array([-np.sin(angle), np.cos(angle)])
        way = np.array([[middle - 5, *(beside - past)], [middle + 5, *(beside + past)]])
        world = World(room(4), [sits, Walker(way, looks_of(2)[1])], seconds=hidden_s + 16, seed=seed)
        run = play(world, associator(world))
        assert not set(run.ids[0]) & set(run.ids[1])
        kept += len(run.ids[0]) == 1
    print(f"hidden for {hidden_s:.0f} s: {kept} of {SEEDS} keep the id")
    assert kept >= 0.95 * SEEDS


@pytest.mark.soak
@pytest.mark.parametrize("alike", [False, True])
def test_no_id_of_somebody_who_left_is_given_to_another(alike: bool) -> None:
    """Two are there and leave by one door, dressed alike or not; then one of them comes back to the same camera."""
    again = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        looks, leaves = looks_of(2, seed), float(rng.uniform(2, 10))
        spot = rng.uniform([6, 2], [8, 5])
        other = np.array([[0.0, *spot], [leaves, *spot], [leaves + 9, 5.0, 15.0]])
        walkers = [Walker(AWAY_AND_BACK, looks[0]), Walker(other, looks[0 if alike else 1])]
        run = play(World(room(1), walkers, seconds=42.0, seed=seed), associator(World(room(1), walkers, 42.0)))
        assert not set(run.ids[0]) & set(run.ids[1])
        again += len(run.ids[0]) == 1
    print(f"dressed {'alike' if alike else 'otherwise'}: {again} of {SEEDS} get their own id back, none another's")


FRAME_RATE = 2.0


def visitors(parts: int, seed: int = 0) -> Iterator[Seen]:
    """A room through which 50 people walk in every 1,000 frames, one after the other and some together."""
    rng = np.random.default_rng(seed)
    seconds = 1000 / FRAME_RATE
    for part in range(parts):
        looks, ways = looks_of(50, seed + part), []
        for begin in rng.uniform(0, seconds - 12, 50):
            ends = rng.uniform([0, 0], [10, 8], (2, 2)) * [1, 0] + [[0, 0], [0, 8]]
            ways.append(np.array([[begin, *ends[0]], [begin + rng.uniform(4.5, 6), *ends[1]]]))
        walkers = [Walker(way, look, float(rng.normal(1.72, 0.08))) for way, look in zip(ways, looks, strict=True)]
        for seen in World(room(2), walkers, seconds, FRAME_RATE, seed=part).steps():
            passed_ns = part * int(seconds * 1e9)
            yield replace(seen, frame_id=seen.frame_id + part * 1000, captured_ns=seen.captured_ns + passed_ns)


def memory_over(parts: int) -> tuple[list[int], list[int]]:
    """Bytes of all that the stage remembers after each part, and the ids that appeared."""
    ids = associator(World(room(2), [], 0.0), max_people=40, forget_s=60.0)
    tracker, sizes, given = OracleTracker(), [], []
    for seen in visitors(parts):
        tracklets, _ = tracker.update(seen)
        _, events = ids.update(np.arange(2, dtype=np.int16), np.full(2, seen.captured_ns), ids.site.project(tracklets))
        given += [event.global_id for event in events if event.kind == "appeared"]
        if seen.frame_id % 1000 == 999:
            sizes.append(len(pickle.dumps(ids)))
    return sizes, given


def judge(parts: int) -> None:
    sizes, given = memory_over(parts)
    print(f"{parts * 1000} frames, {parts * 50} visitors: {len(given)} ids; {min(sizes)} to {max(sizes)} bytes")
    assert given == sorted(set(given))
    assert len(given) >= 0.9 * parts * 50
    assert max(sizes[len(sizes) // 2 :]) < 1.05 * max(sizes[: len(sizes) // 2])


def test_memory_is_bounded_over_10000_frames_with_500_visitors() -> None:
    judge(10)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_memory_is_bounded_over_100000_frames_with_5000_visitors() -> None:
    judge(100)

"""The compiled books of tracklets and tracks against their slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext import evidence, roster, tracklets, twins
from spoton_edge.global_track import TRACK
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.stature import READINGS
from spoton_edge.tracklet_book import ENTRY
from spoton_edge.twins import PAIR
from spoton_edge.types import F4, FootPoint
from tests import reference_tracks as twin
from tests.world import room

SEEDS = st.integers(0, 2**32 - 1)
CAMERAS = 3
Arrays = dict[str, Any]


def boxes(rng: np.random.Generator, count: int) -> F4:
    at = rng.uniform(0, 60, (count, 2))
    return np.hstack([at, at + rng.uniform(10, 50, (count, 2))]).astype(np.float32)


def filled(rng: np.random.Generator, dtype: np.dtype[np.void], count: int) -> twin.Table:
    """Records whose every field is some small number."""
    table = np.zeros(count, dtype)
    for name in dtype.names or ():
        shape = table[name].shape
        whole = np.issubdtype(dtype[name].base, np.integer)
        table[name] = rng.integers(0, 100, shape) if whole else rng.uniform(0, 1, shape)
    return table


def book(rng: np.random.Generator, count: int, tracks: twin.Table) -> twin.Table:
    entry = filled(rng, ENTRY, count)
    entry["camera"] = np.sort(rng.integers(0, CAMERAS, count))
    entry["key"] = (entry["camera"].astype(np.int64) << 48) | np.arange(1, 2 * count, 2)
    entry["uid"] = rng.choice([-1, 999, *tracks["uid"]], count)
    entry["box"], entry["fresh"] = boxes(rng, count), rng.random(count) < 0.7
    return entry


def people(rng: np.random.Generator, count: int) -> Arrays:
    record = filled(rng, TRACK, count)
    record["uid"] = np.sort(rng.choice(200, count, replace=False))
    record["global_id"] = np.where(rng.random(count) < 0.3, -1, rng.permutation(count) + 5)
    record["best_view"], record["hits"] = rng.integers(-1, CAMERAS, count), rng.integers(0, 4, count)
    root = rng.normal(size=(count, 4, 4)) * 0.3
    cov = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(4)
    return {"record": record, "state": rng.uniform(0, 3, (count, 4)), "cov": cov}


def sights(rng: np.random.Generator, count: int, tracks: int) -> Arrays:
    """Tracklets (T,) of a step: a track at most once in each camera, or none."""
    camera = np.sort(rng.integers(0, CAMERAS, count)).astype(np.int16)
    track = np.full(count, -1, np.int32)
    for c in range(CAMERAS):
        mine = np.flatnonzero(camera == c)
        options = np.concatenate([rng.permutation(tracks), np.full(len(mine), -1)])[: len(mine)]
        track[mine] = rng.permutation(options)
    return {
        "camera": camera,
        "track": track,
        "seen": (rng.random(count) < 0.2).astype(np.uint8),
        "when": rng.integers(50, 100, count),
        "xyxy": boxes(rng, count),
        "r": np.where(rng.random((count, 1)) < 0.2, np.nan, rng.uniform(0, 1, (count, 3))),
        "foot": rng.choice(np.array([FootPoint.SEEN, FootPoint.SIDE], np.uint8), count),
    }


def test_records_lie_as_numpy_lays_them_out() -> None:
    told = tracklets.layouts()
    for name, dtype in (("TRACK", TRACK), ("ENTRY", ENTRY), ("PAIR", PAIR), ("READINGS", READINGS)):
        fields = dtype.fields
        assert fields is not None
        assert told[name] == {field: offset for field, (_, offset, *_) in fields.items()}


@given(SEEDS, st.integers(0, 12), st.integers(0, 9))
@settings(deadline=None)
def test_the_book_takes_tracklets_in_as_its_twin(seed: int, known: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    entry = book(rng, known, filled(rng, TRACK, 2))
    fresh = rng.choice(np.arange(2, 40, 2), count, replace=False) | (rng.integers(0, CAMERAS, count) << 48)
    keys = np.sort(rng.permutation(np.concatenate([entry["key"], fresh]))[:count])
    camera = (keys >> 48).astype(np.int16)
    batch = np.unique(np.concatenate([camera, rng.integers(0, CAMERAS + 1, 1)])).astype(np.int16)
    rest = (rng.integers(50, 100, count), boxes(rng, count), rng.random(count).astype(np.float32), batch, 90, 40)
    want, want_row = twin.enter(entry, keys, camera, *rest)
    after, row = np.empty(known + count, ENTRY), np.empty(count, np.int32)
    after = after[: tracklets.enter(entry, keys, camera, *rest, after, row)]
    assert row.tolist() == want_row.tolist()
    for name in ENTRY.names or ():
        np.testing.assert_allclose(after[name], want[name], atol=1e-6, err_msg=name)
    holders = tracklets.holders(after, (tracks := people(rng, 4)["record"]), row)
    assert holders.tolist() == [
        tracks["uid"].tolist().index(u) if u in tracks["uid"] else -1 for u in after["uid"][row]
    ]


@given(SEEDS, st.integers(0, 12), st.integers(0, 9))
def test_who_shows_somebody_else_than_before_is_told_as_by_its_twin(seed: int, known: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    record = people(rng, 4)["record"]
    entry, s = book(rng, known, record), sights(rng, count, 4)
    held = np.where(rng.random(count) < 0.5, s["track"], rng.integers(-1, 4, count)).astype(np.int32)
    rest = (s["track"], held, s["camera"], s["when"], rng.integers(1, 99, count), 60)
    assert [list(change) for change in tracklets.changes(entry, record, *rest)] == twin.changes(entry, record, *rest)


@given(SEEDS, st.integers(0, 9))
def test_who_goes_is_told_as_by_its_twin(seed: int, tracks: int) -> None:
    rng = np.random.default_rng(seed)
    p = people(rng, tracks)
    p["record"]["seen_ns"] = 10**9 * rng.choice([0.0, 0.1, 0.9, 5.0, 9.9, 10.0], tracks)
    p["record"]["sureness"] = rng.normal(1, 2, tracks)
    p["state"][rng.random(tracks) < 0.2] = np.nan
    p["cov"][np.isnan(p["state"][:, 0])] = np.nan
    numbers = (10**10, 1.0, 1.5, 3.0, 0.5, 0.2)
    got = evidence.leaving(p["record"], p["state"], p["cov"], *numbers)
    assert [rows.tolist() for rows in got] == twin.leaving(p["record"], p["state"], p["cov"], *numbers)
    placed = ~np.isnan(p["state"][:, 0])
    assert evidence.sure(p["record"], p["state"], 2.5).tolist() == [
        j
        for j, person in enumerate(p["record"])
        if person["global_id"] < 0 and person["sureness"] >= (2.5 if placed[j] else 0.0)
    ]


@given(SEEDS, st.integers(0, 9))
def test_who_stays_closes_the_gaps_that_others_leave(seed: int, tracks: int) -> None:
    rng = np.random.default_rng(seed)
    p, goes = people(rng, tracks), rng.random(tracks) < 0.4
    want = {name: table[~goes] for name, table in p.items()}
    going = [*np.flatnonzero(goes).tolist(), *np.flatnonzero(goes)[:1].tolist()]  # one is named twice
    rows = evidence.sweep(p["record"], p["state"], p["cov"], going)
    assert rows == int((~goes).sum())
    for name in ("state", "cov"):
        assert p[name][:rows].tolist() == want[name].tolist()
    for name in TRACK.names or ():
        assert p["record"][name][:rows].tolist() == want["record"][name].tolist()


@given(SEEDS, st.integers(0, 9), st.integers(0, 7))
@settings(deadline=None)
def test_sights_are_noted_and_weighed_as_by_their_twins(seed: int, count: int, tracks: int) -> None:
    rng = np.random.default_rng(seed)
    p, s = people(rng, tracks), sights(rng, count, tracks)
    entry = book(rng, count + 3, p["record"])
    at = rng.permutation(count + 3)[:count].astype(np.int32)
    record, mine = p["record"].copy(), entry.copy()
    rest = (at, s["track"], s["camera"], s["seen"], s["when"], s["xyxy"], s["r"], s["foot"])
    twin.note(record, p["state"], p["cov"], mine, *rest)
    evidence.note(p["record"], p["state"], p["cov"], entry, *rest)
    for name in TRACK.names or ():
        np.testing.assert_allclose(p["record"][name], record[name], err_msg=name)
    assert entry["uid"].tolist() == mine["uid"].tolist()
    assert entry["fresh"].tolist() == mine["fresh"].tolist()

    flags = rng.choice(np.array([0, 1, 3], np.uint8), (tracks, CAMERAS))
    expected, explained = flags.copy(), rng.random(count) < 0.5
    batch = np.flatnonzero(rng.random(CAMERAS) < 0.8).astype(np.int16)
    numbers = {"hit_nats": 1.5, "miss_nats": 0.6, "shadow": 0.25, "weight": 0.4, "most_nats": 2.0}
    twin.weigh(record, expected, s["track"], s["camera"], s["seen"], explained, batch, numbers)
    evidence.weigh(
        p["record"], flags, s["track"], s["camera"], s["seen"], explained.view(np.uint8), batch, *numbers.values()
    )
    assert flags.tolist() == expected.tolist()
    np.testing.assert_allclose(p["record"]["sureness"], record["sureness"])


@given(SEEDS, st.integers(0, 9))
@settings(deadline=None)
def test_twins_are_told_as_their_twin_tells_them(seed: int, tracks: int) -> None:
    rng = np.random.default_rng(seed)
    p = people(rng, tracks)
    uid = [*p["record"]["uid"].tolist(), 300, 301]
    known = {(int(a), int(b)) for a, b in np.sort(rng.choice(uid, (8, 2)), axis=1) if a < b}
    pairs = np.array([(*pair, *rng.uniform(-4, 4, 2)) for pair in sorted(known)], PAIR)
    flags = rng.choice(np.array([0, 1, 3, 4, 5, 7], np.uint8), (tracks, CAMERAS))
    numbers = {
        "twin_m": 0.2, "near_d2": 9.0, "ripe_d2": 5.0, "tell_apart_nats": 3.0, "miss_nats": 0.6, "weight": 0.8,
        "one_nats": 2.0, "most_nats": 4.0, "kept_nats": 5.0,
    }  # fmt: skip
    before = {(int(p["older"]), int(p["newer"])): float(p["nats"]) for p in pairs}
    want, want_one, want_near = twin.compare_twins(p["record"], p["state"], p["cov"], flags, before, numbers)
    after, one, near = twins.compare(p["record"], p["state"], p["cov"], flags, pairs, *numbers.values())
    assert list(zip(after["older"].tolist(), after["newer"].tolist(), strict=True)) == sorted(want)
    np.testing.assert_allclose(after["nats"], [want[pair] for pair in sorted(want)], atol=1e-12)
    kept = {(older, newer): kept for older, newer, _, kept in pairs.tolist()}
    assert after["kept"].tolist() == [kept.get(pair, 5.0) for pair in sorted(want)]
    assert [tuple(pair) for pair in one.tolist()] == want_one
    assert near.tolist() == want_near.tolist()
    candidates = np.flatnonzero(rng.random(tracks) < 0.7).astype(np.int32)
    shadows = twin.shadows(p["record"], {pair: want[pair] for pair in sorted(want)})
    young = p["record"]["born_ns"] > 50
    unshadowed = twins.unshadowed(p["record"], after, candidates, 50)
    nameless = [k for k in candidates.tolist() if p["record"]["global_id"][k] < 0]
    assert [k for k in unshadowed.tolist() if k in nameless] == [k for k in nameless if not (young[k] and shadows[k])]


@given(SEEDS, st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None)
def test_how_well_people_who_meet_are_kept_apart_is_as_by_the_slow_twin(seed: int, tracks: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    p = people(rng, tracks)
    uid = [*p["record"]["uid"].tolist(), 300]
    known = {(int(a), int(b)) for a, b in np.sort(rng.choice(uid, (12, 2)), axis=1) if a < b}
    pairs = np.array([(*pair, 0.0, rng.uniform(-2, 5)) for pair in sorted(known)], PAIR)
    track = rng.integers(-1, tracks, count).astype(np.int32)
    xy, lag_s = rng.uniform(0, 3, (count, 2)), rng.uniform(0, 0.1, count)
    r = np.column_stack([rng.uniform(0.02, 0.2, count), rng.uniform(-0.01, 0.01, count), rng.uniform(0.02, 0.2, count)])
    step = xy, r, lag_s, rng.random(count) < 0.8, track
    want = twin.meet(p["record"], p["state"], p["cov"], pairs, *step, 5.0)
    twins.meet(p["record"], p["state"], p["cov"], pairs, *step[:3], step[3].view(np.uint8), track, 5.0)
    np.testing.assert_allclose(pairs["kept"], want, rtol=1e-9, atol=1e-9)


@given(SEEDS, st.integers(0, 9), st.integers(0, 7), st.integers(0, 4))
@settings(deadline=None)
def test_people_are_told_of_as_by_their_twins(seed: int, count: int, tracks: int, lost: int) -> None:
    rng = np.random.default_rng(seed)
    p, s = people(rng, tracks), sights(rng, count, tracks)
    entry = book(rng, 12, p["record"])
    gone = people(rng, lost)["record"]
    gone["global_id"] = 50 + rng.permutation(lost)
    record, foot = p["record"].copy(), rng.integers(0, 5, count).astype(np.uint8)
    rest = (s["camera"], s["xyxy"], foot, s["track"], np.array([720.0, 1080.0, 300.0]), np.array([1, 0.5, 0.6, 0, 1]))
    twin.choose_views(record, entry, *rest, 1.2, 50)
    roster.choose_views(p["record"], entry, *rest, 1.2, 50)
    assert p["record"]["best_view"].tolist() == record["best_view"].tolist()

    times = (100, 30, 50)
    want = twin.tell(record, p["state"], p["cov"], gone, entry, s["track"], *times)
    *columns, view, of = roster.tell(record, p["state"], p["cov"], gone, entry, s["track"], *times)
    names = ("global_id", "xy", "velocity", "cov", "state", "age_s", "best_view")
    for name, column in zip(names, columns, strict=True):
        assert len(column) == len(want)
        for got, person in zip(column, want, strict=True):
            np.testing.assert_allclose(got, person[name], err_msg=name)
    assert list(zip(of.tolist(), view.tolist(), strict=True)) == [
        (k, t) for k, person in enumerate(want) for t in person["views"]
    ]


@given(SEEDS, st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None)
def test_who_ought_to_be_seen_by_which_camera_is_told_as_by_its_twin(seed: int, count: int, boxed: int) -> None:
    rng = np.random.default_rng(seed)
    site = Site([None, *(GroundPlane(c.homography, c.image_size) for c in room(3))])
    xy = rng.uniform(-5, 15, (count, 2))
    camera = np.sort(rng.integers(0, 4, boxed)).astype(np.int16)
    at = rng.uniform(0, 600, (boxed, 2))
    xyxy = np.hstack([at, at + rng.uniform(50, 600, (boxed, 2))]).astype(np.float32)
    flags = site.sight(xy, camera, xyxy)
    assert flags.tolist() == twin.sight(site, xy, camera, xyxy, 0.03).tolist()
    assert site.watched(xy).tolist() == (flags > 0).any(axis=1).tolist()


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    p, nobody = people(rng, 3), np.zeros(0, np.int32)
    with pytest.raises(ValueError, match=f"records have {TRACK.itemsize} bytes"):
        tracklets.holders(np.zeros(1, ENTRY), np.zeros(3, ENTRY), nobody)
    with pytest.raises(ValueError, match="contiguous"):
        tracklets.holders(np.zeros(1, ENTRY), p["record"][::2], nobody)
    with pytest.raises(ValueError, match="the book has no row 1"):
        tracklets.holders(np.zeros(1, ENTRY), p["record"], np.array([1], np.int32))
    with pytest.raises(ValueError, match="no track 3"):
        roster.tell(
            p["record"], p["state"], p["cov"], p["record"], np.zeros(0, ENTRY), np.array([3], np.int32), 0, 0, 0
        )
    with pytest.raises(ValueError, match="ascend"):
        Site([None, None]).sight(np.zeros((1, 2)), np.array([1, 0], np.int16), np.zeros((2, 4), np.float32))

"""The compiled filter, gate and competition against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext import competition, fusion, matching, similarity
from spoton_edge.assignment import assign
from spoton_edge.global_track import TRACK
from spoton_edge.types import F8
from tests import reference_identity as twin

SEEDS = st.integers(0, 2**32 - 1)


def tracks(rng: np.random.Generator, count: int) -> tuple[F8, F8]:
    state = np.hstack([rng.uniform(0, 4, (count, 2)), rng.normal(0, 1, (count, 2))])
    root = rng.normal(size=(count, 4, 4)) * 0.2
    return state, root @ root.transpose(0, 2, 1) + 0.01 * np.eye(4)


def feet(rng: np.random.Generator, count: int) -> tuple[F8, F8, F8]:
    root = rng.normal(size=(count, 2, 2)) * 0.2
    r = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(2)
    return (
        rng.uniform(0, 4, (count, 2)),
        np.stack([r[:, 0, 0], r[:, 0, 1], r[:, 1, 1]], axis=1),
        rng.uniform(0, 0.1, count),
    )


@given(SEEDS, st.floats(0.01, 5.0))
@settings(max_examples=20)
def test_prediction_is_the_integrated_process(seed: int, dt_s: float) -> None:
    state, cov = tracks(np.random.default_rng(seed), 1)
    want, want_cov = twin.predict(state[0], cov[0], dt_s, 1.1, 1.7)
    fusion.predict(state, cov, np.array([dt_s]), 1.1, 1.7)
    np.testing.assert_allclose(state[0], want, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(cov[0], want_cov, rtol=2e-2, atol=1e-2)


@given(SEEDS)
def test_an_update_is_its_twins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (state, cov), (xy, r, lag_s) = tracks(rng, 1), feet(rng, 1)
    xy[0] = state[0, :2] + rng.normal(0, 0.5, 2)
    want, want_cov = twin.absorb(state[0], cov[0], xy[0], r[0], lag_s[0])
    taken = np.empty(1, np.uint8)
    fusion.update(state, cov, np.zeros(1, np.int32), xy, r, lag_s, 1e9, 1e9, taken)
    assert taken[0] == 1
    np.testing.assert_allclose(state[0], want, atol=1e-9)
    np.testing.assert_allclose(cov[0], want_cov, atol=1e-9)


def test_a_view_that_disagrees_is_left_out_and_not_averaged_in() -> None:
    state, cov = np.array([[0.0, 0.0, 0.0, 0.0]]), np.eye(4)[None] * 4.0
    xy, r = np.array([[0.1, 0.0], [3.0, 0.0]]), np.array([[0.04, 0.0, 0.04]] * 2)
    taken = np.empty(2, np.uint8)
    fusion.update(state, cov, np.zeros(2, np.int32), xy, r, np.zeros(2), 25.0, 3.0, taken)
    assert taken.tolist() == [1, 0]
    assert abs(state[0, 0]) < 0.2


@given(SEEDS, st.integers(0, 12), st.integers(0, 40))
@settings(deadline=None)
def test_the_gate_opens_the_pairs_its_twin_opens(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    (state, cov), (xy, r, lag_s) = tracks(rng, count), feet(rng, rows)
    state[:, :2] *= rng.choice([1.0, 8.0], 2)  # a room, or a hall of which most is out of reach
    if rows:
        xy[0] = np.nan
    start, column, d2 = matching.open_pairs(xy, r, lag_s, state, cov, 9.0)
    for i in range(rows):
        assert (np.diff(column[start[i] : start[i + 1]]) > 0).all()
    got = {(i, int(j)) for i in range(rows) for j in column[start[i] : start[i + 1]]}
    want = {
        (i, j)
        for i in range(1, rows)
        for j in range(count)
        if twin.distance2(state[j], cov[j], xy[i], r[i], lag_s[i]) <= 9
    }
    assert got == want
    row = np.repeat(np.arange(rows), np.diff(start))
    want_d2 = [twin.distance2(state[j], cov[j], xy[i], r[i], lag_s[i]) for i, j in zip(row, column, strict=True)]
    np.testing.assert_allclose(d2, want_d2)


@given(SEEDS, st.integers(0, 9), st.integers(1, 5))
def test_a_tracklet_is_trusted_where_its_box_leads_and_the_floor_is_unsure(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    held, margin = rng.integers(-1, count, rows).astype(np.int32), rng.uniform(0, 1, rows)
    r = rng.uniform(0, 1, (rows, 3))
    open_ = rng.random((rows, count)) < 0.7
    start = np.concatenate([[0], np.cumsum(open_.sum(axis=1))]).astype(np.int32)
    row, column = (at.astype(np.int32) for at in np.nonzero(open_))
    bonus = np.ones(len(row))
    matching.trust(held, margin, r, start, column, 4.6, 0.4, 0.35, bonus)
    counts = [twin.trusted(margin[i], r[i], 0.4, 0.35) for i in range(rows)]
    want = [4.6 * counts[i] if held[i] == j else 0.0 for i, j in zip(row, column, strict=True)]
    np.testing.assert_allclose(bonus - 1, want, atol=1e-12)


@given(SEEDS, st.integers(0, 5))
def test_where_the_lost_may_be_is_told_as_by_the_twin(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    lost = np.zeros(count, TRACK)
    lost["seen_ns"], lost["whole_velocity"] = 10**9 * rng.uniform(0, 6, count), rng.uniform(-0.4, 0.4, (count, 2))
    lost["seen_xy"], lost["seen_sd"] = rng.uniform(0, 9, (count, 2)), rng.uniform(0.05, 0.5, count)
    state, cov = fusion.places(lost, 5 * 10**9, 0.3, 0.3, 1.1, 1.7)
    for k, person in enumerate(lost):
        want, want_cov = twin.whereabouts(person, 5 * 10**9, 0.3, 0.3, 1.1, 1.7)
        np.testing.assert_allclose(state[k], want)
        np.testing.assert_allclose(cov[k], want_cov, rtol=1e-2, atol=1e-4)


@given(SEEDS, st.integers(1, 4), st.integers(1, 6), st.integers(0, 2), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_competition_ends_as_its_twins(seed: int, cameras: int, count: int, sweeps: int, leads: int) -> None:
    compete_as_the_twin(np.random.default_rng(seed), cameras, count, sweeps, leads)


def test_more_places_than_are_kept_at_once_change_nothing() -> None:
    compete_as_the_twin(np.random.default_rng(4), cameras=10, count=3, sweeps=2, leads=10, closeness=0.1)


def compete_as_the_twin(
    rng: np.random.Generator, cameras: int, count: int, sweeps: int, leads: int, closeness: float = 1.0
) -> None:
    camera = np.repeat(np.arange(cameras), rng.integers(0, count + 2, cameras)).astype(np.int16)
    (state, cov), (xy, r, lag_s) = tracks(rng, count), feet(rng, len(camera))
    state[:, :2], xy = closeness * state[:, :2], closeness * xy
    standing = rng.choice(3, count, p=[0.3, 0.5, 0.2]).astype(np.uint8)
    bonus = rng.normal(0, 1, (len(camera), count))
    start, column, _ = matching.open_pairs(xy, r, lag_s, state, cov, 25.0)
    row = np.repeat(np.arange(len(camera)), np.diff(start))
    match, edge = np.full((2, len(camera)), -1, np.int32)
    distance_m, margin = np.empty((2, len(camera)))
    explained = np.empty(len(camera), np.uint8)
    competition.compete(
        camera,
        xy,
        r,
        lag_s,
        state,
        cov,
        standing,
        start,
        column,
        np.ascontiguousarray(bonus[row, column]),
        4.0,
        25.0,
        sweeps,
        leads,
        match,
        edge,
        distance_m,
        margin,
        explained,
    )
    want, gain = twin.compete(camera, xy, r, lag_s, state, cov, standing, bonus, 4.0, 25.0, sweeps, leads)
    assert match.tolist() == want.tolist()
    assert column[edge[edge >= 0]].tolist() == match[match >= 0].tolist()
    want_distance_m, want_margin, want_explained = twin.grounds(want, gain, standing, xy, state)
    np.testing.assert_allclose(distance_m, want_distance_m)
    np.testing.assert_allclose(margin, want_margin, atol=1e-9)
    assert explained.view(np.bool_).tolist() == want_explained.tolist()
    for c in range(cameras):
        given_ = match[(camera == c) & (match >= 0)]
        assert len(set(given_.tolist())) == len(given_)


@given(SEEDS, st.integers(1, 8), st.integers(1, 8))
def test_an_assignment_has_the_greatest_gain(seed: int, rows: int, columns: int) -> None:
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(seed)
    gain = np.where(rng.random((rows, columns)) < 0.6, rng.normal(0, 2, (rows, columns)), -np.inf)
    match = assign(gain, np.zeros(rows, np.int16))
    useful = np.maximum(gain, 0.0)
    best = useful[linear_sum_assignment(-useful)].sum()
    got = sum(gain[i, j] for i, j in enumerate(match) if j >= 0)
    assert got == pytest.approx(best)
    assert all(gain[i, j] > 0 for i, j in enumerate(match) if j >= 0)


@given(SEEDS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 70))
def test_cosines_with_a_gallery_are_those_of_the_twin(seed: int, rows: int, people: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    crops, prototypes = (
        (v / np.linalg.norm(v, axis=-1, keepdims=True)).astype(np.float32)
        for v in (rng.normal(size=(rows, dimension)), rng.normal(size=(people, 6, dimension)))
    )
    camera, theirs = rng.integers(0, 2, rows).astype(np.int16), rng.integers(-1, 3, (people, 6)).astype(np.int16)
    row, entry = (at.astype(np.int32) for at in np.nonzero(rng.random((rows, people)) < 0.5))
    best = np.full((len(row), 2), -7, np.float32)
    similarity.gallery_cosine(crops, camera, prototypes, theirs, row, entry, best)
    want = [twin.best_cosines(crops[i], camera[i], prototypes[j], theirs[j]) for i, j in zip(row, entry, strict=True)]
    np.testing.assert_allclose(best, np.reshape(want, (-1, 2)), rtol=1e-4, atol=1e-4)


@given(SEEDS, st.integers(1, 9), st.integers(1, 6))
@settings(deadline=None)
def test_who_is_nearest_and_whether_views_agree_is_told_as_by_their_twins(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    (state, cov), (xy, r, _) = tracks(rng, count), feet(rng, rows)
    camera, track = rng.integers(0, 2, rows).astype(np.int16), rng.integers(-1, count, rows).astype(np.int32)
    row, first = int(rng.integers(rows)), int(rng.integers(count))
    taken = set(track[:row][camera[:row] == camera[row]].tolist())
    d2 = {j: twin.distance2(state[j], cov[j], xy[row], r[row], 0.0) for j in range(first, count) if j not in taken}
    near = [j for j in d2 if d2[j] <= 9.0]
    want = min(near, key=lambda j: d2[j]) if near else -1
    assert matching.nearest(xy, r, camera, track, state, cov, row, first, 9.0) == want

    one, other = np.flatnonzero(camera == 0), np.flatnonzero(camera == 1)
    nobody = np.zeros((4, 4))
    apart = [twin.distance2(np.array([*xy[j], 0, 0]), nobody, xy[i], r[i] + r[j], 0.0) for i in one for j in other]
    assert matching.agree(xy, r, one, other, 9.0) == all(d <= 9.0 for d in apart)


@given(SEEDS, st.integers(1, 12), st.integers(1, 4))
@settings(deadline=None)
def test_views_are_fused_the_surest_first_whatever_their_order(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    (state, cov), (xy, r, lag_s) = tracks(rng, count), feet(rng, rows)
    track = rng.integers(-1, count, rows).astype(np.int32)
    want, want_cov, want_taken = state.copy(), cov.copy(), np.zeros(rows, np.bool_)
    for i in sorted(np.flatnonzero(track >= 0), key=lambda i: r[i, 0] + r[i, 2]):
        j = track[i]
        now = want[j, 2:]
        agreed = all(
            twin.distance2(np.array([*xy[q], *now]), np.zeros((4, 4)), xy[i], r[i] + r[q], lag_s[i] - lag_s[q]) <= 16
            for q in np.flatnonzero((track == j) & want_taken)
        )
        if agreed and twin.distance2(want[j], want_cov[j], xy[i], r[i], lag_s[i]) <= 16:
            want[j], want_cov[j] = twin.absorb(want[j], want_cov[j], xy[i], r[i], lag_s[i])
            want[j, 2:] /= max(np.linalg.norm(want[j, 2:]) / 3.0, 1.0)
            want_taken[i] = True
    taken, order = np.empty(rows, np.uint8), rng.permutation(rows)
    fusion.update(state, cov, track[order], xy[order], r[order], lag_s[order], 16.0, 3.0, taken)
    assert taken.view(np.bool_).tolist() == want_taken[order].tolist()
    np.testing.assert_allclose(state, want, atol=1e-9)
    np.testing.assert_allclose(cov, want_cov, atol=1e-9)


def test_shapes_that_do_not_fit_are_refused() -> None:
    state, cov = tracks(np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="rows"):
        fusion.predict(state, cov, np.zeros(3), 1.0, 1.0)
    with pytest.raises(ValueError, match="no track 5"):
        fusion.update(
            state,
            cov,
            np.array([5], np.int32),
            np.zeros((1, 2)),
            np.ones((1, 3)),
            np.zeros(1),
            1.0,
            1.0,
            np.empty(1, np.uint8),
        )
    with pytest.raises(ValueError, match="same number of rows"):
        matching.open_pairs(np.zeros((2, 2)), np.ones((1, 3)), np.zeros(2), state, cov, 1.0)
    with pytest.raises(ValueError, match="dimension"):
        similarity.gallery_cosine(
            np.zeros((1, 3), np.float32),
            np.zeros(1, np.int16),
            np.zeros((1, 2, 4), np.float32),
            np.zeros((1, 2), np.int16),
            np.zeros(1, np.int32),
            np.zeros(1, np.int32),
            np.zeros((1, 2), np.float32),
        )

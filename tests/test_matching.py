"""The compiled filter, gate and competition against their slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge._ext import births, competition, fusion, matching, similarity
from spoton_edge.assignment import assign
from spoton_edge.global_track import TRACK
from spoton_edge.types import F8, FootPoint
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
    placed = rng.random(rows) < 0.8
    start, row, column, d2 = matching.open_pairs(xy, r, lag_s, placed.view(np.uint8), state, cov, 9.0)
    assert row.tolist() == np.repeat(np.arange(rows), np.diff(start)).tolist()
    want = [
        (i, j)
        for i in range(1, rows)
        for j in range(count)
        if placed[i] and twin.distance2(state[j], cov[j], xy[i], r[i], lag_s[i]) <= 9
    ]
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == want
    np.testing.assert_allclose(d2, [twin.distance2(state[j], cov[j], xy[i], r[i], lag_s[i]) for i, j in want])


@given(SEEDS, st.integers(0, 9), st.integers(1, 5))
def test_at_a_pictures_side_one_must_be_where_he_is_expected_and_who_has_gone_is_nowhere(
    seed: int, rows: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    foot, gone = rng.integers(0, len(FootPoint), rows).astype(np.uint8), rng.random(count) < 0.3
    row, column = (at.astype(np.int32) for at in np.nonzero(rng.random((rows, count + 1)) < 0.7))
    d2, bonus = rng.uniform(0, 12, len(row)), np.ones(len(row))
    matching.at_sides(foot, gone.view(np.uint8), row, column, d2, 6.0, bonus)
    out = [*gone.tolist(), False]  # the last is one of the lost, who come after the tracks
    want = [out[j] or (foot[i] == FootPoint.SIDE and d > 6) for i, j, d in zip(row, column, d2, strict=True)]
    assert np.isneginf(bonus).tolist() == want
    assert (bonus[~np.array(want, np.bool_)] == 1).all()


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
    placed = np.ones(len(camera), np.uint8)
    start, row, column, _ = matching.open_pairs(xy, r, lag_s, placed, state, cov, 25.0)
    match, distance_m, cosine, margin, explained = competition.compete(
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
        np.arange(len(row), dtype=np.float32),
        4.0,
        25.0,
        sweeps,
        leads,
    )
    want, gain = twin.compete(camera, xy, r, lag_s, state, cov, standing, bonus, 4.0, 25.0, sweeps, leads)
    assert match.tolist() == want.tolist()
    matched = match >= 0
    pair = cosine[matched].astype(np.intp)  # what was given as the cosine of a pair is its number
    assert row[pair].tolist() == np.flatnonzero(matched).tolist()
    assert column[pair].tolist() == match[matched].tolist()
    assert np.isnan(cosine[~matched]).all()
    want_distance_m, want_margin, want_explained = twin.grounds(want, gain, standing, xy, state)
    np.testing.assert_allclose(distance_m, want_distance_m)
    np.testing.assert_allclose(margin, want_margin, atol=1e-9)
    assert explained.tolist() == want_explained.tolist()
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


@given(SEEDS, st.integers(0, 12), st.integers(0, 4))
@settings(deadline=None)
def test_strangers_begin_tracks_as_by_their_twin(seed: int, rows: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    (state, cov), (xy, r, lag_s) = tracks(rng, known + rows + 2), feet(rng, rows)
    xy[rng.random(rows) < 0.2] = np.nan
    camera, seen = np.sort(rng.integers(0, 3, rows)).astype(np.int16), (rng.random(rows) < 0.2).astype(np.uint8)
    track = np.where(rng.random(rows) < 0.3, rng.integers(-1, max(known, 1), rows), -1).clip(max=known - 1)
    track, floor = track.astype(np.int32), np.array([1, 1, 0], np.uint8)
    boxes, when = rng.uniform(0, 9, (rows, 4)).astype(np.float32), rng.integers(1, 99, rows)
    record = np.zeros(len(state), TRACK)
    record["hits"] = 7  # what is in the room for new tracks does not count
    mine = record.copy(), state.copy(), cov.copy(), track.copy()
    began = births.begin(*mine[:3], known, 40, mine[3], seen, camera, when, lag_s, boxes, xy, r, floor, 9.0, 0.5, 1.1)
    want = twin.begin(
        *(record, state, cov, track), known, 40, seen, camera, when, lag_s, boxes, xy, r, floor, 9.0, 0.5, 1.1
    )
    assert began.tolist() == want
    assert mine[3].tolist() == track.tolist()
    end = known + len(began)
    for name in TRACK.names or ():
        np.testing.assert_allclose(mine[0][name][:end], record[name][:end], err_msg=name)
    np.testing.assert_allclose(mine[1][:end], state[:end], atol=1e-9)
    np.testing.assert_allclose(mine[2][:end], cov[:end], atol=1e-9)


@given(SEEDS, st.integers(0, 9), st.integers(1, 4))
def test_without_a_floor_or_a_detection_a_tracklet_stays_who_it_was(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    state, _ = tracks(rng, count)
    state[rng.random(count) < 0.4] = np.nan
    held, match = rng.integers(-1, count, (2, rows)).astype(np.int32)
    placed, seen = (rng.random((2, rows)) < 0.5).astype(np.uint8)
    want = [
        h if h >= 0 and not here and (coasts or np.isnan(state[h, 0])) else m
        for h, m, here, coasts in zip(held.tolist(), match.tolist(), placed, seen, strict=True)
    ]
    matching.stay(held, seen, placed, state, match)
    assert match.tolist() == want


@given(SEEDS, st.integers(1, 9))
@settings(deadline=None)
def test_whether_views_agree_is_told_as_by_the_twin(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    (xy, r, _), camera = feet(rng, rows), rng.integers(0, 2, rows)
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
        matching.open_pairs(np.zeros((2, 2)), np.ones((1, 3)), np.zeros(2), np.ones(2, np.uint8), state, cov, 1.0)
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

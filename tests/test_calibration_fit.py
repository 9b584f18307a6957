"""A homography from points: exact where they are, robust where one is wrong, honest about what it knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.calibration.fit import fit_homography, homography_of, place
from tests.world import look_at

CAMERA = look_at((0, -6, 4), (0, 2, 0), focal_px=900)
MARKS = np.array([(x, y) for x in (-3.0, 0.0, 3.0) for y in (-1.0, 1.5, 5.0)])


def points(places: np.ndarray = MARKS, noise_px: float = 0.0, seed: int = 0) -> np.ndarray:
    uv, _ = CAMERA.pixel(np.column_stack([places, np.zeros(len(places))]))
    return np.column_stack([uv + np.random.default_rng(seed).normal(0, noise_px, uv.shape), places])


@settings(max_examples=40, deadline=None)
@given(x=st.floats(-10, 10), y=st.floats(-12, -4), z=st.floats(2, 12), focal=st.floats(500, 1500))
def test_exact_points_give_the_exact_floor(x, y, z, focal):
    camera = look_at((x, y, z), (0, 2, 0), focal_px=focal)
    uv, depth = camera.pixel(np.column_stack([MARKS, np.zeros(len(MARKS))]))
    if depth.min() < 0.5:
        return
    fit = fit_homography(np.column_stack([uv, MARKS]))
    assert fit.inlier.all()
    assert np.allclose(place(fit.homography, uv), MARKS, atol=1e-6)
    assert fit.residual_m.max() < 1e-6


@pytest.mark.parametrize("wrong", range(8))
def test_of_eight_points_the_one_that_is_wrong_is_named(wrong):
    p = points(MARKS[:8], noise_px=1.0, seed=wrong)
    p[wrong, 2 + wrong % 2] += 3.0
    fit = fit_homography(p)
    assert fit.outliers == [wrong]
    assert not fit.ambiguous
    assert np.linalg.norm(fit.placed[wrong] - MARKS[wrong]) < 0.3  # and where the others put it is right


def test_two_wrong_points_of_nine_are_both_named():
    p = points(noise_px=0.5)
    p[1, 2] += 2.0
    p[7, 3] -= 4.0
    assert fit_homography(p).outliers == [1, 7]


def test_five_points_with_a_wrong_one_are_too_few_to_tell():
    p = points(MARKS[[0, 2, 6, 8, 4]])
    p[4, 2] += 3.0
    fit = fit_homography(p)
    assert fit.ambiguous


def test_four_points_fit_always():
    fit = fit_homography(points(MARKS[[0, 2, 6, 8]], noise_px=5))
    assert fit.residual_m.max() < 1e-6
    assert np.isnan(fit.leave_one_out_m).all()


def test_points_on_a_line_fix_nothing():
    with pytest.raises(ValueError, match="line"):
        fit_homography(points(np.array([[0, 0], [1, 1], [2, 2], [3, 3], [4, 4.0]])))


def test_the_covariance_is_the_spread_of_repeated_measurements():
    noise_px, where = 2.0, np.array([[640.0, 420.0], [300.0, 300.0], [1200.0, 700.0]])
    repeated = np.array([place(homography_of(points(noise_px=noise_px, seed=s)), where) for s in range(300)])
    spread = repeated.std(axis=0)
    fit = fit_homography(points(noise_px=noise_px, seed=1000), sd_px=noise_px, sd_m=1e-3)
    told = np.sqrt(np.diagonal(fit.ground_covariance(where), axis1=1, axis2=2)) / fit.sd_scale
    assert np.all(told < 2.0 * spread)
    assert np.all(told > 0.5 * spread)


def test_trust_ends_at_the_horizon():
    fit = fit_homography(points(noise_px=1.0))
    a, b, c = fit.horizon
    v = -(a * 640 + c) / b
    near, far = fit.ground_sd_m([[640, 700], [640, v + 3]])
    assert near < 0.2 < far
    assert np.isinf(fit.ground_sd_m([[640, v - 20]]))


def test_refinement_is_better_than_the_linear_solution_on_the_floor():
    from spoton_edge.ground_plane import homography_from_points

    grid = points(np.array([(x, y) for x in np.linspace(-3, 3, 7) for y in np.linspace(-1, 5, 7)]))
    worse = better = 0.0
    for seed in range(40):
        p = points(noise_px=3.0, seed=seed)
        for h, name in ((homography_from_points(p), "linear"), (homography_of(p), "refined")):
            error = float(np.sqrt(np.mean(np.sum((place(h, grid[:, :2]) - grid[:, 2:]) ** 2, axis=1))))
            worse, better = (worse + error, better) if name == "linear" else (worse, better + error)
    assert better <= 1.01 * worse


def test_many_points_are_sampled_the_same_way_each_time():
    places = np.random.default_rng(2).uniform((-3, -1), (3, 5), (60, 2))
    p = points(places, noise_px=1.0)
    p[::6, 2] += 4.0
    first, second = fit_homography(p), fit_homography(p)
    assert first.outliers == list(range(0, 60, 6))
    assert np.array_equal(first.homography, second.homography)

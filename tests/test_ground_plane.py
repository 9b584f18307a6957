"""From boxes to metres, and how far to trust them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.ground_plane import (
    EXPECTED,
    IN_VIEW,
    PEOPLE_M,
    FootModel,
    GroundPlane,
    Site,
    homography_from_points,
    homography_from_projection,
)
from spoton_edge.types import FootPoint, Tracklets
from tests.reference_identity import as_matrix, foot_kind, seen_foot
from tests.world import look_at, room


def tracklets(boxes: list[list[float]], camera: int = 0) -> Tracklets:
    rows = len(boxes)
    return Tracklets.tracked(
        camera=np.full(rows, camera, np.int16),
        track_id=np.arange(1, rows + 1),
        state=np.zeros(rows, np.uint8),
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        score=np.ones(rows, np.float32),
        captured_ns=np.zeros(rows, np.int64),
    )


CAMERA = room(4)[0]
PLANE = GroundPlane(CAMERA.homography, CAMERA.image_size, projection=CAMERA.projection)


@given(st.floats(200, 1000), st.floats(350, 690), st.floats(60, 200))
def test_a_seen_foot_has_the_place_and_covariance_of_its_twin(u: float, v: float, height: float) -> None:
    box = np.array([u - 20, v - height, u + 20, v], np.float32)
    placed = Site([PLANE]).project(tracklets([box.tolist()]))
    xy, cov = seen_foot(PLANE, box.astype(np.float64), FootModel())
    assert placed.foot[0] == FootPoint.SEEN
    np.testing.assert_allclose(placed.ground_xy[0], xy, atol=1e-5)
    np.testing.assert_allclose(as_matrix(placed.ground_cov[0]), cov, rtol=1e-3, atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1200), st.floats(200, 719), st.floats(20, 150), st.floats(50, 200)), max_size=8))
def test_covered_and_cut_feet_are_told_as_the_twin_tells_them(people: list[tuple[float, ...]]) -> None:
    boxes = np.array([[u, v - h, u + w, v] for u, v, w, h in people], np.float32).reshape(-1, 4)
    placed = Site([PLANE]).project(tracklets(boxes.tolist()))
    for i, box in enumerate(boxes):
        want = foot_kind(box, np.delete(boxes, i, axis=0), PLANE.image_size, FootModel())
        near = foot_kind(box, np.delete(boxes, i, axis=0), PLANE.image_size, FootModel(cover=0.23))
        if want == near == foot_kind(box, np.delete(boxes, i, axis=0), PLANE.image_size, FootModel(cover=0.27)):
            assert placed.foot[i] in (want, FootPoint.UNPLACED)


def test_a_place_far_away_is_less_sure_than_one_near_by() -> None:
    placed = Site([PLANE]).project(tracklets([[600, 280, 630, 360], [600, 400, 700, 680]]))
    far, near = (np.trace(as_matrix(c)) for c in placed.ground_cov)
    assert far > 1.5 * near


def test_the_feet_of_who_the_detector_is_not_sure_of_are_trusted_as_little_as_covered_ones() -> None:
    box = tracklets([[600, 400, 700, 680]])
    sure, unsure = (Site([PLANE]).project(replace(box, score=np.array([score], np.float32))) for score in (0.8, 0.3))
    assert (sure.foot[0], unsure.foot[0]) == (FootPoint.SEEN, FootPoint.COVERED)
    assert np.trace(as_matrix(unsure.ground_cov[0])) > 1.2 * np.trace(as_matrix(sure.ground_cov[0]))


def test_cut_feet_are_found_through_the_head() -> None:
    person = np.array([5.0, 3.5])
    low = look_at((5.0, -1.0, 2.8), (5.0, 12.0, 2.2), focal_px=900.0)
    uv, _ = low.pixel(np.array([[*person, 0.0], [*person, 1.7]]))
    cut = low.image_size[1] - 1.0
    assert uv[0, 1] > cut > uv[1, 1] > 0
    plane = GroundPlane(low.homography, low.image_size, projection=low.projection)
    box = [uv[1, 0] - 40, uv[1, 1], uv[1, 0] + 40, cut]
    placed = Site([plane]).project(tracklets([box]))
    assert placed.foot[0] == FootPoint.CUT
    by_foot = plane.to_ground([[uv[1, 0], cut]])[0]
    by_head = np.linalg.norm(placed.ground_xy[0] - person)
    assert by_head < 0.6 * np.linalg.norm(by_foot - person)


@pytest.mark.parametrize(("low", "high"), [(0, 660), (620, 1280)], ids=["right", "left"])
def test_who_is_cut_by_the_pictures_side_stands_half_a_width_from_the_edge_that_is_seen(low: int, high: int) -> None:
    width = 0.41 * 300
    middle = 640.0 - low  # a third of him is beyond the picture's side
    cut = [max(middle - width / 2, 0), 300, min(middle + width / 2, high - low), 600]
    shift = np.array([[1, 0, low], [0, 1, 0], [0, 0, 1.0]])
    part, all_of_it = GroundPlane(CAMERA.homography @ shift, (high - low, 720)), PLANE
    placed = Site([part]).project(tracklets([cut]))
    whole = Site([all_of_it]).project(tracklets([[640 - width / 2, 300, 640 + width / 2, 600]]))
    assert (placed.foot[0], whole.foot[0]) == (FootPoint.SIDE, FootPoint.SEEN)
    np.testing.assert_allclose(placed.ground_xy[0], whole.ground_xy[0], atol=1e-3)
    assert np.trace(as_matrix(placed.ground_cov[0])) > np.trace(as_matrix(whole.ground_cov[0]))


def test_the_vertical_is_guessed_from_the_homography_alone() -> None:
    guessed = GroundPlane(CAMERA.homography, CAMERA.image_size)
    assert guessed.has_vertical
    np.testing.assert_allclose(guessed.projection, PLANE.projection, rtol=1e-6, atol=1e-9)


def test_a_crop_off_the_axis_does_not_pretend_to_know_the_vertical() -> None:
    shift = np.array([[1, 0, 900], [0, 1, 0], [0, 0, 1.0]])
    crop = GroundPlane(CAMERA.homography @ shift, (380, 720))
    assert not crop.has_vertical
    placed = Site([crop]).project(tracklets([[100, 300, 160, 719]]))
    assert placed.foot[0] == FootPoint.CUT
    assert np.isfinite(placed.ground_xy).all()


def test_how_tall_people_look_is_learned() -> None:
    site = Site([GroundPlane(CAMERA.homography, CAMERA.image_size, projection=CAMERA.projection)])
    rng = np.random.default_rng(0)
    for _ in range(400):
        at = rng.uniform(2, 7, 2)
        uv, _ = CAMERA.pixel(np.array([[*at, 0.0], [*at, 1.9]]))
        site.project(tracklets([[uv[0, 0] - 20, uv[1, 1], uv[0, 0] + 20, uv[0, 1]]]))
    assert site.table[0, PEOPLE_M] > 1.8


def test_feet_outside_of_the_region_or_above_the_horizon_have_no_place() -> None:
    plane = GroundPlane(CAMERA.homography, CAMERA.image_size, region=[[0, 0], [640, 0], [640, 720], [0, 720]])
    placed = Site([plane]).project(tracklets([[700, 300, 760, 500], [300, 300, 360, 500], [300, 5, 360, 20]]))
    assert placed.foot.tolist() == [FootPoint.OUTSIDE, FootPoint.SEEN, FootPoint.UNPLACED]
    assert np.isnan(placed.ground_xy[[0, 2]]).all()
    assert np.isfinite(placed.ground_xy[1]).all()


def test_a_camera_without_a_plane_places_nobody() -> None:
    placed = Site([None, PLANE]).project(tracklets([[300, 300, 360, 500]]))
    assert placed.foot[0] == FootPoint.UNPLACED
    assert np.isnan(placed.ground_xy).all()


def test_a_person_before_the_foot_excuses_a_miss_and_one_in_the_same_place_does_not() -> None:
    site, at = Site([PLANE]), np.array([[5.0, 4.0]])
    u, v = PLANE.to_image(at)[0]

    def ought(box: list[float]) -> bool:
        (flags,) = site.sight(at, np.zeros(1, np.int16), np.array([box], np.float32))[0]
        assert flags & IN_VIEW
        return bool(flags & EXPECTED)

    assert site.watched(at).tolist() == [True]
    assert site.watched(at + 1e6).tolist() == [False]
    assert not ought([u - 40, v - 60, u + 40, v + 100])
    assert ought([u - 40, v - 160, u + 40, v + 2])
    assert ought([u + 50, v - 60, u + 130, v + 100])


def test_a_bias_between_cameras_is_learned_and_taken_off() -> None:
    site, camera = Site([PLANE, PLANE]), np.array([0, 1], np.int16)
    box = [600.0, 300.0, 660.0, 500.0]
    clean = site.project(tracklets([box])).ground_xy[0]
    wrong = np.array([[0.2, 0.0], [0.0, 0.1]])  # what each camera's calibration adds
    for _ in range(2000):
        shown = np.stack([site.project(tracklets([box], int(c))).ground_xy[0] for c in camera]) + wrong
        together = np.hstack([shown.mean(axis=0), 0, 0])[None]
        site.learn_bias(camera, shown, np.zeros(2, np.int32), together)
    shown = np.stack([site.project(tracklets([box], int(c))).ground_xy[0] for c in camera]) + wrong
    np.testing.assert_allclose(shown[0], shown[1], atol=0.01)
    np.testing.assert_allclose(shown.mean(axis=0), clean + wrong.mean(axis=0))  # what all share cannot be known


@given(st.integers(0, 1000), st.integers(4, 12))
def test_a_homography_comes_back_from_its_points(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    uv = np.vstack([[[100, 400], [1200, 420], [1100, 700], [60, 690]], rng.uniform([50, 380], [1230, 700], (count, 2))])
    xy = PLANE.to_ground(uv)
    h = homography_from_points(np.hstack([uv, xy]))
    np.testing.assert_allclose(GroundPlane(h, CAMERA.image_size).to_ground(uv), xy, atol=1e-6)


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        ([[0, 0, 0, 0]] * 3, "at least 4"),
        ([[i, 2 * i, i, i] for i in range(5)], "do not fix"),
        ([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [5, 0, 5, 0]], "do not fix"),
        ([[7, 7, 1, 1]] * 4, "all the same"),
        ([[0, 0, 0, np.nan]] * 4, "finite"),
    ],
)
def test_points_that_fix_no_homography_are_refused(points: list[list[float]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        homography_from_points(points)


def test_a_projection_gives_the_floor_and_a_bad_one_is_refused() -> None:
    np.testing.assert_allclose(homography_from_projection(CAMERA.projection), CAMERA.homography)
    with pytest.raises(ValueError, match="floor"):
        homography_from_projection(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="inverted"):
        GroundPlane(np.ones((3, 3)), (10, 10))

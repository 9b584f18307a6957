"""Lenses straighten what they bend, as OpenCV does, and the compiled core places bent boxes where Python does."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.ground_plane import EXPECTED, FootModel, GroundPlane, Site
from spoton_edge.lens import Lens
from spoton_edge.types import FootPoint, Tracklets
from tests.world import look_at

MATRIX = [[900.0, 0, 640], [0, 910, 360], [0, 0, 1]]
BARREL = [-0.28, 0.09, 0.001, -0.0008, -0.01]

small = st.floats(-0.05, 0.05)


@settings(max_examples=60, deadline=None)
@given(k1=st.floats(-0.3, 0.3), k2=small, p1=st.floats(-0.002, 0.002), p2=st.floats(-0.002, 0.002), k3=small)
def test_what_is_straightened_bends_back_to_where_it_was(k1, k2, p1, p2, k3):
    lens = Lens(MATRIX, [k1, k2, p1, p2, k3])
    u, v = np.meshgrid(np.linspace(0, 1279, 9), np.linspace(0, 719, 7))
    pixels = np.column_stack([u.ravel(), v.ravel()])
    straight = lens.straighten(pixels)
    seen = np.isfinite(straight).all(axis=1)
    assert seen[len(seen) // 2]  # the middle is always seen
    assert np.allclose(lens.bend(straight[seen]), pixels[seen], atol=1e-4)


@pytest.mark.parametrize("distortion", [BARREL, [*BARREL, 0.02, 0.01, 0.0], [0.1, 0, 0, 0], []])
def test_straightening_is_opencvs(distortion):
    # OpenCV's own projection of rays is the reference: what it bends must be straightened.
    straight = np.random.default_rng(0).uniform((200, 100), (1080, 620), (200, 2))
    k, coefficients = np.array(MATRIX), np.array(distortion or [0.0] * 4)
    rays = np.column_stack([(straight - k[:2, 2]) / np.diag(k)[:2], np.ones(200)])
    bent = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), k, coefficients)[0].reshape(-1, 2)
    lens = Lens(MATRIX, distortion)
    assert np.allclose(lens.bend(straight), bent, atol=1e-6)
    assert np.allclose(lens.straighten(bent), straight, atol=1e-6)


def test_beyond_the_fold_of_a_lens_there_is_nothing():
    lens = Lens(MATRIX, [-0.4, 0, 0, 0])
    radius = lens.reach * 900
    assert np.isnan(lens.bend([[640 + 1.2 * radius, 360]])).all()
    assert np.isnan(lens.straighten([[640 + 3 * radius, 360]])).all()


def test_a_lens_of_a_scaled_picture_bends_the_same():
    lens, pixel = Lens(MATRIX, BARREL), np.array([[100.0, 650.0]])
    assert np.allclose(lens.scaled((0.5, 0.5)).straighten(pixel / 2), lens.straighten(pixel) / 2)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(4),
        [[900, 50, 640], [0, 900, 360], [0, 0, 1]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, 1]],
        np.full((3, 3), np.nan),
    ],
)
def test_what_is_no_lens_is_refused(matrix):
    with pytest.raises(ValueError, match="lens matrix"):
        Lens(matrix)


@pytest.fixture
def bent() -> GroundPlane:
    camera = look_at((0, 0, 3), (6, 4, 0), focal_px=900)
    lens = Lens([[900, 0, 640], [0, 900, 360], [0, 0, 1]], BARREL)
    return GroundPlane(camera.homography, camera.image_size, projection=camera.projection, lens=lens)


def test_floor_and_picture_are_each_others_inverse_through_a_lens(bent):
    places = np.random.default_rng(1).uniform((4, 2), (8, 6), (50, 2))
    assert np.allclose(bent.to_ground(bent.to_image(places)), places, atol=1e-6)


def boxes_at(plane: GroundPlane, places: np.ndarray) -> Tracklets:
    foot = plane.to_image(places)
    xyxy = np.column_stack([foot[:, 0] - 20, foot[:, 1] - 90, foot[:, 0] + 20, foot[:, 1]]).astype(np.float32)
    n = len(places)
    return Tracklets.tracked(
        np.zeros(n, np.int16), np.arange(n, dtype=np.int64), np.zeros(n, np.uint8), xyxy, np.ones(n, np.float32),
        np.zeros(n, np.int64),
    )  # fmt: skip


def test_the_compiled_core_places_bent_boxes_where_python_does(bent):
    places = bent.to_ground([[150.0, 650], [640, 400], [1150, 600], [200, 300]])
    site = Site([bent], FootModel(shoe_m=0.0, cover=2.0))
    placed = site.project(boxes_at(bent, places))
    assert (placed.foot == FootPoint.SEEN).all()
    assert np.allclose(placed.ground_xy, places, atol=1e-3)  # boxes are single precision
    straight = GroundPlane(bent.homography, bent.image_size, projection=bent.projection)
    off = Site([straight], FootModel(shoe_m=0.0, cover=2.0)).project(boxes_at(bent, places))
    assert np.linalg.norm(off.ground_xy - places, axis=1).max() > 0.05  # the lens matters


def test_the_compiled_core_expects_people_where_the_bent_picture_shows_them(bent):
    site = Site([bent])
    nobody = np.zeros(0, np.int16), np.zeros((0, 4), np.float32)
    grid = np.stack(np.meshgrid(np.linspace(-4, 16, 41), np.linspace(-4, 16, 41)), axis=-1).reshape(-1, 2)
    uv = bent.to_image(grid)
    width, height = bent.image_size
    with np.errstate(invalid="ignore"):
        inside = (np.abs(uv / (width, height) - 0.5) <= 0.5 - 0.03).all(axis=1)
    assert np.array_equal((site.sight(grid, *nobody)[:, 0] & EXPECTED) > 0, inside)
    assert 0 < inside.sum() < len(grid)


def test_a_footprint_follows_the_bent_edge_of_the_picture(bent):
    border = bent.to_image(bent.footprint())
    width, height = bent.image_size
    inner = np.isfinite(border).all(axis=1)
    assert inner.sum() > 10
    low, high = border[inner].min(axis=0), border[inner].max(axis=0)
    assert (low >= -1).all()
    assert (high <= (width + 1, height + 1)).all()

"""People and marks seen by several cameras at once tell the cameras' floors and clocks, and feet are not mistaken for
either."""

import numpy as np
import pytest

from spoton_edge.calibration.agreement import rms, view_to_mean
from spoton_edge.calibration.clocks import clock_offsets
from spoton_edge.calibration.observations import Boxes, mark_sightings, people_sightings
from spoton_edge.calibration.plane import ground_plane
from spoton_edge.calibration.refine import corrected, corrected_ground, explain, refine
from spoton_edge.config import CameraGround
from spoton_edge.ground_plane import GroundPlane
from tests.world import SHOE_M, World, room, wanderers

NAMES = [f"c{n}" for n in range(4)]
SHIFTS = {"c0": (0.12, -0.05), "c1": (-0.10, 0.08), "c2": (0.03, 0.07), "c3": (-0.05, -0.10)}


@pytest.fixture(scope="module")
def world() -> World:
    return World(room(4), wanderers(4, 40, np.random.default_rng(3)), 40, frame_rate=5, seed=1)


@pytest.fixture(scope="module")
def boxes(world) -> dict[str, Boxes]:
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in NAMES}
    for seen in world.steps():
        for c, name in enumerate(NAMES):
            rows[name] += [(seen.captured_ns * 1e-9, *box) for box in seen.boxes[c].tolist()]
    tables = {name: np.array(r) for name, r in rows.items()}
    return {name: Boxes(t[:, 0], t[:, 1:]) for name, t in tables.items()}


def planes(world: World, shifts: dict[str, tuple[float, float]] | None = None) -> dict[str, GroundPlane]:
    out = {}
    for name, camera in zip(NAMES, world.cameras, strict=True):
        move = np.eye(4)
        move[:2, 3] = (shifts or {}).get(name, (0, 0))
        projection = camera.projection @ np.linalg.inv(move)
        out[name] = ground_plane(CameraGround(projection=projection.tolist(), image_size=camera.image_size), None)
    return out


def test_shifted_cameras_are_brought_back_and_feet_are_measured_apart(world, boxes):
    sightings = people_sightings(boxes, planes(world, SHIFTS))
    result = refine(sightings, NAMES, people=True)
    assert result.helps
    assert result.foot_m == pytest.approx(SHOE_M, abs=0.04)
    middle = np.array([5.0, 4.0])
    mean = np.mean(list(SHIFTS.values()), axis=0)
    for name, shift in SHIFTS.items():
        moved = result.corrections[name] @ [*middle + shift, 1]
        assert np.linalg.norm(moved[:2] - middle - mean) < 0.05  # was off by 9 to 13 cm


def test_right_cameras_are_left_as_they_are(world, boxes):
    result = refine(people_sightings(boxes, planes(world)), NAMES, people=True)
    for m in result.corrections.values():
        assert np.linalg.norm(m @ [5, 4, 1] - [5, 4, 1]) < 0.04


def test_feet_and_calibration_are_told_apart(world, boxes):
    causes = explain(people_sightings(boxes, planes(world)), 4)
    shifted = explain(people_sightings(boxes, planes(world, SHIFTS)), 4)
    assert shifted["calibration"] > 1.6 * causes["calibration"]
    assert shifted["feet"] == pytest.approx(causes["feet"], abs=0.04)
    assert causes["feet"] > 1.5 * causes["calibration"]
    assert causes["all"] ** 2 == pytest.approx(sum(causes[k] ** 2 for k in ("feet", "calibration", "rest")), rel=0.02)


def test_marks_bring_cameras_together_to_the_precision_of_reading(world):
    wrong = planes(world, SHIFTS)
    rng = np.random.default_rng(0)
    marks = []
    for n, xy in enumerate(rng.uniform((3, 2.5), (7, 5.5), (12, 2))):
        for name, camera in zip(NAMES, world.cameras, strict=True):
            uv, _ = camera.pixel(np.array([[*xy, 0.0]]))
            marks.append((str(n), name, *(uv[0] + rng.normal(0, 0.5, 2)).tolist()))
    sightings = mark_sightings(marks, wrong)
    assert rms(view_to_mean(sightings)) == pytest.approx(0.11, abs=0.03)
    result = refine(sightings, NAMES, people=False)
    assert result.after_m < 0.02
    assert np.allclose(sum(result.corrections.values()) / 4, np.eye(3), atol=1e-6)  # the floor as a whole stays


@pytest.mark.parametrize("way", ["projection", "homography", "points", "camera"])
def test_a_correction_moves_the_floor_of_every_way_of_calibrating(world, way):
    camera = world.cameras[0]
    k = np.array([[700, 0, 640], [0, 700, 360], [0, 0, 1.0]])
    pose = np.linalg.solve(k, camera.projection)
    uv = np.array([[300.0, 500], [900, 500], [500, 650], [800, 400], [640, 560]])
    plane = GroundPlane(camera.homography, camera.image_size)
    ground = {
        "projection": camera.projection.tolist(),
        "homography": camera.homography.tolist(),
        "points": np.column_stack([uv, plane.to_ground(uv)]).tolist(),
        "camera": {
            "matrix": k.tolist(), "rotation": pose[:, :3].tolist(), "translation": pose[:, 3].tolist(),
            "distortion": [-0.1, 0, 0, 0],
        },
    }[way]  # fmt: skip
    before = CameraGround.model_validate({way: ground, "image_size": camera.image_size})
    correction = np.array([[1.02, 0.01, -0.1], [-0.02, 0.99, 0.2], [0, 0, 1]])
    after = CameraGround.model_validate(corrected_ground(before, correction))
    old, new = ground_plane(before, None).to_ground(uv), ground_plane(after, None).to_ground(uv)
    assert np.allclose(new, old @ correction[:2, :2].T + correction[:2, 2], atol=1e-6)


def test_too_little_seen_by_two_cameras_is_no_ground_for_a_correction(world, boxes):
    few = {name: Boxes(b.time_s[:8], b.xyxy[:8]) for name, b in boxes.items()}
    with pytest.raises(ValueError, match="seen by two cameras"):
        refine(people_sightings(few, planes(world)), NAMES, people=True)


def test_a_camera_two_metres_off_shares_nobody_and_is_not_dragged_along(world, boxes):
    lost = planes(world, {"c2": (0.0, 6.0)})
    sightings = people_sightings(boxes, lost)
    assert np.mean(sightings.camera == 2) < 0.12
    result = refine(sightings, NAMES, people=True)
    for name in ("c0", "c1", "c3"):
        assert np.linalg.norm(result.corrections[name] @ [5, 4, 1] - [5, 4, 1]) < 0.10


def test_corrected_places_are_those_of_the_maps(world, boxes):
    sightings = people_sightings(boxes, planes(world))
    maps = np.tile(np.eye(3), (4, 1, 1))
    maps[2, :2, 2] = (1.0, -2.0)
    moved = corrected(sightings, maps) - sightings.xy
    assert np.allclose(moved[sightings.camera == 2], (1, -2))
    assert np.allclose(moved[sightings.camera != 2], 0)


def test_late_clocks_are_found_from_walkers(world, boxes):
    late = {"c0": 0.0, "c1": 0.30, "c2": -0.20, "c3": 0.0}
    shifted = {name: Boxes(b.time_s + late[name], b.xyxy) for name, b in boxes.items()}
    found = clock_offsets(shifted, planes(world, SHIFTS))
    mean = np.mean(list(late.values()))
    assert set(found) == set(NAMES)
    for name, clock in found.items():
        wrong_by = clock.offset_ms - 1e3 * (mean - late[name])
        assert abs(wrong_by) < max(60.0, 4 * clock.sd_ms)
    assert found["c1"].offset_ms < -150 < 150 < found["c2"].offset_ms

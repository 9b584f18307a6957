"""Numbers that no picture can make true are refused for their camera only, and no real camera ever is."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.assembly import build_ground
from spoton_edge.calibration import faults
from spoton_edge.calibration.judge import judge_site
from spoton_edge.cli import main

POSE = {"matrix": [[900, 0, 640], [0, 900, 360], [0, 0, 1]], "translation": [0, 0, 5]}
GOOD = "[[-0.02974626, 0.00939808, -1.750269], [0.02478855, 0.0112777, -60.16502], [0, -0.01119693, 1]]"
REFUSED = {
    "the identity": ("homography: [[2, 0, 0], [0, 2, 0], [0, 0, 2]]", "is the identity: it calls pixels metres"),
    "a matrix of nothing": ("homography: [[0, 0, 0], [0, 0, 0], [0, 0, 0]]", "is all zeros"),
    "one that cannot be inverted": ("homography: [[1, 2, 3], [2, 4, 6], [0, 0, 1]]", "is not invertible"),
    "a mirrored one": (
        f"homography: {GOOD.replace('-0.02974626, 0.00939808, -1.750269', '0.02974626, -0.00939808, 1.750269')}",
        "mirrored: ",
    ),
    "points on a line": ("points: [[1, 1, 0, 0], [2, 2, 1, 1], [3, 3, 2, 2], [4, 4, 3, 3]]", "(collinear)"),
    "one place for two points": (
        "points: [[1, 1, 0, 0], [900, 2, 0, 0], [3, 700, 2, 2], [800, 600, 3, 1]]",
        "two points on the ground (x, y) are the same",
    ),
    "the identity as a projection": (
        "projection: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]",
        "is the identity on the floor",
    ),
    "a floor seen from its side": ("projection: [[1, 2, 0, 3], [2, 4, 1, 6], [0, 0, 1, 1]]", "sees the floor (z = 0)"),
    "a rotation that mirrors": (
        f"camera: {json.dumps(POSE | {'rotation': [[1, 0, 0], [0, 1, 0], [0, 0, -1]]})}",
        "its rotation mirrors the world",
    ),
    "a rotation that is none": (
        f"camera: {json.dumps(POSE | {'rotation': [[1, 0, 0], [1, 1, 0], [0, 0, 1]]})}",
        "its rotation is no rotation",
    ),
    "a lens turned over": (
        f"homography: {GOOD}\n    lens: {{matrix: [[900, 0, 0], [0, 900, 0], [640, 360, 1]]}}",
        "its lens's matrix is not of the form",
    ),
    "a lens in millimetres": (
        f"homography: {GOOD}\n    lens: {{matrix: [[0.004, 0, 0.002], [0, 0.004, 0.001], [0, 0, 1]]}}",
        "its lens's matrix needs focal lengths and principal point in pixels",
    ),
}


@pytest.fixture(params=REFUSED)
def bad(request, tmp_path: Path) -> tuple[Path, str]:
    """A site of a good camera and one whose calibration cannot be true, and what is wrong with it."""
    section, reason = REFUSED[request.param]
    path = tmp_path / "site.yaml"
    path.write_text(
        f"cameras:\n- name: good\n  source: 'test:1920x1080'\n  ground:\n    image_size: [1920, 1080]\n"
        f"    homography: {GOOD}\n- name: bad\n  source: 'test:1920x1080'\n  ground:\n"
        f"    image_size: [1920, 1080]\n    {section}\n"
    )
    return path, reason


def test_a_calibration_that_cannot_be_true_costs_its_camera_the_places_and_no_other(bad, caplog):
    path, reason = bad
    ground = build_ground(config.load(path), [(1920, 1080)] * 2)
    assert [plane is not None for plane in ground.planes] == [True, False]
    assert ground.unplaced[0] is None
    assert ground.unplaced[1].startswith("calibration refused: ")
    assert reason in ground.unplaced[1]
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        f"camera bad: {ground.unplaced[1]}; its people are tracked but have no place"
    ]


def test_check_names_it_for_what_it_is_with_its_line(bad, capsys):
    path, reason = bad
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{path}:9: cameras[1].ground: calibration refused: ")
    assert reason in said
    assert said.count("\n") == 1
    assert main(["calibrate", "check", str(path), "--no-sources"]) == 2
    told = capsys.readouterr().out
    assert told.startswith("good: ")
    assert f"bad: refuse\n  {reason}" in told or reason in told.partition("bad: refuse\n")[2]


def test_a_calibration_whose_picture_is_not_known_is_left_to_the_daemon(tmp_path, capsys):
    path = tmp_path / "site.yaml"
    path.write_text(f"cameras:\n- name: c\n  source: rtsp://c.example/1\n  ground: {{homography: {GOOD}}}\n")
    assert main(["check", str(path)]) == 0
    assert judge_site(config.load(path))[0].grade == "refuse"


def homography(yaw: float, height: float, tilt: float) -> np.ndarray:
    """Image pixels -> metres of a camera above the floor, looking down at an angle."""
    c, s, ct, st_ = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt)
    rotation = np.array([[c, -s, 0], [-st_ * s, -st_ * c, -ct], [ct * s, ct * c, -st_]])
    world_to_image = np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1]]) @ np.column_stack(
        [rotation[:, :2], rotation @ [0, 0, -height]]
    )
    return np.linalg.inv(world_to_image)


CAMERAS = st.builds(homography, st.floats(-3.1, 3.1), st.floats(2, 12), st.floats(0.1, 1.3))


@given(matrix=CAMERAS, scale=st.sampled_from([1e-6, 1.0, -1.0, 1e6]), far=st.sampled_from([0.0, 1e3, 5e6]))
def test_a_real_camera_is_never_refused(matrix, scale, far):
    shifted = np.array([[1, 0, far], [0, 1, far], [0, 0, 1]]) @ matrix * scale
    assert faults.homography_fault(shifted.tolist()) is None
    pixels = [(100, 700), (1200, 700), (1100, 450), (150, 500), (640, 600)]
    ground = [shifted @ [u, v, 1] for u, v in pixels]
    assert faults.points_fault([(*pixel, *(g[:2] / g[2])) for pixel, g in zip(pixels, ground, strict=True)]) is None
    projection = np.linalg.inv(shifted)[:, [0, 1, 1, 2]]
    assert faults.projection_fault(projection.tolist()) is None


@given(matrix=CAMERAS, weights=st.tuples(*[st.floats(-3, 3)] * 2), row=st.integers(0, 2))
def test_dependent_rows_are_refused(matrix, weights, row):
    singular = matrix.copy()
    first, second = (matrix[n] for n in range(3) if n != row)
    singular[row] = weights[0] * first + weights[1] * second
    assert faults.homography_fault(singular.tolist()) is not None


@given(
    on_line=st.lists(st.integers(-500, 500), min_size=3, max_size=8, unique=True),
    direction=st.tuples(st.integers(1, 5), st.integers(-5, 5)),
)
def test_points_of_which_all_but_one_are_on_a_line_are_refused(on_line, direction):
    line = [(direction[0] * t, direction[1] * t) for t in on_line]
    beside = (-37 * direction[1] + 1, 37 * direction[0] + 2)
    good = [(0, 0), (900, 10), (800, 700), (30, 650), (300, 300), (500, 90), (70, 400), (640, 200), (333, 555)]
    for image, ground in ((line, good), (good, line)):
        image, ground = [*image[: len(line)], beside], [*ground[: len(line)], beside]
        fault = faults.points_fault([(*a, *b) for a, b in zip(image, ground, strict=True)])
        assert fault is not None
        assert "on one line" in fault or "the same" in fault

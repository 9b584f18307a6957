"""Each mistake in a calibration is named for what it is; none is accepted, and the daemon runs the other cameras."""

import logging
from pathlib import Path

import numpy as np
import pytest

from spoton_edge import config
from spoton_edge.assembly import build_ground
from spoton_edge.calibration.agreement import footprint, judge_pairs, shared_floor_m2
from spoton_edge.calibration.judge import judge_camera, judge_person_height, judge_site
from spoton_edge.calibration.observations import mark_sightings
from spoton_edge.calibration.plane import PlaneError, ground_plane
from spoton_edge.config import CameraGround, Site
from tests.world import look_at, room

SIZE = (1280, 720)
CAMERA = look_at((0, -6, 4), (0, 2, 0), focal_px=900)
MARKS = np.array([(-3, -1), (0, -1), (3, -1.2), (-2.5, 2), (0.5, 2), (3, 2.2), (-3, 5), (2.5, 5.0)])


def points(camera=CAMERA, places: np.ndarray = MARKS, noise_px: float = 0.7) -> np.ndarray:
    uv, _ = camera.pixel(np.column_stack([places, np.zeros(len(places))]))
    return np.column_stack([uv + np.random.default_rng(5).normal(0, noise_px, uv.shape), places])


def site(*grounds: dict | None, axes: str = "y_up") -> Site:
    cameras = [
        {"name": f"c{n}", "source": "x.mp4"} | ({} if g is None else {"ground": g}) for n, g in enumerate(grounds)
    ]
    return Site.model_validate({"ground": {"axes": axes}, "cameras": cameras})


def of(p: np.ndarray, size: tuple[int, int] = SIZE) -> dict:
    return {"points": p.tolist(), "image_size": list(size)}


def only(ground: dict, **kwargs):
    return judge_site(site(ground, **kwargs))[0]


def test_careful_points_are_good():
    verdict = only(of(points()))
    assert (verdict.grade, verdict.reasons) == ("good", ())
    assert verdict.figures.camera_height_m == pytest.approx(4.0, rel=0.1)
    assert verdict.figures.rms_m < 0.05


def test_a_projection_a_homography_and_a_pose_of_one_camera_are_one_plane():
    k = np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1.0]])
    pose = np.linalg.solve(k, CAMERA.projection)
    grounds = [
        {"homography": CAMERA.homography.tolist()},
        {"projection": CAMERA.projection.tolist()},
        {"camera": {"matrix": k.tolist(), "rotation": pose[:, :3].tolist(), "translation": pose[:, 3].tolist()}},
        {"points": points(noise_px=0).tolist()},
    ]
    verdicts = judge_site(site(*[g | {"image_size": list(SIZE)} for g in grounds]))
    assert [v.grade for v in verdicts] == ["good"] * 4
    where = [[640, 500], [200, 300], [1100, 650]]
    first = verdicts[0].plane.to_ground(where)
    assert all(np.allclose(v.plane.to_ground(where), first, atol=1e-6) for v in verdicts)


def test_a_point_typed_wrong_by_three_metres_is_named_by_its_number():
    p = points()
    p[4, 2] += 3
    verdict = only(of(p))
    assert verdict.grade == "refuse"
    assert verdict.reasons[0].startswith("point 5, [")
    assert verdict.fit.residual_m[4] == pytest.approx(3.0, abs=0.05)
    assert verdict.reasons[0].endswith("correct or remove it")


def test_a_point_with_x_and_y_swapped_is_told_so():
    p = points()
    p[3, 2:] = p[3, [3, 2]]
    verdict = only(of(p))
    assert verdict.grade == "refuse"
    assert verdict.reasons[0].startswith("point 4, [")
    assert verdict.reasons[0].endswith("its x and y are swapped")


@pytest.mark.parametrize("mirror", [[-1, 1], [1, -1]])
def test_a_mirrored_camera_is_refused(mirror):
    p = points()
    p[:, 2:] *= mirror
    verdict = only(of(p))
    assert verdict.grade == "refuse"
    assert verdict.reasons[0].startswith("mirrored: ")


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda xy: xy[:, ::-1], "x and y are swapped in its points"),
        (lambda xy: xy * [-1, 1], "x has the wrong sign"),
        (lambda xy: xy * [1, -1], "y has the wrong sign"),
    ],
)
def test_how_a_camera_is_mirrored_is_told_by_marks_that_others_see(mistake, words):
    other = look_at((6, 3, 4), (0, 2, 0), focal_px=700)
    wrong, right = points(), points(other)
    wrong[:, 2:] = mistake(wrong[:, 2:])
    verdicts = judge_site(site(of(right), of(wrong)))
    assert [v.grade for v in verdicts] == ["good", "refuse"]
    assert words in verdicts[1].reasons[0]


def test_a_floor_plan_with_y_down_flips_all_cameras_and_is_fine():
    cameras = room(3)
    grounds = [{"homography": (np.diag([1, -1, 1]) @ c.homography).tolist(), "image_size": list(SIZE)} for c in cameras]
    assert {v.grade for v in judge_site(site(*grounds, axes="y_down"))} == {"good"}
    undeclared = judge_site(site(*grounds))
    assert {v.grade for v in undeclared} == {"usable"}
    assert all("write ground.axes: y_down" in v.reasons[0] for v in undeclared)


def test_of_three_cameras_the_one_that_turns_the_other_way_is_refused():
    homographies = [c.homography for c in room(3)]
    homographies[1] = np.diag([-1, 1, 1]) @ homographies[1]
    grounds = [{"homography": h.tolist(), "image_size": list(SIZE)} for h in homographies]
    assert [v.grade for v in judge_site(site(*grounds))] == ["good", "refuse", "good"]


def test_the_identity_is_named():
    verdict = judge_camera("c", CameraGround(homography=np.eye(3).tolist(), image_size=SIZE))
    assert verdict.grade == "refuse"
    assert "identity" in verdict.reasons[0]


@pytest.mark.parametrize(
    "h", [np.diag([1.0, 1.0, 1.01]), [[0, -1.0, 30], [1, 0, 0], [0, 0, 1]], np.diag([0.5, -0.5, 1])]
)
def test_relatives_of_the_identity_are_named_too(h):
    verdict = judge_camera("c", CameraGround(homography=np.asarray(h).tolist(), image_size=SIZE))
    assert verdict.grade == "refuse"
    assert "calls pixels metres" in verdict.reasons[0]


def test_points_on_a_line_or_nearly_on_one_are_refused():
    line = np.column_stack([np.linspace(-3, 3, 6), np.zeros(6)])
    on_it = only(of(points(places=line)))
    assert on_it.grade == "refuse"
    assert "collinear" in on_it.reasons[0]
    nearly = line + np.column_stack([np.zeros(6), [0.1, -0.1, 0.12, -0.1, 0.1, -0.12]])
    verdict = only(of(points(places=nearly, noise_px=0)))
    assert verdict.grade == "refuse"
    assert "nearly on one line" in " ".join(verdict.reasons)


def test_a_calibration_with_its_floor_in_the_sky_is_refused():
    for up, grade in ((5.0, "good"), (12.0, "usable"), (22.0, "refuse")):  # metres above the camera, 66 m away
        low = look_at((0, -6, 4), (0, 60, 4 + up - 5), focal_px=900)
        verdict = judge_camera("c", CameraGround(homography=low.homography.tolist(), image_size=SIZE))
        assert verdict.grade == grade
        assert grade == "good" or "horizon" in verdict.reasons[0]


def test_points_read_on_a_larger_picture_name_the_wrong_image_size():
    p = points()
    p[:, :2] *= 1.5
    verdict = only(of(p))
    assert verdict.grade == "refuse"
    assert "wrong image size" in verdict.reasons[0]


@pytest.mark.parametrize("rows", [slice(None), slice(2, 3)])
def test_points_whose_u_and_v_are_swapped_are_told_so(rows):
    p = points()
    p[rows, :2] = p[rows, 1::-1]
    verdict = only(of(p))
    assert verdict.grade == "refuse"
    assert "lies outside of the picture, [1280, 720]; u and v are swapped" in verdict.reasons[0]


@pytest.mark.parametrize("kind", ["projection", "homography", "camera"])
def test_a_calibration_of_a_larger_picture_names_the_wrong_image_size(kind):
    larger = np.diag([1.5, 1.5, 1])
    k = larger @ np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1.0]])
    pose = np.linalg.solve(k, larger @ CAMERA.projection)
    turned = look_at((1, -6, 4), (3, 2, 0), focal_px=900)
    ground = {
        "projection": (larger @ CAMERA.projection).tolist(),
        "homography": np.linalg.inv((larger @ turned.projection)[:, [0, 1, 3]]).tolist(),
        "camera": {"matrix": k.tolist(), "rotation": pose[:, :3].tolist(), "translation": pose[:, 3].tolist()},
    }[kind]
    verdict = judge_camera("c", CameraGround.model_validate({kind: ground, "image_size": SIZE}))
    assert verdict.grade == "refuse"
    assert "wrong image size" in verdict.reasons[0]
    right = judge_camera("c", CameraGround.model_validate({kind: ground, "image_size": [1920, 1080]}))
    assert right.grade == "good"


def test_a_picture_of_another_shape_is_refused_and_one_of_another_size_is_scaled():
    ground = CameraGround(homography=CAMERA.homography.tolist(), image_size=SIZE)
    assert "another shape" in judge_camera("c", ground, (640, 480)).reasons[0]
    half, whole = ground_plane(ground, (640, 360)), ground_plane(ground, SIZE)
    assert np.allclose(half.to_ground([[320, 250]]), whole.to_ground([[640, 500]]))
    with pytest.raises(PlaneError, match="image_size is needed"):
        ground_plane(CameraGround(homography=CAMERA.homography.tolist()), None)


@pytest.mark.parametrize(("factor", "grade"), [(1.0, "good"), (1.1, "good"), (2.4, "refuse"), (0.3048, "refuse")])
def test_a_floor_in_another_unit_than_the_heights_is_found_by_the_pixels_shape(factor, grade):
    stretched = CAMERA.projection @ np.diag([1 / factor, 1 / factor, 1, 1])
    verdict = judge_camera("c", CameraGround(projection=stretched.tolist(), image_size=SIZE))
    assert verdict.grade == grade
    assert grade == "good" or "floor in the same unit" in " ".join(verdict.reasons)


def test_centimetres_for_metres_hang_the_camera_too_high():
    verdict = only(of(points() * [1, 1, 100, 100]))
    assert verdict.grade == "refuse"
    assert "centimetres" in " ".join(verdict.reasons)


def test_people_of_four_metres_refuse_the_scale():
    good = only(of(points()))
    assert judge_person_height(good, np.full(20, 1.72)).grade == "good"
    assert judge_person_height(good, np.full(20, 2.05)).grade == "usable"
    tall = judge_person_height(good, np.full(20, 4.0))
    assert tall.grade == "refuse"
    assert "people would be 4.0 m tall" in tall.reasons[0]
    assert judge_person_height(good, np.full(3, 4.0)).grade == "good"  # too few to say


def test_four_points_are_usable_and_asked_for_more():
    verdict = only(of(points(places=MARKS[[0, 2, 6, 7]])))
    assert verdict.grade == "usable"
    assert "add some" in verdict.reasons[0]


def test_exchanged_points_put_some_above_the_horizon():
    p = points(places=MARKS[[0, 2, 6, 7]], noise_px=0)
    p[[0, 2], 2:] = p[[2, 0], 2:]
    assert only(of(p)).grade == "refuse"


def test_cameras_that_share_floor_are_paired_and_others_are_not():
    a, b, far = (look_at((x, -6, 4), (x, 2, 0), focal_px=900) for x in (0.0, 3.0, 60.0))
    planes = {
        name: ground_plane(CameraGround(projection=c.projection.tolist(), image_size=SIZE), None)
        for name, c in (("a", a), ("b", b), ("far", far))
    }
    pairs = judge_pairs(planes)
    assert [p.cameras for p in pairs] == [("a", "b")]
    assert pairs[0].grade == "usable"  # nothing measured
    assert shared_floor_m2(planes["a"], planes["far"]) == 0
    assert len(footprint(planes["a"])) > 10


def test_cameras_that_put_marks_two_metres_apart_are_refused_as_a_pair():
    a, b = look_at((0, -6, 4), (0, 2, 0)), look_at((3, -6, 4), (3, 2, 0))
    moved = np.array([[1, 0, 2.0], [0, 1, 0], [0, 0, 1]]) @ b.homography
    planes = {
        "a": ground_plane(CameraGround(homography=a.homography.tolist(), image_size=SIZE), None),
        "b": ground_plane(CameraGround(homography=moved.tolist(), image_size=SIZE), None),
    }
    marks = []
    for n, xy in enumerate([(0, 0), (2, 1), (1, 3), (3, 4)]):
        for name, camera in (("a", a), ("b", b)):
            (u, v), _ = (values[0] for values in camera.pixel(np.array([[*xy, 0.0]])))
            marks.append((str(n), name, float(u), float(v)))
    pair = judge_pairs(planes, mark_sightings(marks, planes))[0]
    assert pair.grade == "refuse"
    assert pair.median_m == pytest.approx(2.0, abs=1e-6)


def test_the_daemon_names_the_camera_it_refuses_and_runs_the_others(caplog):
    p = points()
    p[:, 2] *= -1
    good, mirrored = of(points()), of(p)
    with caplog.at_level(logging.WARNING):
        ground = build_ground(site(good, mirrored, None), [SIZE] * 3)
    assert [plane is not None for plane in ground.planes] == [True, False, False]
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "camera c1: calibration refused: mirrored" in errors[0]
    assert ground.unplaced[0] is None
    assert ground.unplaced[1].startswith("calibration refused: mirrored")
    assert ground.unplaced[2] == "not calibrated"
    assert any("camera c2 has no calibration" in r.getMessage() for r in caplog.records)


def test_a_calibration_in_a_file_of_its_own_is_taken_as_if_it_stood_in_the_site(tmp_path: Path):
    from spoton_edge.config.document import dump

    (tmp_path / "c1.yaml").write_text(dump(of(points())))
    (tmp_path / "site.yaml").write_text("cameras:\n- name: c1\n  source: c1.mp4\n  ground: {file: c1.yaml}\n")
    ground = config.load(tmp_path / "site.yaml").cameras[0].ground
    assert ground.file is None
    assert np.allclose(ground.points, points())
    assert ground.image_size == SIZE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "site.yaml:4: cameras[0].ground.file: "),
        ("points: [[1, 2, 3, 4]]\n", "c1.yaml:1: cameras[0].ground.points: a homography needs 4"),
        ("image_size: [9, 9]\nhomographie: 3\n", "c1.yaml:2: cameras[0].ground.homographie: unknown key; did you mean"),
        ("file: other.yaml\n", "names a file again"),
        ("%YAML:1.0\n---\nK: !!opencv-matrix\n", "spoton-edge calibrate import"),
    ],
)
def test_what_is_wrong_in_a_calibration_file_is_told_with_its_line(tmp_path: Path, content, expected):
    if content is not None:
        (tmp_path / "c1.yaml").write_text(content)
    (tmp_path / "site.yaml").write_text("cameras:\n- name: c1\n  source: c1.mp4\n  ground: {file: c1.yaml}\n")
    assert any(expected in problem for problem in config.check(tmp_path / "site.yaml"))

"""Other programs' calibrations are read for what they are; ours are written whole, with the operator's words kept."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from spoton_edge import config
from spoton_edge.calibration.files import write_new
from spoton_edge.calibration.formats import camera_name, quadrants, read
from spoton_edge.calibration.judge import judge_site
from spoton_edge.cli import main
from spoton_edge.errors import UsageError
from tests.world import look_at

CAMERA = look_at((0, -6, 4), (0, 2, 0), focal_px=900)
MARKS = np.array([(-3, -1), (0, -1), (3, -1.2), (-2.5, 2), (0.5, 2), (3, 2.2), (-3, 5), (2.5, 5.0)])
K = np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1.0]])


def pixels() -> np.ndarray:
    return CAMERA.pixel(np.column_stack([MARKS, np.zeros(len(MARKS))]))[0]


def pose() -> np.ndarray:
    return np.linalg.solve(K, CAMERA.projection)


def imported(tmp_path: Path, *paths: Path, options: tuple[str, ...] = ()) -> tuple[int, config.Site]:
    out = tmp_path / "imported.yaml"
    code = main(["calibrate", "import", *map(str, paths), "--image-size", "1280", "720", "--out", str(out), *options])
    return code, config.load(out)


def assert_sees_the_marks(site: config.Site, places: np.ndarray = MARKS) -> None:
    for verdict in judge_site(site):
        assert verdict.grade == "good", verdict.reasons
        assert np.allclose(verdict.plane.to_ground(pixels()), places, atol=0.01)


def test_archives_of_point_pairs_become_points(tmp_path):
    path = tmp_path / "homography_points_c09_scene_s14.npz"
    np.savez(path, image_points=pixels().reshape(-1, 1, 2), map_points=MARKS)
    code, site = imported(tmp_path, path)
    assert code == 0
    assert site.cameras[0].name == "c09"
    assert_sees_the_marks(site)


def test_map_points_in_pixels_of_a_plan_are_scaled_and_run_y_down(tmp_path):
    path = tmp_path / "homography_points_c01.npz"
    np.savez(path, image_points=pixels(), map_points=MARKS * [50, -50])
    code, site = imported(tmp_path, path, options=("--pixels-per-metre", "50", "--axes", "y_down"))
    assert code == 0
    assert_sees_the_marks(site, MARKS * [1, -1])


def floor_plan(tmp_path: Path, *cameras: dict) -> Path:
    path = tmp_path / "campus.json"
    path.write_text(
        json.dumps({"ground_plane": {"pixels_per_meter": 20, "image": "plan.png"}, "cameras": list(cameras)})
    )
    return path


def test_cameras_of_a_floor_plan_come_with_points_in_metres(tmp_path):
    points = {"source_points": pixels().tolist(), "destination_points": (MARKS * [20, -20]).tolist()}
    path = floor_plan(tmp_path, {"id": "c01", **points, "homography": np.eye(3).tolist()}, {"id": "c02", **points})
    code, site = imported(tmp_path, path)
    assert code == 0
    assert (site.ground.axes, site.ground.pixels_per_metre) == ("y_down", 20)
    assert site.ground.map.endswith("plan.png")
    assert_sees_the_marks(site, MARKS * [1, -1])
    assert "its homography was the identity" in (tmp_path / "imported.yaml").read_text()


def test_a_floor_plans_identity_is_named_and_its_camera_left_to_calibrate(tmp_path, capsys):
    good = {"source_points": pixels().tolist(), "destination_points": (MARKS * [20, -20]).tolist()}
    path = floor_plan(tmp_path, {"id": "c01", **good}, {"id": "c02", "homography": np.eye(3).tolist()})
    code, site = imported(tmp_path, path)
    assert code == 2
    assert [camera.ground is not None for camera in site.cameras] == [True, False]
    assert "c02: refuse\n  is the identity: it calls pixels metres" in capsys.readouterr().out


RULES = {"exit_rules": [
    {"source_exit_quadrant": "lower_left", "target_cam_id": "c13", "target_entry_area": "upper right", "notes": "wait"},
    {"direction": "down", "target_cam_id": "c12", "target_entry_area": "anywhere"},
]}  # fmt: skip
EXPECTED = [
    ("lower_left", "c13", "upper_right"),
    ("lower_left", "c12", None),
    ("lower_right", "c12", None),
]


def test_exit_rules_become_handoffs(tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"factory/c09": RULES, "c12": {}, "c13": {"exit_rules": []}}))
    points = tmp_path / "points"
    points.mkdir()
    for name in ("c09", "c12", "c13"):
        np.savez(points / f"homography_points_{name}.npz", image_points=pixels(), map_points=MARKS)
    code, site = imported(tmp_path, points, path)
    assert code == 0
    assert [(h.zone, h.to, h.enter) for h in site.cameras[0].handoff] == EXPECTED


def test_exit_rules_in_python_are_read_and_never_run(tmp_path):
    path = tmp_path / "settings.py"
    path.write_text(
        'raise SystemExit("run")\n'
        'HANDOFFS = {("factory", "c09"): Config(exit_rules=[\n'
        '    Rule(source_exit_quadrant=Quadrant.LOWER_LEFT, target_cam_id=CameraID("c13"), '
        'target_entry_area="upper right"),\n'
        '    Rule(direction=Exit("down"), target_cam_id="c12", target_entry_area="anywhere"),\n'
        '], homography_matrix_path="homography_points_c09.npz")}\n'
    )
    links = read(path).handoffs
    assert [(link["zone"], link["to"], link.get("enter")) for link in links["c09"]] == EXPECTED


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ("upper right", ["upper_right"]),
        ("bottom_left", ["lower_left"]),
        ("left", ["upper_left", "lower_left"]),
        ("down", ["lower_left", "lower_right"]),
        ("somewhere", []),
    ],
)
def test_areas_become_quadrants(area, expected):
    assert quadrants(area) == expected


@pytest.mark.parametrize("suffix", [".yml", ".xml"])
def test_opencvs_file_storage_is_read(tmp_path, suffix):
    path = tmp_path / f"cam7{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("camera_matrix", K)
    storage.write("distortion_coefficients", np.zeros((1, 5)))
    storage.write("rvec", cv2.Rodrigues(pose()[:, :3])[0])
    storage.write("tvec", pose()[:, 3:])
    storage.release()
    code, site = imported(tmp_path, path)
    assert code == 0
    assert_sees_the_marks(site)


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("shape", ["projection", "homography"])
def test_matlab_matrices_are_read(tmp_path, version, shape):
    path = tmp_path / "cam3_cam_mat.mat"
    matrix = CAMERA.projection if shape == "projection" else CAMERA.homography
    if version == "5":
        savemat(path, {"cam_mat": matrix})
    else:
        with h5py.File(path, "w") as file:
            file["cam_mat"] = matrix.T
    code, site = imported(tmp_path, path)
    assert code == 0
    assert site.cameras[0].name == "cam3"
    assert_sees_the_marks(site)


def test_wildtracks_folder_is_read_in_centimetres(tmp_path):
    folder = tmp_path / "calibrations"
    for kind, values in (
        ("intr", {"camera_matrix": K, "distortion_coefficients": np.zeros((1, 5))}),
        ("extr", {"rvec": cv2.Rodrigues(pose()[:, :3])[0], "tvec": pose()[:, 3:] * 100}),
    ):
        (folder / f"{kind}insic").mkdir(parents=True)
        storage = cv2.FileStorage(str(folder / f"{kind}insic" / f"{kind}_CVLab1.xml"), cv2.FILE_STORAGE_WRITE)
        for key, value in values.items():
            storage.write(key, value)
        storage.release()
    code, site = imported(tmp_path, tmp_path)
    assert code == 0
    assert site.cameras[0].name == "CVLab1"
    assert_sees_the_marks(site)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.npz", b"no archive", "a.npz: cannot be read as a calibration"),
        ("a.json", b"{}", "neither cameras with source_points"),
        ("a.json", b"{", "cannot be read as a calibration"),
        ("a.txt", b"", "known are .npz"),
        ("a.py", b"x = 1", "no exit_rules"),
        ("a.py", b"x = (", "cannot be read as a calibration"),
        ("a.yml", b"%YAML:1.0\n---\na: 1\n", "a matrix, a rotation and a translation are needed"),
    ],
)
def test_what_is_no_calibration_is_told_in_one_line(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=expected.replace(".", r"\.")) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_cameras_are_named_after_their_files():
    named = {
        "homography_points_c09_scene_s14.npz": "c09",
        "cam1_cam_mat.mat": "cam1",
        "0.json": "cam0",
        "extr_CVLab1.xml": "CVLab1",
    }
    assert {file: camera_name(Path(file)) for file in named} == named


SITE = """\
# The lobby. Ask Ana before changing.
cameras:
- name: c1   # above the door
  source: 'c1.mp4'
  ground:
    homography: [[-0.02974626, 0.00939808, -1.750269], [0.02478855, 0.0112777, -60.16502], [0, -0.01119693, 1]]
    image_size: [1920, 1080]
- name: c2
  source: c2.mp4   # replaced in May
"""


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "a.yaml").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_new(tmp_path / "a.yaml", "yours")
    assert (tmp_path / "a.yaml").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def points_file(tmp_path: Path, table: np.ndarray) -> str:
    path = tmp_path / "points.csv"
    path.write_text("u,v,x,y\n" + "\n".join(",".join(f"{x:.3f}" for x in row) for row in table) + "\n")
    return str(path)


def test_fit_writes_a_ground_that_a_site_takes(tmp_path, capsys):
    table = np.column_stack([pixels(), MARKS])
    out = tmp_path / "c1.yaml"
    code = main(["calibrate", "fit", points_file(tmp_path, table), "--image-size", "1280", "720", "--out", str(out)])
    assert code == 0
    assert "camera: good" in capsys.readouterr().out
    (tmp_path / "site.yaml").write_text("cameras:\n- {name: c1, source: c1.mp4, ground: {file: c1.yaml}}\n")
    assert_sees_the_marks(config.load(tmp_path / "site.yaml"))


def test_fit_refuses_a_wrong_point_writes_nothing_and_drops_it_when_told(tmp_path, capsys):
    table = np.column_stack([pixels(), MARKS])
    table[2, 3] += 3
    out = tmp_path / "c1.yaml"
    arguments = ["calibrate", "fit", points_file(tmp_path, table), "--image-size", "1280", "720", "--out", str(out)]
    assert main(arguments) == 2
    assert "point 3, [" in capsys.readouterr().out
    assert not out.exists()
    assert main([*arguments, "--drop"]) == 0
    assert len(config.CameraGround.model_validate(config.document.read(out).data).points) == 7


def test_check_says_which_camera_is_refused_and_ends_with_2(tmp_path, capsys):
    (tmp_path / "site.yaml").write_text(SITE)
    assert main(["calibrate", "check", str(tmp_path / "site.yaml"), "--no-sources"]) == 0
    capsys.readouterr()
    mirrored = SITE.replace("-0.02974626, 0.00939808, -1.750269", "0.02974626, -0.00939808, 1.750269")
    (tmp_path / "site.yaml").write_text(mirrored)
    assert main(["calibrate", "check", str(tmp_path / "site.yaml"), "--no-sources", "--json"]) == 2
    cameras = json.loads(capsys.readouterr().out)["cameras"]
    assert [(c["camera"], c["grade"]) for c in cameras] == [("c1", "refuse"), ("c2", "usable")]
    assert cameras[0]["reasons"][0].startswith("mirrored")


@pytest.mark.parametrize(
    "arguments",
    [
        ["refine", "site.yaml"],
        ["refine", "site.yaml", "--detections", "nowhere"],
        ["refine", "site.yaml", "--marks", "nowhere.csv"],
        ["check", "site.yaml", "--no-sources", "--detections", "."],
        ["import", "nowhere.npz"],
        ["fit", "nowhere.csv", "--image-size", "9", "9"],
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_2(tmp_path, monkeypatch, capsys, arguments):
    (tmp_path / "site.yaml").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1

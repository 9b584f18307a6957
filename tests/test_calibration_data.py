"""Real calibrations, by command: imported, judged, refined and held against ground truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from spoton_edge import config
from spoton_edge.calibration.annotations import MULTIVIEWX, foot_errors_m, read_annotations
from spoton_edge.calibration.judge import judge_site
from spoton_edge.cli import main
from spoton_edge.ground_plane import FootModel
from tests import ufes


def planes(path: Path) -> dict:
    return {verdict.camera: verdict.plane for verdict in judge_site(config.load(path))}


@pytest.fixture(scope="module")
def pets(shared_data) -> tuple[np.ndarray, np.ndarray]:
    """Feet (px) and places (m) of everybody in the clip."""
    rows = np.loadtxt(shared_data / "pets09_s2l1_view1" / "gt" / "gt.txt", delimiter=",")
    rows = rows[rows[:, 6] == 1]
    return np.column_stack([rows[:, 2] + rows[:, 4] / 2, rows[:, 3] + rows[:, 5]]), rows[:, 7:9]


@pytest.mark.parametrize("seed", range(5))
def test_eight_feet_of_pets_place_the_other_feet_within_10_cm(pets, tmp_path, seed):
    uv, xy = pets
    chosen = np.random.default_rng(seed).choice(len(uv), 8, replace=False)
    np.savez(tmp_path / "homography_points_W.npz", image_points=uv[chosen], map_points=xy[chosen])
    out = tmp_path / "pets.yaml"
    assert main(["calibrate", "import", str(tmp_path), "--image-size", "768", "576", "--out", str(out)]) == 0
    others = np.delete(np.arange(len(uv)), chosen)
    placed = planes(out)["W"].to_ground(uv[others])
    assert np.median(np.linalg.norm(placed - xy[others], axis=1)) < 0.10


def test_a_foot_of_pets_typed_wrong_by_three_metres_is_named(pets, tmp_path, capsys):
    uv, xy = pets
    chosen = np.random.default_rng(0).choice(len(uv), 8, replace=False)
    table = np.column_stack([uv[chosen], xy[chosen]])
    table[5, 2] += 3
    np.savetxt(tmp_path / "points.csv", table, delimiter=",")
    assert main(["calibrate", "fit", str(tmp_path / "points.csv"), "--image-size", "768", "576", "--json"]) == 2
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["grade"] == "refuse"
    assert verdict["fit"]["inlier"] == [True] * 5 + [False] + [True] * 2
    assert verdict["reasons"][0].startswith("point 6, [")


def test_feet_of_multiviewx_are_placed_within_10_cm_in_every_view(shared_data, tmp_path, capsys):
    folder, out, boxes = shared_data / "multiviewx_sample", tmp_path / "m.yaml", tmp_path / "boxes"
    assert main(["calibrate", "import", str(folder), "--out", str(out), "--boxes", str(boxes)]) == 0
    site = config.load(out)
    assert site.ground.axes == "y_down"  # its world is left-handed, as game engines' are
    annotated = read_annotations(folder, [camera.name for camera in site.cameras], MULTIVIEWX)
    errors = {name: foot_errors_m(plane, annotated[name]) for name, plane in planes(out).items()}
    assert len(errors) == 6
    assert all(len(e) > 200 and np.median(e) < 0.10 for e in errors.values())
    capsys.readouterr()
    # The boxes of all views at once agree too, and people are as tall as people.
    code = main(["calibrate", "check", str(out), "--no-sources", "--detections", str(boxes), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert all(1.5 < camera["figures"]["person_height_m"] < 1.95 for camera in report["cameras"])
    assert {pair["grade"] for pair in report["pairs"]} == {"good"}


@pytest.mark.parametrize("sequence", ["CMC1", "CMC2"])
def test_feet_of_cmc_are_placed_within_25_cm_in_every_view(shared_data, tmp_path, sequence):
    out = tmp_path / "cmc.yaml"
    folder = shared_data / "cmc"
    assert main(["calibrate", "import", str(folder / "calib"), "--image-size", "1920", "1024", "--out", str(out)]) == 0
    table = np.loadtxt(folder / "gt_ground" / f"{sequence}.csv", delimiter=",", skiprows=1)
    for name, plane in planes(out).items():
        errors = []
        with np.load(folder / "det_fairmot" / sequence / f"Cam_{name[-1]}.npz") as archive:
            for key in archive.files:
                box = archive[key].reshape(-1, archive[key].shape[-1])[:, :4] if archive[key].size else np.zeros((0, 4))
                people = table[table[:, 0] == int(key) + 1, 2:4]
                box = box[box[:, 3] < 0.995 * 1024]
                if len(box) and len(people):
                    placed = plane.to_ground(np.column_stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]]))
                    apart = np.linalg.norm(placed[:, None] - people[None], axis=2).min(axis=1)
                    errors += apart[apart < 1.0].tolist()
        assert len(errors) > 400
        assert np.median(errors) < 0.25


@pytest.fixture(scope="module")
def lab(shared_data, tmp_path_factory) -> Path:
    """A folder with the laboratory's imported site and its boxes."""
    folder = tmp_path_factory.mktemp("ufes")
    source = str(shared_data / "ufes4cam" / "videos" / "{name}.mp4")
    calibrations = str(shared_data / "ufes4cam" / "config_camera_2021_USE")
    assert main(["calibrate", "import", calibrations, "--source", source, "--out", str(folder / "site.yaml")]) == 0
    ufes.write_boxes(shared_data, folder / "boxes")
    return folder


def test_floor_crosses_of_the_lab_show_8_cm_between_its_cameras(shared_data, lab, capsys):
    marks = str(shared_data / "ufes4cam" / "gt" / "floor_crosses.csv")
    assert main(["calibrate", "check", str(lab / "site.yaml"), "--marks", marks, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["marks_rms_m"] == pytest.approx(0.08, abs=0.01)
    assert len(report["pairs"]) == 6


def test_the_lenses_of_the_lab_matter(shared_data, lab, tmp_path, capsys):
    marks = str(shared_data / "ufes4cam" / "gt" / "floor_crosses.csv")
    lines = (lab / "site.yaml").read_text().splitlines()
    (tmp_path / "site.yaml").write_text("\n".join(line for line in lines if "distortion" not in line))
    assert main(["calibrate", "check", str(tmp_path / "site.yaml"), "--no-sources", "--marks", marks, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["marks_rms_m"] > 0.085


def test_crosses_bring_the_lab_to_a_centimetre(shared_data, lab, capsys):
    marks = str(shared_data / "ufes4cam" / "gt" / "floor_crosses.csv")
    out = lab / "by-marks.yaml"
    assert main(["calibrate", "refine", str(lab / "site.yaml"), "--marks", marks, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["calibrate", "check", str(out), "--no-sources", "--marks", marks, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["marks_rms_m"] < 0.015


def test_feet_and_calibration_share_the_labs_disagreement(lab, capsys):
    arguments = [
        "calibrate",
        "check",
        str(lab / "site.yaml"),
        "--no-sources",
        "--detections",
        str(lab / "boxes"),
        "--json",
    ]
    assert main(arguments) == 0
    causes = json.loads(capsys.readouterr().out)["people_rms_m"]
    assert causes["all"] == pytest.approx(0.185, abs=0.02)
    assert 0.08 < causes["feet"] < 0.15
    assert 0.05 < causes["calibration"] < 0.13


def test_walkers_refine_the_lab_by_a_quarter_on_frames_that_were_not_fitted(shared_data, lab, capsys):
    site, boxes, out = lab / "site.yaml", lab / "boxes", lab / "by-people.yaml"
    before = planes(site)
    arguments = [
        "calibrate",
        "refine",
        str(site),
        "--detections",
        str(boxes),
        "--frames",
        "0:135",
        "--out",
        str(out),
        "--json",
    ]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tested_after_m"] < 0.8 * result["tested_before_m"]
    single, fused = ufes.errors(shared_data, before, shoe_m=0.0)
    refined_single, refined_fused = ufes.errors(shared_data, planes(out), shoe_m=FootModel().shoe_m)
    assert refined_single < 0.75 * single
    assert refined_fused < fused + 0.005
    # And beyond what the daemon's allowance for shoes brings by itself.
    assert refined_single < 0.85 * ufes.errors(shared_data, before, shoe_m=FootModel().shoe_m)[0]
    # Its clocks are in step to 20 ms, and walkers this slow do not tell: nothing is set.
    assert all(camera.clock_offset_ms == 0 for camera in config.load(out).cameras)


def test_pictures_of_the_lab_show_grid_trust_and_verdict(lab, capsys):
    import cv2

    arguments = [
        "calibrate",
        "draw",
        str(lab / "site.yaml"),
        "--detections",
        str(lab / "boxes"),
        "--out",
        str(lab / "out"),
    ]
    assert main(arguments) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == [*(f"{name}.png" for name in ufes.NAMES), "site.png"]
    pictures = [cv2.imread(str(path)) for path in written]
    assert all(picture.shape[1] == 1430 for picture in pictures)
    for picture in pictures[:4]:  # lines of x are red, lines of y blue, feet yellow: all three are there
        blue, green, red = picture[:, :, 0].astype(int), picture[:, :, 1].astype(int), picture[:, :, 2].astype(int)
        assert np.count_nonzero((red > 180) & (blue < 130) & (green < 140)) > 500
        assert np.count_nonzero((blue > 180) & (red < 120)) > 500
        assert np.count_nonzero((red > 200) & (green > 160) & (blue < 120)) > 50

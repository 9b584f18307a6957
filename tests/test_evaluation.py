import contextlib
import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge import cli
from spoton_edge.evaluation import breaks, crops, reid
from spoton_edge.evaluation.rows import Rows, read_mot, read_tracks
from spoton_edge.evaluation.sequences import Scene, all_views, camera_scene, ground_scene, in_every_view, within

pytest.importorskip("trackeval", reason="no trackeval: pip install --no-deps trackeval")
from spoton_edge.evaluation.scores import score

SHARED = Path(__file__).resolve().parents[2] / "shared"


def rows_of(table: np.ndarray) -> Rows:
    """Rows from frame, id, values..."""
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    yes = np.ones(len(table), np.bool_)
    return Rows(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:], yes, ~yes)


def walk(rng: np.random.Generator, frames: int = 60, people: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Truth and a spoiled result, rows of frame, id, x, y."""
    table = [
        (frame, person, 3 + 2 * np.sin(0.1 * frame + person), 2 + 1.5 * np.cos(0.13 * frame + 2 * person))
        for frame in range(1, frames + 1)
        for person in range(1, people + 1)
    ]
    truth = np.array(table)[rng.random(len(table)) > 0.1]
    result = truth[rng.random(len(truth)) > 0.2].copy()
    result[:, 2:] += rng.normal(0, 0.3, (len(result), 2))
    result[:, 1] = result[:, 1] * 7 + np.floor(result[:, 0] / rng.integers(5, 40))
    ghosts = np.column_stack([rng.integers(1, frames, 20), 9000 + np.arange(20), rng.uniform(0, 5, (20, 2))])
    return truth, np.vstack([result, ghosts])


def boxes(table: np.ndarray) -> np.ndarray:
    """Rows of frame, id, xyxy: a box of 40 by 100 px over each place, 60 px a metre."""
    foot = 200 + 60 * table[:, 2:4]
    return np.hstack([table[:, :2], foot - np.array([20, 100]), foot + np.array([20, 0])])


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = SHARED / "tools" / "score_ground.py"
    if not path.is_file():
        pytest.skip("no ../shared/tools: the independent scorer is absent")
    spec = importlib.util.spec_from_file_location("score_ground", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("gate_m", "zero_m"), [(1.0, 1.0), (0.5, 1.0)])
def test_ground_figures_are_those_of_an_independent_scorer(
    reference: ModuleType, seed: int, gate_m: float, zero_m: float
) -> None:
    truth, result = walk(np.random.default_rng(seed))
    theirs = reference.score(truth, result, gate_m, zero_m)
    ours = score(ground_scene(rows_of(truth), rows_of(result), gate_m=gate_m, zero_m=zero_m))
    assert (ours.switches, ours.misses, ours.false_alarms) == (theirs["IDSW"], theirs["FN"], theirs["FP"])
    for mine, key in (("mota", "MOTA"), ("idf1", "IDF1"), ("hota", "HOTA"), ("deta", "DetA"), ("assa", "AssA")):
        assert getattr(ours, mine) == pytest.approx(theirs[key], abs=1e-9), key
    assert ours.mean_distance_m == pytest.approx(theirs["MOTP_m"])


def test_a_place_exactly_on_the_gate_is_a_hit() -> None:
    truth = np.array([(f, 1, 0.1 * f, 0.7) for f in range(20)])
    result = truth + np.array([0, 0, 0, 0.3])
    figures = score(ground_scene(rows_of(truth), rows_of(result), gate_m=0.3, zero_m=0.3))
    assert (figures.mota, figures.idf1) == (1.0, 1.0)


def test_aligned_results_end_with_the_truth() -> None:
    truth = rows_of(np.array([(f, 1, 0.0, 0.0) for f in range(5, 10)]))
    result = rows_of(np.array([(f, 1, 0.0, 0.0) for f in range(20)]))
    assert score(ground_scene(truth, within(result, truth), gate_m=1, zero_m=1)).mota == 1.0
    assert score(ground_scene(truth, result, gate_m=1, zero_m=1)).false_alarms == 15


def official(data: Path, sequence: str, result: Path, folder: Path) -> dict[str, float]:
    """What trackeval itself says, files, distractors and all."""
    import trackeval

    length = 1 + int(read_mot(data / sequence / "gt.txt").frame.max())
    (folder / "gt" / sequence / "gt").mkdir(parents=True)
    (folder / "gt" / sequence / "gt" / "gt.txt").write_text((data / sequence / "gt.txt").read_text())
    (folder / "gt" / sequence / "seqinfo.ini").write_text(f"[Sequence]\nname={sequence}\nseqLength={length}\n")
    (folder / "results" / "ours" / "data").mkdir(parents=True)
    (folder / "results" / "ours" / "data" / f"{sequence}.txt").write_text(result.read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.MotChallenge2DBox(
            {
                "GT_FOLDER": str(folder / "gt"),
                "TRACKERS_FOLDER": str(folder / "results"),
                "SKIP_SPLIT_FOL": True,
                "SEQ_INFO": {sequence: length},
                "PRINT_CONFIG": False,
            }
        )
        evaluator = trackeval.Evaluator(
            {"PRINT_RESULTS": False, "PRINT_CONFIG": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False,
             "PLOT_CURVES": False, "TIME_PROGRESS": False}
        )  # fmt: skip
        metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
                   trackeval.metrics.Identity({"PRINT_CONFIG": False})]  # fmt: skip
        results, _ = evaluator.evaluate([dataset], metrics)
    found = results["MotChallenge2DBox"]["ours"][sequence]["pedestrian"]
    return {
        "hota": float(np.mean(found["HOTA"]["HOTA"])),
        "mota": float(found["CLEAR"]["MOTA"]),
        "idf1": float(found["Identity"]["IDF1"]),
        "switches": int(found["CLEAR"]["IDSW"]),
        "misses": int(found["CLEAR"]["CLR_FN"]),
        "false_alarms": int(found["CLEAR"]["CLR_FP"]),
    }


@pytest.mark.parametrize("sequence", ["MOT17-05"])
def test_box_figures_are_those_that_trackeval_gives_for_the_same_files(
    shared_data: Path, tmp_path: Path, sequence: str
) -> None:
    data = shared_data / "mot17_yolox" / "gt_val_half"
    truth = read_mot(data / sequence / "gt.txt")
    reference = np.loadtxt(shared_data / "mot17_yolox" / "bytetrack_reference" / f"{sequence}.csv", delimiter=",",
                           skiprows=1)  # fmt: skip
    # The validation half is numbered anew from 1.
    half = int(reference[:, 0].max()) - int(truth.frame.max())
    reference = reference[reference[:, 0] > half]
    table = np.column_stack([reference[:, 0] - half, reference[:, 1:4], reference[:, 4:6] - reference[:, 2:4],
                             reference[:, 6], -np.ones((len(reference), 3))])  # fmt: skip
    result = tmp_path / "result.txt"
    np.savetxt(result, table, delimiter=",", fmt="%.4f")
    ours = score(camera_scene(sequence, truth, read_mot(result)))
    theirs = official(data, sequence, result, tmp_path)
    assert truth.distracts.any()
    assert {name: getattr(ours, name) for name in theirs} == pytest.approx(theirs, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_breaks_are_as_many_as_trackeval_counts_switches(seed: int, people: int, frames: int) -> None:
    truth, result = walk(np.random.default_rng(seed), frames + 1, people)
    scene = ground_scene(rows_of(truth), rows_of(result), gate_m=0.7, zero_m=0.7)
    assert len(breaks.history(scene).breaks) == score(scene).switches


def test_a_break_tells_from_whom_the_id_was_taken() -> None:
    truth = np.array([(f, p, 0.0, 5.0 * p) for f in range(10) for p in (1, 2)])
    result = truth.copy()
    late = result[:, 0] >= 6
    result[late, 1] = np.where(result[late, 1] == 1, 2, 9)  # person 1 takes over id 2, person 2 gets id 9
    found = breaks.history(ground_scene(rows_of(truth), rows_of(result), gate_m=1, zero_m=1)).breaks
    assert [(b.frame, b.person, b.before, b.after, b.taken_from) for b in found] == [
        (6, 1, 1, 2, 2),
        (6, 2, 2, 9, None),
    ]


def two_cameras(result_ids: tuple[int, int]) -> list[Scene]:
    """One person in two cameras for ten frames, with an id in each."""
    truth = boxes(np.array([(f, 1, 1.0, 1.0) for f in range(10)]))
    scenes = []
    for camera, identity in zip(("a", "b"), result_ids, strict=True):
        result = truth.copy()
        result[:, 1] = identity
        scenes.append(camera_scene(camera, rows_of(truth), rows_of(result)))
    return scenes


def test_one_id_in_every_view_is_right() -> None:
    scenes = two_cameras((4, 4))
    assert score(all_views(scenes)).idf1 == score(in_every_view(scenes)).idf1 == 1.0


def test_two_ids_for_one_person_are_right_in_one_view_only() -> None:
    scenes = two_cameras((4, 5))
    assert [score(scene).idf1 for scene in scenes] == [1.0, 1.0]  # a single camera sees nothing wrong
    assert score(all_views(scenes)).idf1 == 0.5
    assert score(in_every_view(scenes)).false_alarms == 10


def test_an_id_that_is_two_people_in_two_views_is_right_for_neither() -> None:
    here, there = (
        boxes(np.array([(f, 1, 1.0, 1.0) for f in range(10)])),
        boxes(np.array([(f, 2, 1.0, 1.0) for f in range(10)])),
    )
    one_id = here.copy()
    one_id[:, 1] = 7
    scenes = [camera_scene("a", rows_of(here), rows_of(one_id)), camera_scene("b", rows_of(there), rows_of(one_id))]
    assert score(in_every_view(scenes)).idf1 == 0.0
    assert score(all_views(scenes)).idf1 == 0.5


def test_evaluate_writes_a_table_a_file_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, result = walk(np.random.default_rng(1))
    (tmp_path / "truth").mkdir()
    (tmp_path / "result").mkdir()
    for folder, table in (("truth", truth), ("result", result)):
        np.savetxt(tmp_path / folder / "ground.csv", table, "%d,%d,%.6f,%.6f", header="frame,id,x,y", comments="")
    for camera in ("a", "b"):
        b = boxes(truth)
        b[:, 4:] -= b[:, 2:4]
        np.savetxt(tmp_path / "truth" / f"{camera}.txt", b, "%d,%d,%.3f,%.3f,%.3f,%.3f")
    with (tmp_path / "result" / "views.csv").open("w") as file:
        file.write("frame,camera,id,track_id,x1,y1,x2,y2,score\n")
        for frame, identity, *xyxy in boxes(result):
            for camera in ("a", "b"):
                file.write(f"{frame:.0f},{camera},{identity:.0f},1,{','.join(f'{v:.3f}' for v in xyxy)},0.9\n")
    folders = ["--truth", str(tmp_path / "truth"), "--result", str(tmp_path / "result")]
    assert cli.main(["evaluate", *folders, "--gate-m", "0.5", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["a", "b", "all views", "every view", "ground"]
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    by_name = {figures["name"]: figures for figures in written["scores"]}
    assert by_name["ground"]["gate_m"] == 0.5
    assert by_name["all views"]["truths"] == 2 * by_name["a"]["truths"]
    told = [broken for broken in written["breaks"] if broken["scene"] == "ground"]
    assert len(told) == by_name["ground"]["switches"] > 0
    picture = cv2.imread(str(tmp_path / "out" / "breaks.png"))
    assert picture.std() > 1


def test_single_files_are_known_by_their_columns(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("1,1,0.5,0.5\n2,1,0.5,0.5\n")
    (tmp_path / "c.txt").write_text("1,1,5,5,20,40,0.9,-1,-1,-1\n")
    assert read_tracks(tmp_path / "g.csv").ground is not None
    assert list(read_tracks(tmp_path / "c.txt").boxes) == ["c"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("frame,id,x,y\n1,1,0,nan\n", ":2: 'nan' is not a finite number"),
        ("1,1,0,0\n1,1,5,5\n", "id 1 occurs twice in frame 1"),
        ("1,1,0,0\n2,1,0\n", ":2: has 3 columns"),
        ("1.5,1,0,0\n", "frame 1.5 is not a whole number"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = tmp_path / "ground.csv"
    path.write_text(text)
    assert cli.main(["evaluate", "--truth", str(path), "--result", str(path)]) == 2
    assert complaint in capsys.readouterr().err


def test_boxes_and_ground_are_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.csv").write_text("1,1,0.5,0.5\n")
    (tmp_path / "c.txt").write_text("1,1,5,5,20,40,0.9\n")
    assert cli.main(["evaluate", "--truth", str(tmp_path / "g.csv"), "--result", str(tmp_path / "c.txt")]) == 2
    assert "places on the ground" in capsys.readouterr().err


def test_vectors_that_tell_people_apart_score_full_marks_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    person, camera = np.repeat(np.arange(8), 10), np.tile(np.arange(2), 40)
    centre = np.linalg.qr(rng.normal(size=(64, 8)))[0].T[person]
    good = reid.score("good", _unit(centre + 0.02 * rng.normal(size=centre.shape)), person, camera)
    noise = reid.score("noise", _unit(rng.normal(size=centre.shape)), person, camera)
    assert (good.rank1, good.mean_average_precision, good.threshold_error) == (1.0, 1.0, 0.0)
    assert good.different_mean + 3 * good.different_std < good.threshold < good.same_mean
    assert noise.rank1 < 0.5
    assert noise.equal_error_rate > 0.3
    assert sum(good.same_histogram) == 8 * 5 * 5  # pairs of one person in two cameras


def test_pictures_of_one_camera_do_not_help_where_cameras_are_known() -> None:
    # Everybody looks like himself within a camera, and like somebody else in the other.
    person, camera = np.repeat([0, 1], 4), np.tile([0, 0, 1, 1], 2)
    angle = np.radians([0, 1, 90, 91, 85, 86, 5, 6])
    vectors = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    assert reid.score("x", vectors, person, None).rank1 == 1.0
    assert reid.score("x", vectors, person, camera).rank1 == 0.0


def test_average_precision_is_that_of_the_definition() -> None:
    angles = np.radians([0, 9, 30, 20])
    vectors = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    found = reid.score("x", vectors, np.array([0, 0, 0, 1]), None)
    # From 0: hit, miss, hit; from 9: the same; from 30: miss, hit, hit.
    by_hand = [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2]
    assert found.queries == 3
    assert found.mean_average_precision == pytest.approx(np.mean(by_hand))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def picture(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((96, 32, 3), colour, np.uint8)
    image[::7] //= 2
    cv2.imwrite(str(path), image)


def test_crops_are_found_in_folders_and_by_name(tmp_path: Path) -> None:
    folders = ("p/ann/c1/1.png", "p/ann/c2/1.png", "p/bob/c1/1.png")
    market = ("q/0001_c1s1_01_00.png", "q/0001_c2s1_02_00.png", "q/0002_c1s1_03_00.png", "q/-1_c1s1_00_00.png")
    for name in (*folders, *market, "r/ann/a.png", "r/ann/b.png", "r/bob/a.png"):
        picture(tmp_path / name, (10, 20, 30))
    by_folder, by_name, plain = (crops.find_crops(tmp_path / name) for name in "pqr")
    for found in (by_folder, by_name):
        assert found.person.tolist() == [0, 0, 1]
        assert found.camera is not None
        assert found.camera.tolist() == [0, 1, 0]
    assert plain.camera is None


def test_evaluate_reid_tells_red_from_blue_by_colour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for person, colour in (("red", (20, 20, 200)), ("blue", (200, 20, 20))):
        for number in range(4):
            picture(tmp_path / "crops" / person / f"{number}.png", tuple(c + 5 * number for c in colour))
    out = tmp_path / "out"
    assert cli.main(["evaluate", "reid", str(tmp_path / "crops"), "histogram", "--out", str(out)]) == 0
    assert "8 crops of 2 people" in capsys.readouterr().out
    figures = json.loads((out / "reid.json").read_text())[0]
    assert (figures["rank1"], figures["mean_average_precision"]) == (1.0, 1.0)
    assert figures["same_mean"] > figures["threshold"] > figures["different_mean"]
    assert cv2.imread(str(out / "reid.png")) is not None


@pytest.mark.parametrize("content", ["", "ann/1.png", "loose.png"])
def test_a_folder_without_people_to_tell_apart_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    if content:
        picture(tmp_path / content, (1, 2, 3))
    assert cli.main(["evaluate", "reid", str(tmp_path), "histogram"]) == 2
    assert str(tmp_path) in capsys.readouterr().err

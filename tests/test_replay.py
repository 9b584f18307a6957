import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spoton_edge import cli, config, recording, replay
from spoton_edge.types import Tracklets, TrackState
from tests import mot17
from tests.recorded import write_site, write_world
from tests.world import Walker, World, appearances, room


@pytest.fixture(scope="module")
def world() -> World:
    """Three people on their ways through a room with three cameras, for 15 s."""
    looks = appearances(3, 16, np.random.default_rng(5))
    ways = [
        [(0, 1, 1), (15, 9, 2)],
        [(0, 9, 6), (7, 5, 5), (15, 1, 6)],
        [(2, 2, 7), (9, 2, 4), (15, 4, 1)],
    ]
    return World(room(3), [Walker(np.array(way, float), look) for way, look in zip(ways, looks, strict=True)], 15.0)


@pytest.fixture(scope="module")
def site(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(world, tmp_path_factory.mktemp("site") / "site.yaml")


@pytest.fixture(scope="module")
def recorded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(world, tmp_path_factory.mktemp("recorded") / "detections", embeddings=True)


def run(site: Path, detections: Path, out: Path, *more: str) -> int:
    return cli.main(["replay", str(site), "--detections", str(detections), "--out", str(out), *more])


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_replay_finds_everybody_where_he_is(site: Path, recorded: Path, tmp_path: Path) -> None:
    assert run(site, recorded, tmp_path) == 0
    truth = {
        (row["frame"], row["id"]): (float(row["x"]), float(row["y"])) for row in table(recorded.parent / "truth.csv")
    }
    rows = table(tmp_path / "ground.csv")
    assert list(rows[0]) == ["frame", "id", "x", "y"]
    assert {row["id"] for row in rows} == {"1", "2", "3"}
    off = [
        min(
            np.hypot(float(row["x"]) - x, float(row["y"]) - y)
            for (frame, _), (x, y) in truth.items()
            if frame == row["frame"]
        )
        for row in rows
    ]
    assert np.median(off) < 0.2
    assert len(rows) > 0.9 * len(truth)


def test_the_same_recording_gives_the_same_bytes(site: Path, recorded: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run(site, recorded, tmp_path / name, "--frame-rate", "10") == 0
    for file in ("ground.csv", "views.csv"):
        content = (tmp_path / "one" / file).read_bytes()
        assert content == (tmp_path / "two" / file).read_bytes()
        assert content.count(b"\n") > 100


def test_the_form_of_the_files_changes_nothing(site: Path, recorded: Path, tmp_path: Path) -> None:
    plain, text = tmp_path / "npz", tmp_path / "txt"
    plain.mkdir()
    text.mkdir()
    for path in sorted(recorded.glob("*.npz")):
        with np.load(path) as file:
            frame, score = file["frame"], file["score"]
            corner = np.round(file["xyxy"][:, :2].astype(np.float64), 1)
            size = np.round(file["xyxy"][:, 2:].astype(np.float64) - corner, 1)
        np.savez(
            plain / path.name, frame=frame, xyxy=np.hstack([corner, corner + size]).astype(np.float32), score=score
        )
        lines = np.column_stack([frame, -np.ones(len(frame)), corner, size, score])
        # The order of frames in a file is no matter either, as long as a frame's own lines keep theirs.
        lines = lines[np.argsort(-frame, kind="stable")]
        np.savetxt(text / f"{path.stem}.txt", lines, "%d,%d,%.1f,%.1f,%.1f,%.1f,%.9f")
    for folder in (plain, text):
        assert run(site, folder, tmp_path / f"out-{folder.name}", "--frame-rate", "10") == 0
    for file in ("ground.csv", "views.csv"):
        assert (tmp_path / "out-npz" / file).read_bytes() == (tmp_path / "out-txt" / file).read_bytes()


def test_frame_numbers_are_kept_as_given(world: World, site: Path, tmp_path: Path) -> None:
    late = write_world(world, tmp_path / "late", first=100_000)
    assert run(site, late, tmp_path / "out", "--frame-rate", "10") == 0
    early = write_world(world, tmp_path / "early")
    assert run(site, early, tmp_path / "out0", "--frame-rate", "10") == 0
    first, second = (
        [{**row, "frame": int(row["frame"])} for row in table(tmp_path / out / "views.csv")] for out in ("out0", "out")
    )
    assert [{**row, "frame": row["frame"] + 100_000} for row in first] == second


def test_a_frame_that_no_file_mentions_is_a_step_in_which_nobody_is_found(
    world: World, site: Path, recorded: Path
) -> None:
    found = recording.read(recorded, ["c0", "c1", "c2"])
    cameras = []
    for camera in found.cameras:
        keep = (camera.frame < 60) | (camera.frame >= 64)
        cameras.append(recording.CameraDetections(camera.frame[keep], camera.xyxy[keep], camera.score[keep]))
    job = replay.build(config.load(site), recording.Recording(cameras), 10.0)
    frames = {}
    for frame, tracklets, tracks, _ in job.steps():
        frames[frame] = (len(tracklets), set(tracks.global_id[tracks.state != TrackState.LOST].tolist()))
    assert list(frames) == list(range(150))
    assert [frames[frame][0] for frame in range(60, 64)] == [0, 0, 0, 0]
    assert frames[61][1] == frames[59][1]  # they coast on


def test_views_are_boxes_that_were_found_in_that_frame(site: Path, recorded: Path, tmp_path: Path) -> None:
    assert run(site, recorded, tmp_path) == 0
    found = recording.read(recorded, ["c0", "c1", "c2"])
    there = {
        f"c{number}": set(zip(camera.frame.tolist(), (f"{s:.6f}" for s in camera.score.tolist()), strict=True))
        for number, camera in enumerate(found.cameras)
    }
    rows = table(tmp_path / "views.csv")
    assert list(rows[0]) == ["frame", "camera", "id", "track_id", "x1", "y1", "x2", "y2", "score"]
    assert all((int(row["frame"]), row["score"]) in there[row["camera"]] for row in rows)
    keys = [(row["frame"], row["camera"], row["id"]) for row in rows]
    assert len(set(keys)) == len(keys)


def test_people_are_forgotten_by_capture_time_and_not_by_the_clock(tmp_path: Path) -> None:
    # One person, away for frames 40 to 99. At 10 frames a second that is 6 s, at 0.4 a second 150 s: too long.
    away = [(0.0, 5.0, 4.0), (20.0, 5.0, 4.0)]
    walker = Walker(np.array(away), appearances(1, 8, np.random.default_rng(0))[0], hidden_s=((4.0, 10.0),))
    world = World(room(2), [walker], 20.0, false_alarms=0.0, miss=0.0)
    site = write_site(world, tmp_path / "site.yaml", identity={"forget_s": 60})
    folder = write_world(world, tmp_path / "detections")
    ids = {}
    for rate in ("10", "0.4"):
        assert run(site, folder, tmp_path / rate, "--frame-rate", rate) == 0
        ids[rate] = {row["id"] for row in table(tmp_path / rate / "ground.csv")}
    assert ids == {"10": {"1"}, "0.4": {"1", "2"}}


def test_recorded_vectors_reach_the_tracklets_that_are_wanted(site: Path, recorded: Path) -> None:
    found = recording.read(recorded, ["c0", "c1", "c2"])
    job = replay.build(config.load(site), found, 10.0)
    given_vectors = 0
    for frame, tracklets, _, _ in job.steps():
        for row in np.flatnonzero(tracklets.has_embedding):
            camera = found.cameras[tracklets.camera[row]]
            assert camera.embedding is not None
            mine = (camera.frame == frame) & (camera.score == tracklets.score[row])
            assert np.array_equal(camera.embedding[mine][0], tracklets.embedding[row])
            given_vectors += 1
    assert given_vectors > 30


def test_what_a_camera_places_beside_the_others_is_learned_and_put_right(
    world: World, recorded: Path, tmp_path: Path
) -> None:
    cameras = list(world.cameras)
    shift = np.eye(4)
    shift[0, 3] = 0.24
    cameras[0] = replace(cameras[0], projection=cameras[0].projection @ shift)
    path = write_site(replace(world, cameras=cameras), tmp_path / "site.yaml")
    job = replay.build(config.load(path), recording.read(recorded, ["c0", "c1", "c2"]), 10.0)
    box = Tracklets.tracked(
        camera=np.zeros(1, np.int16),
        track_id=np.ones(1, np.int64),
        state=np.zeros(1, np.uint8),
        xyxy=np.array([[600, 200, 700, 500]], np.float32),
        score=np.ones(1, np.float32),
        captured_ns=np.zeros(1, np.int64),
    )
    before = job.ground.project(box).ground_xy[0]
    for _ in job.steps():
        pass
    moved = job.ground.project(box).ground_xy[0] - before
    assert 0.08 < moved[0] < 0.24  # two thirds of it: only the differences between three cameras can be known
    assert abs(moved[1]) < 0.06


def test_without_recorded_vectors_there_is_no_appearance(world: World, site: Path, tmp_path: Path) -> None:
    found = recording.read(write_world(world, tmp_path / "plain"), ["c0", "c1", "c2"])
    for _, tracklets, _, _ in replay.build(config.load(site), found, 10.0).steps():
        assert not tracklets.has_embedding.any()


@pytest.mark.parametrize(("sequence", "frames"), [("05", 250), ("10", 100)])
def test_boxes_and_track_ids_are_those_of_the_published_tracker(
    shared_data: Path, tmp_path: Path, sequence: str, frames: int
) -> None:
    detections = tmp_path / "detections"
    detections.mkdir()
    source = shared_data / "mot17_yolox" / "det_yolox_x" / f"MOT17-{sequence}.txt"
    lines = [line for line in source.read_text().splitlines() if int(line.split(",")[0]) <= frames]
    (detections / "street.txt").write_text("\n".join(lines))
    site = tmp_path / "site.yaml"
    site.write_text("site: mot17\ncameras:\n  - {name: street, source: unused.mp4}\n")
    assert run(site, detections, tmp_path, "--frame-rate", str(mot17.FRAME_RATE)) == 0
    published = {
        (frame, int(row[0])): row[1:5]
        for frame, rows in enumerate(mot17.published(shared_data, sequence), 1)
        for row in rows
        if frame <= frames
    }
    rows = table(tmp_path / "views.csv")
    off = [
        np.abs(
            published[int(row["frame"]), int(row["track_id"])] - [float(row[k]) for k in ("x1", "y1", "x2", "y2")]
        ).max()
        for row in rows
    ]
    assert max(off) < 0.01
    assert len(rows) > 0.5 * len(published)  # the rest is of people who are not yet sure to be anybody
    assert not table(tmp_path / "ground.csv")  # without a calibration nobody has a place


def test_people_of_a_room_with_four_cameras_keep_their_ids(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py", reason="no h5py: the room's calibration cannot be read")
    pytest.importorskip("trackeval", reason="no trackeval: pip install --no-deps trackeval")
    from tests import cmc

    site = cmc.write_site(shared_data, tmp_path / "site.yaml")
    folder = cmc.write_recording(shared_data, "CMC1", tmp_path / "CMC1")
    assert run(site, folder, tmp_path / "out") == 0
    truth, result = cmc.truth(shared_data, "CMC1"), tmp_path / "out" / "ground.csv"
    scoring = ["evaluate", "--truth", str(truth), "--result", str(result), "--align", "--out", str(tmp_path)]
    assert cli.main(scoring) == 0
    (scores,) = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert (scores["people"], scores["ids"], scores["switches"]) == (3, 3, 0)
    assert scores["mota"] >= 0.985
    assert scores["idf1"] >= 0.99


def test_explain_tells_the_life_of_a_person(
    site: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, recorded, tmp_path, "--explain", "1", "--explain", "3") == 0
    out = capsys.readouterr().out
    assert out.startswith("person 1\n")
    one, three = out.split("person 3\n")
    assert "gate overlap" in out
    assert "nats to the runner-up" in out
    for life in (one, three):
        assert life.count("appeared in c") == 1
        assert {name for name in ("c0", "c1", "c2") if name in life} == {"c0", "c1", "c2"}
        assert life.count("seen by c") + life.count("handed over") + life.count("came back") >= 2


def test_explaining_nobody_is_a_mistake(
    site: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(site, recorded, tmp_path, "--explain", "99") == 2
    assert "nobody had that id" in capsys.readouterr().err


def test_a_run_that_fails_leaves_earlier_files_alone(site: Path, recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "ground.csv").write_text("frame,id,x,y\n")
    broken = tmp_path / "broken"
    broken.mkdir()
    assert run(site, broken, out) == 2
    assert sorted(path.name for path in out.iterdir()) == ["ground.csv"]


def test_a_folder_that_cannot_be_written_is_a_mistake(
    site: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(site, recorded, tmp_path / "file" / "out") == 2
    assert "--out" in capsys.readouterr().err


def test_a_picture_of_unknown_size_is_guessed_and_said(
    world: World, recorded: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = write_site(world, tmp_path / "site.yaml")
    site.write_text("\n".join(line for line in _without_sizes(site.read_text())))
    assert run(site, recorded, tmp_path / "out") == 0
    assert "cameras[0].ground.image_size" in caplog.text
    assert table(tmp_path / "out" / "ground.csv")


def _without_sizes(text: str) -> list[str]:
    import yaml

    content = yaml.safe_load(text)
    for camera in content["cameras"]:
        del camera["ground"]["image_size"]
    return [yaml.safe_dump(content)]

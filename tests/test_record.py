import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge import cli, record, recording
from spoton_edge.control import ControlServer
from spoton_edge.errors import UsageError
from spoton_edge.recorder import FORGET_S, Recorder, decode
from spoton_edge.types import Detections, FrameBatch, Tracklets
from tests.world import OracleTracker, Seen, Walker, World, appearances, detections, room


@pytest.fixture(scope="module")
def steps() -> list[Seen]:
    looks = appearances(3, 8, np.random.default_rng(1))
    ways = [[(0, 1 + k, 1), (6, 8 - k, 7)] for k in range(3)]
    walkers = [Walker(np.array(way, float), look) for way, look in zip(ways, looks, strict=True)]
    return list(World(room(2), walkers, 6.0).steps())


def fed(seen: Seen, tracker: OracleTracker) -> tuple[FrameBatch, Detections, Tracklets]:
    batch, found = detections(seen)
    return batch, found, tracker.update(seen)[0]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    st.lists(st.floats(0.02, 0.5), min_size=2, max_size=60),
    st.floats(0, 0.3),
    st.lists(st.tuples(st.integers(0, 59), st.floats(2, 60)), max_size=3),
)
def test_frame_numbers_rise_and_stay_near_the_time(
    gaps: list[float], jitter: float, holes: list[tuple[int, float]]
) -> None:
    period = float(np.median(gaps))
    spaced = np.array([period * (1 + jitter * (gap - 0.25)) for gap in gaps])
    for place, length in holes:
        if place < len(spaced):
            spaced[place] += length * period
    times = np.concatenate([[0], np.cumsum(spaced)])
    rate, numbers = record.number_frames((times * 1e9).astype(np.int64))
    assert numbers[0] == 1
    assert (np.diff(numbers) >= 1).all()
    late = times * rate - (numbers - 1)
    assert late.max() <= 1.5 + 1e-6


def test_frames_that_come_evenly_are_numbered_without_a_hole() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(500) / 15 + rng.uniform(-0.02, 0.02, 500)
    rate, numbers = record.number_frames((np.sort(times) * 1e9).astype(np.int64))
    assert numbers.tolist() == list(range(1, 501))
    assert rate == pytest.approx(15, rel=0.01)


def test_a_pause_of_all_cameras_is_a_hole_in_the_numbers() -> None:
    times = np.concatenate([np.arange(50), np.arange(150, 200)]) / 10
    rate, numbers = record.number_frames((times * 1e9).astype(np.int64))
    assert rate == pytest.approx(10)
    assert numbers.tolist() == [*range(1, 51), *range(151, 201)]


def test_nothing_is_kept_while_nobody_records(steps: list[Seen]) -> None:
    clock, tracker = Clock(), OracleTracker()
    recorder = Recorder(clock=clock)
    for seen in steps[:10]:
        recorder.take(*fed(seen, tracker))
    assert recorder.since(0, False)["lost"] == 10
    first = recorder.since(None, False)["next"]
    recorder.take(*fed(steps[10], tracker))
    assert len(decode(recorder.since(first, False)["number"], "<i8")) == 1
    clock.now += FORGET_S + 1
    recorder.take(*fed(steps[11], tracker))
    assert recorder.since(first, False)["lost"] == 2  # the one that was kept is gone as well


def test_what_is_kept_is_bounded_and_what_is_lost_is_counted(steps: list[Seen]) -> None:
    recorder, tracker = Recorder(clock=Clock(), kept_rows=20), OracleTracker()
    after = recorder.since(None, False)["next"]
    for seen in steps:
        recorder.take(*fed(seen, tracker))
    reply = recorder.since(after, False)
    assert len(decode(reply["camera"], "<i2")) <= 20
    assert reply["lost"] + len(decode(reply["number"], "<i8")) == len(steps)


def test_vectors_are_kept_only_for_who_asks_for_them(steps: list[Seen]) -> None:
    recorder, tracker = Recorder(clock=Clock()), OracleTracker()
    after = recorder.since(None, False)["next"]
    recorder.take(*fed(steps[0], tracker))
    assert len(decode(recorder.since(after, True)["embedding"], "<f4")) == 0
    recorder.take(*fed(steps[1], tracker))
    assert len(decode(recorder.since(after, True)["embedding"], "<f4")) > 0
    assert len(decode(recorder.since(after, False)["embedding"], "<f4")) == 0


@pytest.mark.parametrize("embeddings", [False, True])
def test_a_recording_is_what_the_detector_found(steps: list[Seen], tmp_path: Path, embeddings: bool) -> None:
    recorder, tracker = Recorder(), OracleTracker()
    asked, turn = threading.Event(), threading.Lock()  # as the daemon's loop, which answers between two batches

    def answer(after: int | None, embeddings: bool) -> dict[str, object]:
        cameras = [{"name": f"c{camera}", "image_size": [1280, 720]} for camera in range(2)]
        with turn:
            reply = {"site": "world", "cameras": cameras, **recorder.since(after, embeddings)}
        asked.set()
        return reply

    def pipeline() -> None:
        asked.wait(30)
        for seen in steps:
            with turn:
                recorder.take(*fed(seen, tracker))
            time.sleep(0.01)

    daemon = threading.Thread(target=pipeline)
    daemon.start()
    with ControlServer(f"ipc://{tmp_path}/control", {"record": answer}):
        arguments = ["record", "--control", f"ipc://{tmp_path}/control", "--out", str(tmp_path / "out")]
        assert cli.main([*arguments, *(["--embeddings"] if embeddings else []), "--seconds", "2.5"]) == 0
    daemon.join()
    found = recording.read(tmp_path / "out", ["c0", "c1"])
    assert found.image_sizes == {"c0": (1280, 720), "c1": (1280, 720)}
    assert found.frame_rate == pytest.approx(10)
    for camera in range(2):
        got = found.cameras[camera]
        assert np.array_equal(got.xyxy, np.concatenate([seen.boxes[camera] for seen in steps]))
        assert np.array_equal(got.score, np.concatenate([seen.scores[camera] for seen in steps]))
        assert got.frame.tolist() == [1 + seen.frame_id for seen in steps for _ in seen.scores[camera]]
        assert (got.embedding is not None) == embeddings
        if got.embedding is not None:
            clear = np.concatenate([seen.clear[camera] for seen in steps])
            looks = np.concatenate([seen.looks[camera] for seen in steps])
            assert np.array_equal(got.embedding.any(axis=1), clear)
            assert np.allclose(got.embedding[clear], looks[clear], atol=1e-6)


def test_vectors_of_another_network_are_not_mixed_with_those_of_before(steps: list[Seen], tmp_path: Path) -> None:
    recorder, tracker = Recorder(clock=Clock()), OracleTracker()
    after, got = recorder.since(None, True)["next"], record.Record(["c0", "c1"])
    for number, seen in enumerate(steps[:20]):
        if number == 5:  # the next five are not fetched before the other network comes
            got.add(recorder.since(after, True))
        if number == 10:
            recorder.forget_vectors()
        batch, found, tracklets = fed(seen, tracker)
        width = 4 if number < 10 else 7
        recorder.take(batch, found, replace(tracklets, embedding=tracklets.embedding[:, :width]))
    got.add(recorder.since(after + 5, True))
    got.write(tmp_path, {})
    for camera in recording.read(tmp_path, ["c0", "c1"]).cameras:
        assert camera.embedding is not None
        assert camera.embedding.shape[1] == 7
        assert not camera.embedding[camera.frame <= 10].any()
        assert camera.embedding[camera.frame > 10].any()


@pytest.mark.parametrize("end", [KeyboardInterrupt(), UsageError("no answer: is the daemon running?")])
def test_what_was_fetched_is_written_at_ctrl_c_and_when_the_daemon_ends(
    steps: list[Seen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    recorder, tracker, asked = Recorder(), OracleTracker(), []

    def ask(endpoint: str, verb: str, timeout_s: float, after: int | None, embeddings: bool) -> dict[str, object]:
        asked.append(verb)
        if len(asked) == 3:
            raise end
        reply = {"site": "world", "cameras": [{"name": f"c{c}", "image_size": None} for c in range(2)]}
        if after is not None:
            for seen in steps[:20]:
                recorder.take(*fed(seen, tracker))
        return reply | recorder.since(after, embeddings)

    monkeypatch.setattr(record.control, "ask", ask)
    monkeypatch.setattr(record, "POLL_S", 0.01)
    found, rate = record.run("ipc:///x", tmp_path / "out", seconds=None, embeddings=False)
    assert (found.batches, rate) == (20, pytest.approx(10))
    assert recording.read(tmp_path / "out", ["c0", "c1"]).last == 20


def test_a_folder_with_files_in_it_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.npz").write_text("mine")
    assert cli.main(["record", "--control", "ipc:///nowhere", "--out", str(tmp_path)]) == 2
    assert "empty or a new folder" in capsys.readouterr().err
    assert (tmp_path / "a.npz").read_text() == "mine"


def test_recording_where_no_daemon_runs_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", "--control", f"ipc://{tmp_path}/none", "--out", str(tmp_path / "out")]) == 2
    assert "no daemon answers" in capsys.readouterr().err

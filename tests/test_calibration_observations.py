"""Boxes and marks are read from every layout that users have, and what cannot be read is told by file and line."""

import json
import threading
import time

import numpy as np
import pytest

from spoton_edge.calibration.observations import Boxes, hear_boxes, read_boxes, read_marks
from spoton_edge.errors import UsageError
from spoton_edge.publisher import Publisher
from spoton_edge.recording import CameraDetections, write
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, people

BOXES = np.array([[10.0, 20, 30, 90], [50, 25, 70, 95], [12, 21, 32, 91]])
FRAMES = [0, 0, 1]


def test_a_table_with_a_header_motchallenge_and_arrays_are_the_same_boxes(tmp_path):
    named = ["frame,x1,y1,x2,y2", *(",".join(map(str, (f, *b))) for f, b in zip(FRAMES, BOXES, strict=True))]
    (tmp_path / "c1.csv").write_text("\n".join(named))
    mot = [f"{f + 1},-1,{b[0]},{b[1]},{b[2] - b[0]},{b[3] - b[1]},0.9" for f, b in zip(FRAMES, BOXES, strict=True)]
    (tmp_path / "c2.txt").write_text("\n".join(mot))
    scores = np.column_stack([BOXES, [0.9, 0.8, 0.7]])
    np.savez(tmp_path / "Cam_3.npz", **{"0": scores[:2], "1": scores[2:], "2": np.zeros(0)})
    found = read_boxes(tmp_path, ["c1", "c2", "cam3", "absent"], rate_hz=5.0)
    assert set(found) == {"c1", "c2", "cam3"}
    for boxes in found.values():
        assert np.allclose(boxes.xyxy, BOXES)
        assert np.allclose(boxes.time_s, [0, 0, 0.2])


def test_a_recording_of_messages_gives_each_camera_its_own_capture_times(tmp_path):
    def message(time: float, box: list[float]) -> str:
        views = [
            {"camera": "a", "track_id": 1, "box": box, "score": 0.9},
            {"camera": "b", "track_id": 4, "box": box, "score": 1},
        ]
        return json.dumps(
            {"v": 1, "kind": "tracks", "captured": {"a": time, "b": time + 0.01}, "tracks": [{"views": views}]}
        )

    lines = [json.dumps({"v": 1, "kind": "status"}), message(1.0, [1, 2, 3, 4]), message(1.1, [2, 3, 4, 5])]
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    found = read_boxes(tmp_path / "run.jsonl", ["a", "b"])
    assert np.allclose(found["a"].time_s, [1.0, 1.1])
    assert np.allclose(found["b"].time_s, [1.01, 1.11])
    assert np.allclose(found["b"].xyxy, [[1, 2, 3, 4], [2, 3, 4, 5]])


def test_what_record_has_made_gives_the_people_that_were_seen_beyond_doubt(tmp_path):
    camera = CameraDetections(np.array(FRAMES), BOXES.astype(np.float32), np.array([0.9, 0.2, 0.7], np.float32))
    write(tmp_path, {"a": camera, "b": camera}, {"frame_rate": 5.0})
    found = read_boxes(tmp_path, ["a", "b"], rate_hz=99)
    assert np.allclose(found["a"].xyxy, BOXES[[0, 2]])
    assert np.allclose(found["b"].time_s, [0, 0.2])


def test_a_running_daemon_is_listened_to(tmp_path):
    endpoint = f"ipc://{tmp_path}/tracks"
    publisher = Publisher(encoder(), [endpoint], snapshot=f"{endpoint}-snapshot")
    heard: list[dict[str, Boxes]] = []
    listener = threading.Thread(target=lambda: heard.append(hear_boxes(endpoint, ["c1", "c2"], 2.0)))
    listener.start()
    try:
        while listener.is_alive():
            publisher.publish(encoder().tracks(people(2, 2), CAMERA_NUMBERS, CAPTURED_NS, 1.0))
            time.sleep(0.02)
    finally:
        listener.join()
        publisher.close()
    assert set(heard[0]) == {"c1", "c2"}
    assert all(boxes.xyxy.shape == (2, 4) for boxes in heard[0].values())
    with pytest.raises(UsageError, match="nothing heard from"):
        hear_boxes(endpoint, ["c1"], 0.1)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("run.jsonl", "{\n", "run.jsonl:1: is no message"),
        ("run.jsonl", '{"kind": "tracks"}\n', "run.jsonl:1: is no message"),
        ("run.jsonl", '{"kind": "status"}\n', "publish.boxes must be true"),
        ("c1.csv", "frame,x1,y1,x2,y2\n1,2,three,4,5\n", "c1.csv: is no table of boxes"),
        ("other.csv", "frame,x1,y1,x2,y2\n", "no c1.csv, .txt or .npz in it"),
    ],
)
def test_boxes_that_cannot_be_read_are_told_in_one_line(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_boxes(tmp_path / name if name.endswith("jsonl") else tmp_path, ["c1"])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_marks_are_taken_of_the_sites_cameras_only(tmp_path):
    path = tmp_path / "marks.csv"
    path.write_text("mark,camera,u,v\nA,c1,10,20\nA,c2,30,40\nA,elsewhere,1,2\n")
    assert read_marks(path, ["c1", "c2"]) == [("A", "c1", 10, 20), ("A", "c2", 30, 40)]
    path.write_text("mark,camera,u,v\nA,c1,10,twenty\n")
    with pytest.raises(UsageError, match=r"marks\.csv:2: needs the columns"):
        read_marks(path, ["c1"])

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spoton_edge import recording
from spoton_edge.errors import UsageError
from spoton_edge.recording import CameraDetections

BOX = [10.0, 20.0, 50.0, 120.0]


def npz(folder: Path, name: str = "a", **columns: object) -> Path:
    folder.mkdir(exist_ok=True)
    rows = {
        "frame": np.array([1, 2]),
        "xyxy": np.array([BOX, BOX], np.float32),
        "score": np.array([0.9, 0.8], np.float32),
    }
    rows.update({key: np.asarray(value) for key, value in columns.items() if value is not None})
    for key, value in columns.items():
        if value is None:
            del rows[key]
    np.savez(folder / f"{name}.npz", **rows)
    return folder


def complaint(folder: Path, *cameras: str) -> str:
    with pytest.raises(UsageError) as caught:
        recording.read(folder, cameras or ("a",))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    frame=arrays.arrays(np.int64, st.integers(0, 30), elements=st.integers(0, 1 << 40)),
    dimension=st.integers(0, 4),
    seed=st.integers(0, 1 << 32),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, frame: np.ndarray, dimension: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 1000, (len(frame), 2))
    xyxy = np.hstack([corner, corner + rng.uniform(0, 200, (len(frame), 2))]).astype(np.float32)
    score = rng.random(len(frame)).astype(np.float32)
    vectors = rng.normal(size=(len(frame), dimension)).astype(np.float32) if dimension else None
    recording.write(folder, {"a": CameraDetections(frame, xyxy, score, vectors)}, {"frame_rate": 12.5})
    found = recording.read(folder, ["a"])
    order = np.argsort(frame, kind="stable")
    (camera,) = found.cameras
    assert found.frame_rate == 12.5
    assert np.array_equal(camera.frame, frame[order])
    assert np.array_equal(camera.xyxy, xyxy[order])
    assert np.array_equal(camera.score, score[order])
    assert (camera.embedding is None) == (dimension == 0)
    if camera.embedding is not None and len(frame):
        assert np.allclose(np.linalg.norm(camera.embedding, axis=1), 1, atol=1e-5)
    assert (found.first, found.last) == ((int(frame.min()), int(frame.max())) if len(frame) else (0, -1))


def test_motchallenge_lines_are_boxes_with_scores(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("3,-1,10,20,40,100,0.9,-1,-1,-1\n1,-1,10.5,20,40,100,0.5,-1,-1,-1\n")
    (camera,) = recording.read(tmp_path, ["a"]).cameras
    assert camera.frame.tolist() == [1, 3]
    assert camera.xyxy.tolist() == [[10.5, 20, 50.5, 120], [10, 20, 50, 120]]
    assert camera.score.tolist() == pytest.approx([0.5, 0.9])
    assert camera.embedding is None


def test_an_empty_file_is_a_camera_that_saw_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (camera,) = recording.read(tmp_path, ["a"]).cameras
    assert camera.xyxy.shape == (0, 4)


def test_a_camera_without_a_file_is_named(tmp_path: Path) -> None:
    assert "camera b; add b.npz or b.txt" in complaint(npz(tmp_path), "a", "b")


def test_a_file_without_a_camera_is_named(tmp_path: Path) -> None:
    npz(tmp_path)
    assert str(npz(tmp_path, "door") / "door.npz") in complaint(tmp_path)


def test_a_camera_with_two_files_is_named(tmp_path: Path) -> None:
    (npz(tmp_path) / "a.txt").write_text("1,-1,1,1,5,5,0.5\n")
    assert "a.npz as well" in complaint(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no such folder" in complaint(tmp_path / "gone")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"score": None}, "has no array score"),
        ({"xyxy": [[1.0, 2.0], [3.0, 4.0]]}, "xyxy is float64 (2, 2)"),
        ({"score": [0.5]}, "score has shape (1,), frame has 2 rows"),
        ({"frame": [1.5, 2]}, "row 0: frame 1.5 is not a whole number"),
        ({"frame": [1, -2]}, "row 1: frame -2 is not a whole number from 0"),
        ({"xyxy": [BOX, [1, 2, np.nan, 4]]}, "row 1: the box"),
        ({"xyxy": [BOX, [9, 2, 3, 4]]}, "ends before it begins"),
        ({"score": [0.5, np.inf]}, "row 1: score inf is not finite"),
        ({"frame": ["1", "2"]}, "frame is <U1"),
        ({"embedding": [[1], [2]]}, "embedding is int64"),
    ],
)
def test_what_cannot_be_a_detection_is_named_with_its_row(
    tmp_path: Path, columns: dict[str, object], text: str
) -> None:
    assert text in complaint(npz(tmp_path, **columns))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,-1,1,1,5,5,0.5\n2,-1,1,1,5,x,0.5\n", "a.txt:2: 'x' is not a finite number"),
        ("1,-1,1,1,5\n", "a.txt:1: has 5 columns, wants 7"),
        ("1,-1,1,1,5,5,0.5\n2,-1,1,1,-5,5,0.5\n", "line 2: the box"),
        ("\x00\xff", "a.txt"),
    ],
)
def test_a_line_that_cannot_be_a_detection_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="latin-1")
    assert wanted in complaint(tmp_path)


def test_a_damaged_archive_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not really")
    assert "is not an .npz file" in complaint(tmp_path)


def test_objects_in_an_archive_are_not_unpickled(tmp_path: Path) -> None:
    npz(tmp_path, frame=np.array([1, {}], object))
    assert "is not an .npz file of numbers" in complaint(tmp_path)


def test_embeddings_of_two_lengths_are_refused(tmp_path: Path) -> None:
    npz(tmp_path, embedding=np.ones((2, 3), np.float32))
    npz(tmp_path, "b", embedding=np.ones((2, 4), np.float32))
    assert "a.npz 3, b.npz 4" in complaint(tmp_path, "a", "b")


def test_a_vector_that_is_zero_or_not_finite_is_no_appearance(tmp_path: Path) -> None:
    npz(tmp_path, embedding=np.array([[0, 0], [np.nan, 1]], np.float32))
    (camera,) = recording.read(tmp_path, ["a"]).cameras
    assert camera.embedding is not None
    assert not camera.embedding.any()


@pytest.mark.parametrize(
    "text", ['{"frame_rate": 0}', '{"frame_rate": "fast"}', "[1]", "{", '{"image_sizes": {"a": [1]}}']
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (npz(tmp_path) / recording.ABOUT).write_text(text)
    assert recording.ABOUT in complaint(tmp_path)


@given(st.integers(0, 1 << 32), st.integers(1, 12))
def test_a_tracklet_is_traced_to_its_detection_even_among_equal_scores(seed: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    corner = np.column_stack([np.arange(people) * 100.0, rng.uniform(0, 500, people)])
    boxes = np.hstack([corner, corner + np.array([60, 160])]).astype(np.float32)
    scores = rng.choice(np.array([0.5, 0.75, 0.9], np.float32), people)
    order = rng.permutation(people)
    moved = (boxes[order] + rng.uniform(-15, 15, (people, 4))).astype(np.float32)
    assert recording.detection_of(moved, scores[order], boxes, scores).tolist() == order.tolist()
    assert recording.detection_of(moved, scores[order] + np.float32(1), boxes, scores).tolist() == [-1] * people

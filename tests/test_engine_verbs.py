"""`spoton-edge engines` and `models compare` as a person types them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from spoton_edge.cli import main
from spoton_edge.engine import driver
from spoton_edge.engine.onnxruntime import OnnxRuntimeEngine
from spoton_edge.errors import ExitCode, UsageError
from spoton_edge.model_comparison import Side, on_people, read_truth
from spoton_edge.pictures import recorded
from tests.footage import number_in, write_clip

needs_rtx = pytest.mark.usefixtures("tensorrt_rtx")
THERE = ["--for", "8.9", "--gpu", "NVIDIA GeForce RTX 4060", "--driver", "13.0"]


@pytest.fixture
def site(tmp_path: Path, shared_models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a site file of so many cameras on one clip of the shared footage."""
    monkeypatch.setattr(driver, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so")

    def write(cameras: int, size: int, clip: Path) -> Path:
        rows = "".join(f"  - {{name: c{number}, source: {clip}}}\n" for number in range(cameras))
        path = tmp_path / "site.yaml"
        path.write_text(
            f"site: verbs\ncameras:\n{rows}"
            f"detector: {{model: {shared_models / 'yolox_nano_dyn_bhw.onnx'}, input: [{size}, {size}]}}\n"
            f"reid: {{model: {shared_models / 'osnet_x0_25_msmt17_dynbatch.onnx'}, crops_per_batch: 4}}\n"
        )
        return path

    return write


@needs_rtx
def test_engines_are_built_once_listed_and_pruned(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(3))
    path, cache = str(site(2, 96, clip)), ["--cache", str(tmp_path / "cache")]
    assert main(["engines", "build", path, *cache, *THERE]) == 0
    built = capsys.readouterr()
    assert len(built.out.splitlines()) == 2
    assert built.err.count("100 %  built") == 2
    assert "99 %" in built.err
    assert main(["engines", "build", path, *cache, *THERE]) == 0
    again = capsys.readouterr()
    assert again.out == built.out
    assert "building" not in again.err

    site(2, 128, clip)
    assert main(["engines", "build", path, *cache, *THERE]) == 0
    assert " s left" in capsys.readouterr().err  # as the last build of the model took
    assert main(["engines", "list", *cache]) == 0
    listed = capsys.readouterr().out
    assert listed.count(" good ") == 3
    assert "96x96 up to 4" in listed
    assert "128x128" in listed
    assert "NVIDIA GeForce RTX 4060, driver 13.0" in listed

    assert main(["engines", "prune", path, *cache]) == 0
    removed = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("removed ") for line in removed] == built.out.splitlines()[:1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "there is no NVIDIA driver"),
        (["--for", "8.9"], "belong together"),
        ([*THERE, "--library", "tensorrt"], "for the GPU at hand only"),
    ],
)
def test_a_build_that_cannot_be_is_a_line_that_says_why(
    site: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    complaint: str,
) -> None:
    monkeypatch.setattr("spoton_edge.engine.tensorrt.installed", lambda: "tensorrt_rtx")
    path = site(1, 96, tmp_path / "clip.mp4")
    assert main(["engines", "build", str(path), "--cache", str(tmp_path), *options]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_site_is_verified_on_a_folder_of_pictures(
    site: Callable[..., Path], tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site(1, 416, shared_data / "pets09_s2l1_view1" / "vtest.avi")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, number, image in recorded(shared_data / "pets09_s2l1_view1", 300):
        cv2.imwrite(str(pictures / f"{name}-{number}.png"), image)
    assert main(["engines", "verify", str(path), "--pictures", str(pictures), "--cache", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("detector.model: onnxruntime")
    assert any(line.startswith("reid.model") and "least cosine" in line for line in lines)


def test_a_site_whose_pictures_show_nobody_cannot_be_verified(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site(1, 96, write_clip(tmp_path / "clip.mp4", range(3)))
    assert main(["engines", "verify", str(path), "--cache", str(tmp_path)]) == ExitCode.MISSING
    assert "nobody is to be seen" in capsys.readouterr().err


def test_two_models_are_compared_on_a_recording_with_truth(
    tmp_path: Path, shared_data: Path, shared_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(shared_models / name) for name in ("yolox_nano_dyn_bhw.onnx", "yolox_nano_416_dynbatch.onnx")]
    recording = shared_data / "pets09_s2l1_view1"
    options = [
        "--recording",
        str(recording),
        "--every",
        "200",
        "--out",
        str(tmp_path / "out"),
        "--cache",
        str(tmp_path),
    ]
    assert main(["models", "compare", *models, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 pictures, ")
    assert all("AP50 9" in line for line in lines[1:3])  # above 90: the weights are good on this clip
    assert "0 only" in lines[3]
    assert not (tmp_path / "out").exists()


def test_disagreements_are_written_as_pictures(
    tmp_path: Path, shared_data: Path, shared_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = shared_models / "yolox_nano_dyn_bhw.onnx"
    other = tmp_path / "car.onnx"
    shutil.copy(good, other)
    known = Path(__file__).parents[1] / "engines" / "yolox-nano.toml"
    (tmp_path / "car.toml").write_text(known.read_text().replace("person_class = 0", "person_class = 2"))
    recording = shared_data / "pets09_s2l1_view1"
    options = [
        "--recording",
        str(recording),
        "--every",
        "300",
        "--out",
        str(tmp_path / "out"),
        "--cache",
        str(tmp_path),
    ]
    assert main(["models", "compare", str(good), str(other), *options]) == 0
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 3
    assert capsys.readouterr().out.count("disagreement: ") == 3
    orange = cv2.imread(str(written[0])).astype(int)
    assert ((np.abs(orange - [0, 160, 255]) < 40).all(axis=2)).sum() > 100


def test_average_precision_and_recall_are_those_of_a_small_example() -> None:
    side = Side("a", "b")
    side.scores, side.right = [np.array([0.9, 0.8], np.float32), np.array([0.7, 0.3], np.float32)], []
    side.right = [np.array([True, False]), np.array([True, False])]
    assert side.average_precision(4) == pytest.approx((1 + 2 / 3) / 4)
    assert side.at(0.5, 4) == (0.5, pytest.approx(2 / 3))


def test_a_person_is_found_once_by_the_best_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    people = np.array([[0.0, 0, 10, 10]])
    assert on_people(boxes, people).tolist() == [True, False, False]
    assert on_people(boxes, np.zeros((0, 4))).tolist() == [False] * 3


def test_truth_leaves_out_what_it_does_not_count(tmp_path: Path) -> None:
    assert read_truth(tmp_path) is None
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt.txt").write_text("1,1,10,20,5,6,1,-1\n1,2,10,20,5,6,0,-1\n")
    truth = read_truth(tmp_path)
    assert truth is not None
    assert truth.tolist() == [[1, 10, 20, 15, 26]]


def test_a_recording_is_read_every_so_many_pictures_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", range(7))
    assert [(number, number_in(image)) for _, number, image in recorded(tmp_path, 3)] == [(0, 0), (3, 3), (6, 6)]
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(UsageError, match="no pictures"):
        list(recorded(tmp_path))
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(UsageError, match=r"a\.png: not a picture"):
        list(recorded(tmp_path))


def test_a_network_that_fails_ends_the_service_with_the_code_that_asks_for_a_restart(
    site: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxRuntimeEngine._run

    def failing(self: OnnxRuntimeEngine, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        if batch.any():  # not when the detector tries what it was given
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        return real(self, batch)

    monkeypatch.setattr(OnnxRuntimeEngine, "_run", failing)
    path = site(1, 96, write_clip(tmp_path / "clip.mp4", range(20)))
    sockets = f"publish: {{bind: ['ipc://{tmp_path}/p'], snapshot: 'ipc://{tmp_path}/s'}}\n"
    path.write_text(path.read_text() + sockets)
    assert main(["run", str(path), "--fast", "--cache", str(tmp_path)]) == ExitCode.ENGINE_LOST
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "failed on a batch of shape (1, 3, 96, 96): CUDA failure 700" in line

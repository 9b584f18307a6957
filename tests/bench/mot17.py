"""MOT17 through `spoton-edge replay`: how well one camera is tracked, on the half the detector was not trained on.

    python -m tests.bench.mot17

Three lines a sequence: the published ByteTrack's recorded answer, the tracker's own ids, and the global ids of a site
of this one camera without calibration or appearance. Distractors are treated as MOTChallenge does.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from spoton_edge import cli
from tests import mot17
from tests.conftest import SHARED

SITE = "site: mot17\ncameras:\n  - {name: street, source: street.mp4}\n"


def half(data: Path, sequence: str) -> tuple[Path, int]:
    """Truth of the second half, and how many frames come before it."""
    truth = data / "mot17_yolox" / "gt_val_half" / f"MOT17-{sequence}" / "gt.txt"
    full = data / "mot17_yolox" / "gt_full" / f"MOT17-{sequence}" / "gt.txt"
    last = (int(np.loadtxt(path, delimiter=",", usecols=0).max()) for path in (full, truth))
    return truth, next(last) - next(last)


def second_half(rows: np.ndarray, before: int) -> np.ndarray:
    """Rows frame, id, xyxy as MOTChallenge lines of the second half, numbered from 1."""
    rows = rows[rows[:, 0] > before]
    score = np.ones((len(rows), 1))
    return np.hstack([rows[:, :1] - before, rows[:, 1:4], rows[:, 4:6] - rows[:, 2:4], score])


def evaluate(truth: Path, rows: np.ndarray, folder: Path) -> dict[str, float]:
    """The scores of MOTChallenge lines."""
    result = folder / "result.txt"
    np.savetxt(result, rows, "%d,%d,%.3f,%.3f,%.3f,%.3f,%g")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        arguments = ["--truth", str(truth), "--result", str(result), "--out", str(folder)]
        if cli.main(["evaluate", *arguments]):
            raise SystemExit(f"{truth}: could not be evaluated")
    scores: dict[str, float] = json.loads((folder / "scores.json").read_text())["scores"][0]
    return scores


def replayed(data: Path, sequence: str, folder: Path) -> np.ndarray:
    """`views.csv` as rows of frame, global id, track id, xyxy."""
    detections = folder / "detections"
    detections.mkdir()
    source = data / "mot17_yolox" / "det_yolox_x" / f"MOT17-{sequence}.txt"
    (detections / "street.txt").write_text(source.read_text())
    (folder / "site.yaml").write_text(SITE)
    paths = [str(folder / "site.yaml"), "--detections", str(detections), "--out", str(folder)]
    with contextlib.redirect_stderr(io.StringIO()):
        if cli.main(["--log-level", "error", "replay", *paths, "--frame-rate", str(mot17.FRAME_RATE)]):
            raise SystemExit(f"{sequence}: could not be replayed")
    return np.loadtxt(folder / "views.csv", delimiter=",", skiprows=1, usecols=(0, 2, 3, 4, 5, 6, 7))


def main() -> None:
    """Print three lines a sequence."""
    data = SHARED / "data"
    if not data.is_dir():
        print("mot17: skipped, no ../shared/data")
        return
    for sequence in mot17.SEQUENCES:
        with tempfile.TemporaryDirectory() as folder:
            truth, before = half(data, sequence)
            answers = enumerate(mot17.published(data, sequence), 1)
            published = np.vstack([np.column_stack([np.full(len(rows), f), rows[:, :5]]) for f, rows in answers])
            views = replayed(data, sequence, Path(folder))
            for name, rows in (
                ("published ByteTrack", published),
                ("track ids", np.delete(views, 1, axis=1)),
                ("global ids", np.delete(views, 2, axis=1)),
            ):
                scores = evaluate(truth, second_half(rows, before), Path(folder))
                print(
                    f"MOT17-{sequence} {name:20} HOTA {100 * scores['hota']:5.1f}  IDF1 {100 * scores['idf1']:5.1f}  "
                    f"MOTA {100 * scores['mota']:5.1f}  switches {scores['switches']:4}  missed {scores['misses']:5}"
                )


if __name__ == "__main__":
    sys.exit(main())

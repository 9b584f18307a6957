"""CMC1 and CMC2 through `spoton-edge replay` and `spoton-edge evaluate`: four cameras, one room, defaults for both.

    python -m tests.bench.cmc

Figures at a gate of 1 m; where `../shared/tools/score_ground.py` is there, it must say the same. Times are thread CPU
time a frame of the four cameras, medians of one run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import cli, config, recording, replay
from tests import cmc
from tests.conftest import SHARED

# What others reach with the same detections, MOTA and IDF1 in per cent; MV-GLMB-AB takes 134 ms a frame, LMB 27.
OTHERS = {"CMC2": "MV-GLMB-AB 97.7 / 90.0, LMB 96.7 / 86, floor clustering 88.7 / 60.3"}


def timed(work: Callable[..., Any], spent_ms: list[float]) -> Callable[..., Any]:
    """The same function, whose CPU time is added to `spent_ms`."""

    def run(*arguments: Any) -> Any:
        start = time.thread_time_ns()
        result = work(*arguments)
        spent_ms.append((time.thread_time_ns() - start) / 1e6)
        return result

    return run


def stage_times(site: Path, detections: Path) -> dict[str, list[float]]:
    """CPU milliseconds a frame of each stage."""
    names = list(cmc.CAMERAS)
    job = replay.build(config.load(site), recording.read(detections, names), cmc.FRAME_RATE)
    times: dict[str, list[float]] = {"track": [], "project": [], "associate": []}
    job.tracker.update = timed(job.tracker.update, times["track"])  # type: ignore[method-assign]
    job.ground.project = timed(job.ground.project, times["project"])  # type: ignore[method-assign]
    job.associator.update = timed(job.associator.update, times["associate"])  # type: ignore[method-assign]
    for _ in job.steps():
        pass
    return times


def evaluate(data: Path, sequence: str, site: Path, detections: Path, out: Path) -> dict[str, Any]:
    """The scores of one sequence, by the commands that a user has."""
    truth = cmc.truth(data, sequence)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        done = cli.main(["replay", str(site), "--detections", str(detections), "--out", str(out)])
        arguments = ["--truth", str(truth), "--result", str(out / "ground.csv"), "--gate-m", "1", "--align"]
        done = done or cli.main(["evaluate", *arguments, "--out", str(out)])
    if done:
        raise SystemExit(f"{sequence}: exit code {done}")
    scores: dict[str, Any] = json.loads((out / "scores.json").read_text())["scores"][0]
    return scores


def checked(scores: dict[str, Any], truth: Path, ground: Path) -> str:
    """What the independent scorer says of the same files."""
    path = SHARED / "tools" / "score_ground.py"
    if not path.is_file():
        return "not checked"
    spec = importlib.util.spec_from_file_location("score_ground", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    theirs = module.score(module.load(truth), module.load(ground), 1.0, None, True)
    for mine, key in (("mota", "MOTA"), ("idf1", "IDF1"), ("hota", "HOTA"), ("switches", "IDSW")):
        if abs(scores[mine] - theirs[key]) > 1e-9:
            raise SystemExit(f"{ground}: {key} is {scores[mine]} here and {theirs[key]} by {path.name}")
    return f"{path.name} agrees"


def main() -> None:
    """Print a line for each sequence, with and without the recorded appearance vectors."""
    data = SHARED / "data"
    if not data.is_dir():
        print("cmc: skipped, no ../shared/data")
        return
    with tempfile.TemporaryDirectory() as folder:
        site = cmc.write_site(data, Path(folder) / "site.yaml")
        for sequence in cmc.SEQUENCES:
            for embeddings in (True, False):
                name = f"{sequence} {'with vectors' if embeddings else 'places only'}"
                detections = cmc.write_recording(data, sequence, Path(folder) / name, embeddings=embeddings)
                scores = evaluate(data, sequence, site, detections, Path(folder) / f"{name} out")
                agreed = checked(scores, cmc.truth(data, sequence), Path(folder) / f"{name} out" / "ground.csv")
                times = stage_times(site, detections)
                fused = np.median(np.add(times["project"], times["associate"]))
                print(
                    f"{name:18} MOTA {100 * scores['mota']:5.1f}  IDF1 {100 * scores['idf1']:5.1f}  "
                    f"HOTA {100 * scores['hota']:5.1f}  switches {scores['switches']:3}  ids {scores['ids']:3} of "
                    f"{scores['people']:2}  off by {scores['mean_distance_m']:.3f} m   track "
                    f"{np.median(times['track']):.2f} ms, project + associate {fused:.2f} ms   ({agreed})"
                )
            if sequence in OTHERS:
                print(f"{'':18} MOTA / IDF1 of others: {OTHERS[sequence]}")


if __name__ == "__main__":
    sys.exit(main())

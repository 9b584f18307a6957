"""Our ByteTrack against the others on PyPI: the same streams, alternating rounds, CPU time, medians.

    make bench-tracker

Installs each rival from the package index into an environment of its own under build/rivals, compares ids with ours
frame by frame before anything is timed, prints a table and writes build/rivals/table.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.bench._crowd import crowd

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "rivals"
RIVALS = ["pyxtrackers", "edgefirst-tracker", "visiontrack-cpp", "ioutrack-rs", "trackers", "supervision<0.31"]
FRAMES = {10: 300, 40: 300, 100: 200, 300: 100}
ROUNDS = 7
NEAR_PX = 3.0


class Rival:
    """A tracker in a process of its own that answers one line with one line."""

    def __init__(self, requirement: str, streams: list[Path]) -> None:
        self.name = requirement.split("<")[0]
        self.version = ""
        python = Path(sys.executable) if requirement == "ours" else self._install(requirement)
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("_rival.py"), self.name.replace("-", "_"), *streams],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )

    def _install(self, requirement: str) -> Path:
        home = HOME / self.name
        python = home / "bin" / "python"
        if not (home / "ready").exists():
            print(f"installing {requirement}", flush=True)
            venv.create(home, with_pip=True, clear=True)
            subprocess.run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--only-binary",
                    ":all:",
                    "numpy",
                    requirement,
                ],
                check=True,
            )
            (home / "ready").touch()
        show = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
        self.version = subprocess.run(
            [python, "-c", show, self.name], check=True, capture_output=True, text=True
        ).stdout
        return python

    def ask(self, verb: str, stream: int) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{verb} {stream}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}")
        return json.loads(answer)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def same_ids(ours: list[list[list[Any]]], theirs: list[list[list[Any]]]) -> float:
    """The share of frames in which a rival shows the same people under the same ids as ours, up to renaming.

    Rows are paired where boxes lie within NEAR_PX; a rival's id keeps the meaning it first had.
    """
    meaning: dict[Any, int] = {}
    same = 0
    for here, there in zip(ours, theirs, strict=True):
        mine = np.array([row[1:] for row in here]).reshape(-1, 4)
        good = len(here) == len(there)
        for name, *box in there:
            gap = np.abs(mine - box).max(axis=1) if len(mine) else np.array([np.inf])
            nearest = int(gap.argmin())
            partner = here[nearest][0] if gap[nearest] < NEAR_PX else None
            good &= partner is not None and meaning.setdefault(name, partner) == partner
        same += good
    return same / len(ours)


def main() -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        streams = []
        for people, frames in FRAMES.items():
            path = Path(folder) / f"{people}.npz"
            arrays = {}
            for number, (xyxy, score) in enumerate(crowd(people, frames)):
                arrays[f"xyxy{number}"], arrays[f"score{number}"] = xyxy, score
            np.savez(path, **arrays)
            streams.append(path)
        trackers = [Rival(requirement, streams) for requirement in ("ours", *RIVALS)]
        try:
            table = measure(trackers)
        finally:
            for tracker in trackers:
                tracker.stop()
    (HOME / "table.json").write_text(json.dumps(table, indent=2))
    print(f"also in {(HOME / 'table.json').relative_to(ROOT)}")


def measure(trackers: list[Rival]) -> list[dict[str, Any]]:
    ids = [[tracker.ask("ids", stream) for stream in range(len(FRAMES))] for tracker in trackers]
    us: list[list[list[float]]] = [[[] for _ in FRAMES] for _ in trackers]
    for _ in range(ROUNDS):
        for stream in range(len(FRAMES)):
            for row, tracker in enumerate(trackers):
                us[row][stream].append(tracker.ask("time", stream))
    print(f"CPU us an update (median of {ROUNDS} alternating rounds), times ours, frames with the ids of ours;")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'people':28}" + "".join(f"{people:>24}" for people in FRAMES))
    table = []
    for row, tracker in enumerate(trackers):
        line = f"{tracker.name} {tracker.version.strip()}".ljust(28)
        entry: dict[str, Any] = {"name": tracker.name, "version": tracker.version.strip(), "people": {}}
        for stream, people in enumerate(FRAMES):
            mine, theirs = median(us[0][stream]), median(us[row][stream])
            same = same_ids(ids[0][stream], ids[row][stream])
            line += f"{theirs:10.1f} {theirs / mine:6.1f}x {same:5.0%}"
            entry["people"][people] = {"us": theirs, "times_ours": theirs / mine, "frames_with_our_ids": same}
        print(line)
        table.append(entry)
    return table


if __name__ == "__main__":
    main()

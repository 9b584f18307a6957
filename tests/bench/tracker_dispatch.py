"""Whether one binary for every CPU costs anything: the tracker's C built three ways, alternating rounds, CPU time.

As shipped, where the loader picks AVX2 if there is some; for this machine alone; and for any x86-64. Called through
ctypes, which adds the same 2 us or so to each.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench._crowd import crowd

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "ext" / "c" / f"{name}.c" for name in ("bytetrack", "bytetrack_memory", "kalman", "lapjv", "overlap")]
FLAGS = ["-O3", "-fno-math-errno", "-ffp-contract=off", "-fPIC", "-shared", "-I", ROOT / "ext" / "c"]
BUILDS = {
    "as shipped": [],
    "-march=native": ["-march=native", "-DSPOTON_NO_DISPATCH"],
    "any x86-64": ["-DSPOTON_NO_DISPATCH"],
}
OPAQUE_BYTES = 4096  # more than either struct


class Rules(ctypes.Structure):
    """bytetrack_rules of bytetrack.h."""

    _fields_ = [(name, ctypes.c_float) for name in ("high_score", "low_score", "new_score")] + [
        (name, ctypes.c_double) for name in ("match", "second_match", "new_match", "duplicate", "pixel")
    ]


def build(flags: list[str], folder: Path, name: str) -> ctypes.CDLL:
    library = folder / f"{name}.so"
    subprocess.run(["cc", *FLAGS, *flags, *SOURCES, "-o", library, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def cpu_us(core: ctypes.CDLL, frames: list[tuple[ctypes.c_void_p, ctypes.c_void_p, int]]) -> float:
    """CPU us an update over a stream, with a new tracker."""
    camera, scratch = (ctypes.create_string_buffer(OPAQUE_BYTES) for _ in range(2))
    rules = ctypes.byref(Rules(0.5, 0.1, 0.6, 0.8, 0.5, 0.7, 0.15, 1.0))
    core.bytetrack_init(camera, ctypes.c_int64(30))
    start = time.process_time_ns()
    for xyxy, score, n in frames:
        if core.bytetrack_reserve(camera, scratch, n):
            raise MemoryError
        core.bytetrack_update(camera, scratch, rules, xyxy, score, n)
    spent = (time.process_time_ns() - start) / 1e3 / len(frames)
    core.bytetrack_free(camera)
    core.bytetrack_scratch_free(scratch)
    return spent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cores = [build(flags, Path(folder), str(at)) for at, flags in enumerate(BUILDS.values())]
        print(f"{'people':>6}" + "".join(f"{name:>16}" for name in BUILDS) + "   us/update")
        for people, length in ((40, 300), (100, 300), (300, 150)):
            stream = crowd(people, length)
            frames = [
                (ctypes.c_void_p(xyxy.ctypes.data), ctypes.c_void_p(score.ctypes.data), len(score))
                for xyxy, score in stream
            ]
            rounds = [[cpu_us(core, frames) for core in cores] for _ in range(15)]
            print(f"{people:6}" + "".join(f"{median(column):16.1f}" for column in zip(*rounds, strict=True)))


if __name__ == "__main__":
    main()

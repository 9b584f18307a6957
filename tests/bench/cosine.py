"""Cosines of 40 crops with 1,000 prototypes of 512 numbers: behind the gate, and all of them by BLAS.

    python -m tests.bench.cosine

125 people with 8 prototypes each, which is what a gallery keeps; the gate is asked of people, not of prototypes. CPU
time of one thread, medians of alternating rounds in one run. BLAS fuses multiplications with additions, so that its
last bits differ from machine to machine; ours do not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from spoton_edge.gallery import Gallery
from spoton_edge.types import F4

CROPS, PEOPLE, PROTOTYPES, DIMENSION = 40, 125, 8, 512
OPEN = (1.0, 0.2, 0.05)  # shares of pairs; of people spread over a floor a crop's place leaves a few in a hundred
ROUNDS, CALLS = 30, 20


def unit(rng: np.random.Generator, *shape: int) -> F4:
    vectors = rng.normal(size=shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def filled(vectors: F4) -> Gallery:
    """Everybody's prototypes, of two cameras, as crops would have left them."""
    gallery = Gallery(PEOPLE, PROTOTYPES)
    for entry, prototypes in enumerate(vectors):
        for k, vector in enumerate(prototypes):
            gallery.add(entry, vector, k % 2, k)
    return gallery


def spent_us(work: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    for _ in range(CALLS):
        work()
    return (time.thread_time_ns() - start) / 1e3 / CALLS


def main() -> None:
    """Print the time of BLAS, then of the gate at several shares of open pairs."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # read when NumPy is imported
        one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "tests.bench.cosine"], env=one_thread, check=True)
        return
    rng = np.random.default_rng(0)
    crops, vectors = unit(rng, CROPS, DIMENSION), unit(rng, PEOPLE, PROTOTYPES, DIMENSION)
    gallery, camera = filled(vectors), np.zeros(CROPS, np.int16)
    table = vectors.reshape(-1, DIMENSION)
    works: dict[str, Callable[[], object]] = {"all, BLAS": lambda: crops @ table.T}
    for share in OPEN:
        row, entry = (at.astype(np.int32) for at in np.nonzero(rng.random((CROPS, PEOPLE)) < share))
        best = gallery.compare(crops, camera, row, entry)
        of_camera = np.array([table.reshape(vectors.shape)[e, ::2] @ crops[r] for r, e in zip(row, entry, strict=True)])
        np.testing.assert_allclose(best[:, 0], of_camera.max(axis=1), atol=1e-5)
        works[f"{share:4.0%} of pairs open"] = lambda row=row, entry=entry: gallery.compare(crops, camera, row, entry)
    times = np.array([[spent_us(work) for work in works.values()] for _ in range(ROUNDS)])
    medians = np.median(times, axis=0)
    print(f"{CROPS} crops x {PEOPLE} people x {PROTOTYPES} prototypes x {DIMENSION}")
    for name, us in zip(works, medians, strict=True):
        print(f"{name:20} {us:8.0f} us   {us / medians[0]:.2f} of BLAS")


if __name__ == "__main__":
    main()

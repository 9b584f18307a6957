"""Streams of detections of people who walk about one 1920 x 1080 picture, for the benchmarks of the tracker."""

from __future__ import annotations

import numpy as np

from spoton_edge.types import F4

WIDTH, HEIGHT = 1920, 1080


def crowd(people: int, frames: int, seed: int = 0) -> list[tuple[F4, F4]]:
    """Boxes (N, 4) px and scores (N,) of each frame.

    People walk straight and turn at the edges, hide one another, are missed in 3 % of the frames and seen faintly in
    10 %; the first frame shows everybody. Larger crowds are smaller people, as seen from higher up.
    """
    rng = np.random.default_rng(seed)
    height = rng.uniform(80, 240, people) * min(1.0, (100 / max(people, 1)) ** 0.5)
    width = height * rng.uniform(0.35, 0.5, people)
    at = rng.uniform([0, 0], [WIDTH, HEIGHT], (people, 2))
    step = rng.normal(0, [2.0, 1.0], (people, 2))
    stream = []
    for frame in range(frames):
        at += step
        outside = (at < 0) | (at > [WIDTH, HEIGHT])
        step[outside] *= -1
        centre = at + rng.normal(0, 1, (people, 2))
        size = np.column_stack([width, height]) * rng.normal(1, 0.01, (people, 2))
        xyxy = np.hstack([centre - size / 2, centre + size / 2]).astype(np.float32)
        score = np.where(rng.random(people) < 0.1, rng.uniform(0.11, 0.49, people), rng.uniform(0.61, 0.97, people))
        score = score.round(2).astype(np.float32)
        if frame == 0:
            score = np.maximum(score, np.float32(0.7))
        seen = rng.random(people) > (0.03 if frame else 0.0)
        order = rng.permutation(int(seen.sum()))  # a detector lists people in no order
        stream.append((np.ascontiguousarray(xyxy[seen][order]), np.ascontiguousarray(score[seen][order])))
    return stream

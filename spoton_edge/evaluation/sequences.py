"""Truth and result side by side, step by step, in the form that trackeval scores.

TrackEval (Luiten et al., HOTA, IJCV 2020) sees steps of people and ids with a similarity for each pair, 1 the same
place, at least 0.5 a hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from spoton_edge.evaluation.rows import Rows
from spoton_edge.types import F8, I8, Bool

HIT = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """People and ids of one instant, in one camera or on the ground."""

    frame: int
    camera: str  # "": on the ground, or all cameras at once
    person: I8  # (P,)
    identity: I8  # (I,)
    similarity: F8  # (P, I) for the figures that have a threshold
    hota: F8  # (P, I) for HOTA, which averages over thresholds
    place: F8  # (P, 2) where each person truly is: m, or px of the foot


@dataclass(frozen=True, slots=True)
class Scene:
    """Steps in the order of time under one name: what one line of the table is about."""

    name: str
    steps: list[Step]
    gate_m: float | None = None  # on the ground: pairs farther apart are no pair


def ground_scene(truth: Rows, result: Rows, *, gate_m: float, zero_m: float) -> Scene:
    """Places on the ground: a hit is within gate_m (WILDTRACK's protocol at 1 m); HOTA's similarity is 0 at zero_m."""
    steps = []
    for frame in _frames(truth, result):
        here, there = truth.at(frame), result.at(frame)
        distance = np.linalg.norm(truth.value[here, None] - result.value[None, there], axis=2)
        distance[np.abs(distance - gate_m) <= 1e-12 * gate_m] = gate_m  # exactly on the gate is a hit
        near, hota = np.maximum(0, 1 - distance / (2 * gate_m)), np.maximum(0, 1 - distance / zero_m)
        person, identity = truth.identity[here], result.identity[there]
        steps.append(Step(frame, "", person, identity, near, hota, truth.value[here]))
    return Scene("ground", steps, gate_m)


def camera_scene(camera: str, truth: Rows, result: Rows) -> Scene:
    """Boxes of one camera: a hit overlaps by an IoU of 0.5. Distractors are treated as MOTChallenge does."""
    steps = []
    for frame in _frames(truth, result):
        here, there = truth.at(frame), result.at(frame)
        overlap = iou(truth.value[here], result.value[there])
        blamed = ~_excused(overlap, truth.distracts[here])
        counts = truth.counts[here]
        overlap = overlap[counts][:, blamed]
        person, identity = truth.identity[here][counts], result.identity[there][blamed]
        place = _feet(truth.value[here][counts])
        steps.append(Step(frame, camera, person, identity, overlap, overlap, place))
    return Scene(camera, steps)


def all_views(cameras: Sequence[Scene]) -> Scene:
    """Every box of every camera, ids held against the whole site: each camera's step is a step, frame by frame."""
    return Scene("all views", sorted((step for scene in cameras for step in scene.steps), key=_when))


def in_every_view(cameras: Sequence[Scene]) -> Scene:
    """People across cameras: an id is right only if it is right in every view.

    A person's similarity with an id is the least overlap over all views in which the id has a box, 0 where that box is
    on nobody or on another.
    """
    by_frame: dict[int, list[Step]] = {}
    for scene in cameras:
        for step in scene.steps:
            by_frame.setdefault(step.frame, []).append(step)
    steps = []
    for frame, views in sorted(by_frame.items()):
        person = np.unique(np.concatenate([view.person for view in views]))
        identity = np.unique(np.concatenate([view.identity for view in views]))
        least = np.ones((len(person), len(identity)))
        place = np.full((len(person), 2), np.nan)
        for view in views:
            rows, columns = np.searchsorted(person, view.person), np.searchsorted(identity, view.identity)
            overlap = np.zeros((len(person), len(view.identity)))
            overlap[rows] = view.similarity
            least[:, columns] = np.minimum(least[:, columns], overlap)
            place[rows] = view.place
        steps.append(Step(frame, "", person, identity, least, least, place))
    return Scene("every view", steps)


def within(rows: Rows, truth: Rows) -> Rows:
    """The rows from truth's first frame to its last."""
    if not len(truth):
        return rows
    return rows.select((rows.frame >= truth.frame[0]) & (rows.frame <= truth.frame[-1]))


def scenes(
    truth: tuple[Rows | None, Mapping[str, Rows]],
    result: tuple[Rows | None, Mapping[str, Rows]],
    *,
    gate_m: float,
    zero_m: float,
    align: bool,
) -> list[Scene]:
    """One scene a camera that both have, two for all cameras where there are several, one for the ground.

    align: results before the first and after the last frame of truth are left out.
    """
    (ground, boxes), (found_ground, found_boxes) = truth, result
    nothing = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), *np.zeros((2, 0), np.bool_))
    cameras = []
    for camera, rows in boxes.items() if found_boxes else ():
        found = found_boxes.get(camera, nothing)  # a camera that found nobody has no box
        cameras.append(camera_scene(camera, rows, within(found, rows) if align else found))
    result_scenes = list(cameras)
    if len(cameras) > 1:
        result_scenes += [all_views(cameras), in_every_view(cameras)]
    if ground is not None and found_ground is not None:
        found = within(found_ground, ground) if align else found_ground
        result_scenes.append(ground_scene(ground, found, gate_m=gate_m, zero_m=zero_m))
    return result_scenes


def iou(a: F8, b: F8) -> F8:
    """Intersection over union (N, M) of boxes xyxy (N, 4) and (M, 4) px."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    union = np.prod(a[:, 2:] - a[:, :2], axis=1)[:, None] + np.prod(b[:, 2:] - b[:, :2], axis=1) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def _excused(overlap: F8, distracts: Bool) -> Bool:
    """Which results (I,) found something that truth says looks like a person and is not to be scored."""
    excused = np.zeros(overlap.shape[1], np.bool_)
    if distracts.any() and overlap.size:
        usable = np.where(overlap < HIT - np.finfo(float).eps, 0.0, overlap)
        row, column = linear_sum_assignment(-usable)
        hit = usable[row, column] > np.finfo(float).eps
        excused[column[hit & distracts[row]]] = True
    return excused


def _frames(truth: Rows, result: Rows) -> list[int]:
    frames: list[int] = np.union1d(truth.frame, result.frame).tolist()
    return frames


def _feet(xyxy: F8) -> F8:
    return np.column_stack([(xyxy[:, 0] + xyxy[:, 2]) / 2, xyxy[:, 3]])


def _when(step: Step) -> tuple[int, str]:
    return step.frame, step.camera

"""Where identities broke: for each person, which id he had when, and each moment at which it changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from spoton_edge.evaluation.sequences import HIT, Scene, Step
from spoton_edge.types import F8

EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, slots=True)
class Break:
    """A person who had one id has another."""

    scene: str
    frame: int
    camera: str  # "": on the ground, or all cameras at once
    person: int
    before: int
    after: int
    last_frame: int  # in which he was found under the id before
    taken_from: int | None  # the person who had the new id last, None where it is nobody else's
    place: tuple[float, float]  # m, or px of the foot


@dataclass(frozen=True, slots=True)
class History:
    """Who was found under which id when."""

    found: dict[int, list[tuple[int, int]]]  # person -> (frame, id) of each step in which he was found
    missed: dict[int, list[int]]  # person -> frames of the steps in which he was not
    ways: dict[int, F8]  # person -> (N, 3) frame, place
    breaks: list[Break]


def history(scene: Scene) -> History:
    """Match a scene step by step as CLEAR does (pairs of the step before are kept), and note every change of id.

    Its breaks are as many as trackeval counts switches.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    missed: dict[int, list[int]] = {}
    ways: dict[int, list[tuple[float, float, float]]] = {}
    owner: dict[int, int] = {}  # id -> who had it last
    previous: dict[int, int] = {}  # person -> id, in the step before
    breaks = []
    for step in scene.steps:
        for person, place in zip(step.person.tolist(), step.place.tolist(), strict=True):
            ways.setdefault(person, []).append((step.frame, *place))
        if not len(step.person) or not len(step.identity):
            for person in step.person.tolist():
                missed.setdefault(person, []).append(step.frame)
            continue
        pairs = _pairs(step, previous)
        for row, person in enumerate(step.person.tolist()):
            if person not in pairs:
                missed.setdefault(person, []).append(step.frame)
                continue
            identity, before = pairs[person], found.setdefault(person, [])
            if before and before[-1][1] != identity:
                rival = owner.get(identity)
                breaks.append(
                    Break(
                        scene.name, step.frame, step.camera, person, before[-1][1], identity, before[-1][0],
                        None if rival == person else rival, (float(step.place[row, 0]), float(step.place[row, 1])),
                    )
                )  # fmt: skip
            before.append((step.frame, identity))
        owner.update({identity: person for person, identity in pairs.items()})
        previous = pairs
    return History(found, missed, {person: np.array(way) for person, way in ways.items()}, breaks)


def _pairs(step: Step, previous: dict[int, int]) -> dict[int, int]:
    """Person -> id of one step, at most one of each: continued pairs first, then the greatest similarity."""
    kept = np.array([[previous.get(p) == i for i in step.identity.tolist()] for p in step.person.tolist()])
    worth = np.where(step.similarity < HIT - EPS, 0.0, 1000.0 * kept + step.similarity)
    rows, columns = linear_sum_assignment(-worth)
    hit = worth[rows, columns] > EPS
    person, identity = step.person[rows[hit]].tolist(), step.identity[columns[hit]].tolist()
    return dict(zip(person, identity, strict=True))

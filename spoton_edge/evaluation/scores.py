"""The figures of a scene, by trackeval: CLEAR (Bernardin, Stiefelhagen 2008), IDF1 (Ristani et al. 2016), HOTA."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spoton_edge.evaluation.sequences import Scene
from spoton_edge.types import F8, I8

with contextlib.redirect_stdout(io.StringIO()):  # it tells of optional parts that nobody asked for
    import trackeval


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one scene; shares are 0..1, MOTA has no lower end."""

    name: str
    steps: int
    people: int
    ids: int
    truths: int
    results: int
    hota: float
    deta: float
    assa: float
    idf1: float
    mota: float
    switches: int
    misses: int
    false_alarms: int
    gate_m: float | None = None
    mean_distance_m: float | None = None  # of the pairs matched, on the ground


def score(scene: Scene) -> Score:
    """All figures of a scene."""
    person, people = _dense([step.person for step in scene.steps])
    identity, ids = _dense([step.identity for step in scene.steps])
    data: dict[str, Any] = {
        "num_timesteps": len(scene.steps),
        "gt_ids": person,
        "tracker_ids": identity,
        "num_gt_ids": people,
        "num_tracker_ids": ids,
        "num_gt_dets": sum(map(len, person)),
        "num_tracker_dets": sum(map(len, identity)),
        "similarity_scores": [step.similarity for step in scene.steps],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        clear = trackeval.metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(data)
        identities = trackeval.metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(data)
        # HOTA changes nothing in place, but wants similarities of its own scale.
        hota = trackeval.metrics.HOTA().eval_sequence({**data, "similarity_scores": [s.hota for s in scene.steps]})
    distance = None
    if scene.gate_m is not None and clear["CLR_TP"]:
        distance = float((1 - clear["MOTP"]) * 2 * scene.gate_m)
    return Score(
        name=scene.name,
        steps=len(scene.steps),
        people=people,
        ids=ids,
        truths=data["num_gt_dets"],
        results=data["num_tracker_dets"],
        hota=_mean(hota["HOTA"]),
        deta=_mean(hota["DetA"]),
        assa=_mean(hota["AssA"]),
        idf1=float(identities["IDF1"]),
        mota=float(clear["MOTA"]),
        switches=int(clear["IDSW"]),
        misses=int(clear["CLR_FN"]),
        false_alarms=int(clear["CLR_FP"]),
        gate_m=scene.gate_m,
        mean_distance_m=distance,
    )


def _dense(ids: Sequence[I8]) -> tuple[list[NDArray[np.intp]], int]:
    """The ids of each step numbered from 0 without holes, and how many there are."""
    labels = np.unique(np.concatenate(ids)) if ids else np.zeros(0, np.int64)
    return [np.searchsorted(labels, step) for step in ids], len(labels)


def _mean(over_thresholds: F8) -> float:
    return float(np.mean(over_thresholds))

"""Putting right what turned out otherwise: two tracks that are one person, two people who have each other's id, and
somebody who has an id that is not his."""

from __future__ import annotations

import numpy as np

from spoton_edge.births import agree
from spoton_edge.census import Census, Step
from spoton_edge.impostors import Impostor
from spoton_edge.life import reasoned
from spoton_edge.policy import Policy
from spoton_edge.stature import exchange, mixed
from spoton_edge.types import I4, U8, Event, Reason


def part_impostors(step: Step, census: Census) -> None:
    """Those who stopped looking like themselves lose the id, and are candidates from when that began."""
    for impostor in census.impostors.found():
        _part(impostor, step, census)


def join_twins(step: Step, track: I4, flags: U8, census: Census, policy: Policy) -> None:
    """Pairs of tracks that the cameras say are one person become one."""
    for one, other in census.twins.watch(census.tracks, flags, step.weight).tolist():
        if agree(step.seen, np.flatnonzero(track == one), np.flatnonzero(track == other), policy):
            _join(one, other, step, census)
    census.tracks.sweep()


def exchange_mistaken(step: Step, census: Census) -> None:
    """People who were mistaken for one another when they met take up their own ids again."""
    for i, j, odds in census.stature.exchanged(census.tracks, census.twins.pairs):
        _exchange(i, j, odds, step, census)


def _part(impostor: Impostor, step: Step, census: Census) -> None:
    """Somebody has another's id: the other was lost when they met, and he himself is a candidate since."""
    tracks, record, since = census.tracks, census.tracks.record, impostor.doubt.since
    at = int(tracks.rows_of(np.array([impostor.uid]))[0])
    global_id = int(record["global_id"][at]) if at >= 0 else -1
    if global_id < 0:
        return
    person = np.array([impostor.person], record.dtype)
    person["global_id"], person["entry"], person["uid"] = global_id, record["entry"][at], -1
    census.lose(person)
    step.events.append(Event("lost", tracks.now_ns, global_id, camera=int(impostor.person["seen_camera"])))
    record["global_id"][at] = record["best_view"][at] = -1
    record["entry"][at] = census.looks.open(impostor.doubt.crops)
    record["born_ns"][at], record["first_camera"][at] = since["seen_ns"], since["seen_camera"]
    for key in ("foot", "xy", "sd"):
        record[f"first_{key}"][at] = since[f"seen_{key}"]
    record["tall"][at] = record["tall_n"][at] = 0
    census.not_he[impostor.uid] = global_id


def _join(i: int, j: int, step: Step, census: Census) -> None:
    """Make two rows one person: the older id stays, and the row that goes is marked."""
    tracks, record = census.tracks, census.tracks.record
    ids = [int(record["global_id"][k]) for k in (i, j)]
    keep, drop = (i, j) if ids[1] < 0 or 0 <= ids[0] < ids[1] else (j, i)
    old, gone = int(record["global_id"][keep]), int(record["global_id"][drop])
    census.book.rename(int(record["uid"][drop]), int(record["uid"][keep]))
    record["entry"][keep] = census.looks.join(int(record["entry"][keep]), int(record["entry"][drop]))
    mixed(record, keep, float(record["tall"][drop]), float(record["tall_n"][drop]))
    tracks.drop(drop)
    if gone >= 0:
        reason = Reason("overlap", float(np.hypot(*(tracks.state[i, :2] - tracks.state[j, :2]))))
        step.events.append(Event("merged", tracks.now_ns, old, other=gone, reason=reason))
        census.life.decide(old, tracks.now_ns, int(record["seen_camera"][keep]), reason, f"merged {gone}")
        census.life.end(gone)


def _exchange(i: int, j: int, odds: float, step: Step, census: Census) -> None:
    """Two rows get each other's id."""
    tracks, record = census.tracks, census.tracks.record
    apart = tracks.state[i, :2] - tracks.state[j, :2]
    reason = reasoned("stature", float(np.hypot(*apart)), margin=odds)
    exchange(record, i, j)
    uids = record["uid"][[i, j]].tolist()
    census.twins.settle(*uids)
    census.impostors.forget(uids)
    one, other = int(record["global_id"][i]), int(record["global_id"][j])
    for row, mine, was in ((i, one, other), (j, other, one)):
        census.life.decide(mine, tracks.now_ns, int(record["seen_camera"][row]), reason, f"exchanged with {was}")
    step.events.append(Event("exchanged", tracks.now_ns, min(one, other), other=max(one, other), reason=reason))

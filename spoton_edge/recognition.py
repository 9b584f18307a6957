"""Who gets which id: sure candidates take up that of somebody out of sight whom they can be, or a new one."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext import evidence
from spoton_edge.census import Census, Step
from spoton_edge.global_track import Records, joined
from spoton_edge.ground_plane import Site
from spoton_edge.handoff import Handoff
from spoton_edge.life import reasoned
from spoton_edge.naming import Verdict, judge
from spoton_edge.policy import Policy
from spoton_edge.resumption import Resumption
from spoton_edge.stature import mixed
from spoton_edge.types import F8, I4, Event, Reason

_ANGLE = np.arange(8) * np.pi / 4
AROUND = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], axis=1)  # the places a metre from one, (8, 2)
AROUND.flags.writeable = False


def name(step: Step, census: Census, site: Site, handoff: Handoff, policy: Policy) -> None:
    """Give ids to the candidates of whom it is sure that they are people, and clear enough who they are."""
    table, record = census.tracks, census.tracks.record
    ready = _ready(census, site, policy)
    if len(ready) and census.resumption is not None and not census.resumption.over:
        ready = _take_up(ready, census.resumption, step, census)
    if not len(ready):
        return
    unseen = np.flatnonzero((record["global_id"] >= 0) & (record["seen_ns"] < table.now_ns))
    options = joined(census.lost, record.take(unseen))
    found = np.zeros(len(options), np.bool_)
    verdicts = _judge(ready, options, census, handoff, policy, policy.posterior_nats)
    for row, verdict in zip(ready.tolist(), verdicts, strict=True):
        if verdict.option is None:
            continue
        if verdict.option >= 0:
            found[verdict.option] = True
            _resume(row, options[verdict.option], verdict, step, census)
        else:
            _appear(row, verdict, step, census)
        _told_apart(row, step, census)
    for row in unseen[found[len(census.lost) :]]:
        census.book.rename(int(record["uid"][row]), -1)
        table.drop(int(row))
    census.lost = census.lost.compress(~found[: len(census.lost)])
    table.sweep()


def rethink(step: Step, census: Census, handoff: Handoff, policy: Policy) -> None:
    """Who got a new id a moment ago takes up an old one, where later looks at him say whose he is."""
    table, record, span_ns = census.tracks, census.tracks.record, policy.rethink_s * 1e9
    census.named_ns = {uid: when for uid, when in census.named_ns.items() if table.now_ns - when < span_ns}
    rows = table.rows_of(np.array(sorted(census.named_ns), np.int64))
    rows = rows[rows >= 0]
    rows = rows[(record["global_id"][rows] >= 0) & (record["entry"][rows] >= 0)]
    if not len(rows) or not len(census.lost):
        return
    found = np.zeros(len(census.lost), np.bool_)
    verdicts = _judge(rows, census.lost, census, handoff, policy, policy.rethink_nats)
    for row, verdict in zip(rows.tolist(), verdicts, strict=True):
        if verdict.option is None or verdict.option < 0:
            continue
        gone, old = int(record["global_id"][row]), census.lost[verdict.option]
        if int(old["global_id"]) > gone:
            continue
        found[verdict.option] = True
        step.events.append(Event("merged", table.now_ns, int(old["global_id"]), other=gone, reason=verdict.reason))
        census.life.end(gone)
        _resume(row, old, verdict, step, census)
    census.lost = census.lost.compress(~found)


def _ready(census: Census, site: Site, policy: Policy) -> I4:
    """The rows of candidates of whom it is sure enough that they are people, and not the second sight of one."""
    table, record = census.tracks, census.tracks.record
    # Where there is no floor, his camera's tracker knows all there is.
    rows = evidence.sure(record, table.state, policy.sure_nats)
    if not len(rows):
        return rows
    rows = census.twins.unshadowed(rows, table, table.now_ns - round(policy.hold_s * 1e9))
    if len(rows) and table.now_ns - (census.began_ns or 0) > policy.settle_s * 1e9:
        xy = table.state[rows, :2]
        need = np.where(np.isnan(xy[:, 0]), 0.0, policy.sure_nats) + policy.inner_nats * _inner(xy, site)
        rows = rows[record["sureness"][rows] >= need]
    return rows


def _inner(xy: F8, site: Site) -> F8:
    """1 for places (n, 2) that nobody can have come to unseen, as all around them is in view; else 0."""
    around = xy[:, None] + AROUND
    in_view = site.watched(around.reshape(-1, 2))
    return np.asarray(in_view.reshape(-1, 8).all(axis=1), np.float64)


def _take_up(ready: I4, resumption: Resumption, step: Step, census: Census) -> I4:
    """Candidates who were here before the restart get their ids again; the others, as far as they need not wait."""
    record, when = census.tracks.record, census.tracks.now_ns
    found, wait = resumption.claim(ready, census.tracks)
    for row, known in found:
        global_id = known.global_id
        census.parted.pop(int(record["uid"][row]), None)
        record["global_id"][row], record["born_ns"][row] = global_id, known.born_ns
        camera, reason = int(record["first_camera"][row]), Reason("restart")
        census.life.decide(global_id, when, camera, reason, "resumed")
        step.events.append(Event("handed_off", when, global_id, camera=camera, from_camera=known.camera, reason=reason))
    return ready[(record["global_id"][ready] < 0) & ~np.isin(ready, wait)]


def _judge(
    rows: I4, options: Records, census: Census, handoff: Handoff, policy: Policy, sure_nats: float
) -> list[Verdict]:
    """Who of those out of sight each of these rows is."""
    looks, stature, not_he = census.looks, census.stature, census.not_he
    return judge(rows, options, census.tracks, handoff, looks, stature, policy, not_he, sure_nats)


def _resume(row: int, old: Records, verdict: Verdict, step: Step, census: Census) -> None:
    """A row is somebody who was out of sight."""
    record, now_ns, global_id = census.tracks.record, census.tracks.now_ns, int(old["global_id"])
    record["global_id"][row], record["born_ns"][row] = global_id, old["born_ns"]
    record["entry"][row] = census.looks.join(int(old["entry"]), int(record["entry"][row]))
    uid = int(record["uid"][row])
    census.named_ns.pop(uid, None)
    census.parted.pop(uid, None)
    mixed(record, row, float(old["tall"]), float(old["tall_n"]))
    camera, came, reason = int(record["first_camera"][row]), int(old["seen_camera"]), verdict.reason
    census.life.decide(global_id, now_ns, camera, reason, "resumed")
    step.events.append(Event("handed_off", now_ns, global_id, camera=camera, from_camera=came, reason=reason))


def _appear(row: int, verdict: Verdict, step: Step, census: Census) -> None:
    """A row is somebody new; where his view was part of somebody who is still here, those two were taken for one."""
    tracks, record, now_ns = census.tracks, census.tracks.record, census.tracks.now_ns
    record["global_id"][row] = global_id = census.next_id()
    uid, camera = int(record["uid"][row]), int(record["first_camera"][row])
    census.named_ns[uid] = now_ns
    census.life.decide(global_id, now_ns, camera, verdict.reason, "appeared")
    step.events.append(Event("appeared", now_ns, global_id, camera=camera, reason=verdict.reason))
    whole = int(tracks.rows_of(np.array([census.parted.pop(uid, -1)]))[0])
    if whole >= 0 and record["global_id"][whole] >= 0:
        apart = tracks.state[row, :2] - tracks.state[whole, :2]
        reason = reasoned("overlap", float(np.hypot(*apart)))
        _split(int(record["global_id"][whole]), global_id, camera, reason, step, census)


def _told_apart(row: int, step: Step, census: Census) -> None:
    """Tell of who had another's id that he has one of his own now."""
    record = census.tracks.record
    whole = census.not_he.pop(int(record["uid"][row]), -1)
    if whole >= 0:
        own, camera = int(record["global_id"][row]), int(record["seen_camera"][row])
        _split(whole, own, camera, Reason("looks"), step, census)


def _split(whole: int, own: int, camera: int, reason: Reason, step: Step, census: Census) -> None:
    """Somebody who was taken for the person `whole` has an id of his own."""
    now_ns = census.tracks.now_ns
    census.life.decide(whole, now_ns, camera, reason, f"split off {own}")
    step.events.append(Event("split", now_ns, whole, other=own, camera=camera, reason=reason))

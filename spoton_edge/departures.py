"""How tracks end: candidates that nothing speaks for go, people nobody sees are lost, and in the end forgotten."""

from __future__ import annotations

import numpy as np

from spoton_edge._ext import evidence
from spoton_edge.census import Census, Step
from spoton_edge.global_track import TrackTable
from spoton_edge.ground_plane import Site
from spoton_edge.policy import Policy
from spoton_edge.types import Bool, Event


def retire(step: Step, census: Census, site: Site, policy: Policy) -> None:
    """Let candidates go that were nobody, and lose people whom no camera sees."""
    table, record, now_ns = census.tracks, census.tracks.record, census.tracks.now_ns
    dead, lost, doubtful = evidence.leaving(
        record,
        table.state,
        table.cov,
        now_ns,
        policy.hold_s,
        policy.hit_nats,
        policy.coast_s,
        policy.coast_sd_m,
        policy.leave_s,
    )
    if len(doubtful):
        lost = np.sort(np.concatenate([lost, doubtful[~site.watched(table.state[doubtful, :2])]]))
    if not len(dead) and not len(lost):
        return
    for old in record.take(lost):
        step.events.append(Event("lost", now_ns, int(old["global_id"]), camera=int(old["seen_camera"])))
    for entry in record["entry"][dead]:
        census.looks.release(int(entry))
    if len(lost):
        census.lose(record.take(lost))
    for row in (*dead.tolist(), *lost.tolist()):
        table.drop(row)
    table.sweep()
    known = set(table.record["uid"].tolist())
    census.impostors.keep(known)
    for about in (census.not_he, census.named_ns, census.parted):
        for uid in about.keys() - known:
            del about[uid]


def going_out(tracks: TrackTable, site: Site) -> Bool:
    """Which tracks (M,) were last seen cut by a picture's side, and by their pace before that are in no view any more.

    A tracker goes on with whoever comes in there at that moment. If it is the same person who turned back, he is
    recognised as anybody is who comes in.
    """
    record = tracks.record
    gone = np.zeros(len(record), np.bool_)
    cut = np.flatnonzero(record["seen_ns"] > record["whole_ns"])
    if len(cut):
        gap_s = (tracks.now_ns - record["whole_ns"][cut]) * 1e-9
        whole_xy = record["whole_xy"][cut]
        by_now = whole_xy + gap_s[:, None] * record["whole_velocity"][cut]
        was_in_view, is_in_view = site.watched(np.concatenate([whole_xy, by_now])).reshape(2, -1)
        gone[cut] = was_in_view & ~is_in_view
    return gone


def forget(step: Step, census: Census, forget_ns: int, most: int) -> None:
    """Forget those lost for longer than `forget_ns`, and the longest lost where they are more than `most`."""
    if not len(census.lost):
        return
    now_ns, seen_ns = census.tracks.now_ns, census.lost["seen_ns"]
    if len(seen_ns) <= most and now_ns - int(seen_ns.min()) <= forget_ns:
        return
    gone = now_ns - seen_ns > forget_ns
    over = len(census.lost) - int(gone.sum()) - most
    if over > 0:
        gone[np.argsort(np.where(gone, np.iinfo(np.int64).max, seen_ns), kind="stable")[:over]] = True
    for old in census.lost.compress(gone):
        step.events.append(Event("ended", now_ns, int(old["global_id"]), camera=int(old["seen_camera"])))
        census.looks.release(int(old["entry"]))
        census.life.end(int(old["global_id"]))
    census.lost = census.lost.compress(~gone)

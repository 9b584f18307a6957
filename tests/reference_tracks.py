"""Slow, obvious twins of `tracklets`, `evidence`, `twins` and `roster`, person by person."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spoton_edge.ground_plane import EXPECTED, IN_VIEW, SHOWN, Site
from spoton_edge.tracklet_book import ENTRY
from spoton_edge.types import F4, F8, I2, I4, I8, U8, Bool, FootPoint, TrackState
from tests.reference_identity import absorb, as_matrix, distance2, nats

Table = NDArray[np.void]
MEETING_M, CLEAR_NATS = 2.0, 3.0


def iou(a: F4, b: F4) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(float(w), 0.0) * max(float(h), 0.0)
    return both / float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both) if both else 0.0


def enter(
    book: Table, keys: I8, camera: I2, captured_ns: I8, xyxy: F4, score: F4, batch: I2, now_ns: int, forget_ns: int
) -> tuple[Table, I4]:
    """The book after a step, and where its tracklets stand."""
    entries = {int(e["key"]): e.copy() for e in book}
    fresh = [e.copy() for e in book if e["fresh"]]
    for e in entries.values():
        e["fresh"] &= e["camera"] not in batch
    for key, c, when, box, s in zip(keys.tolist(), camera, captured_ns, xyxy, score, strict=True):
        if key not in entries:
            e = entries[key] = np.zeros(1, ENTRY)[0]
            e["key"], e["uid"], e["camera"], e["first_ns"] = key, -1, c, when
        e = entries[key]
        mine = [iou(box, f["box"]) for f in fresh if f["key"] == key]
        others = [iou(box, f["box"]) for f in fresh if f["key"] != key and f["camera"] == c]
        e["margin"] = max(mine[0] - max(others, default=0.0), 0.0) if mine else 0.0
        e["seen_ns"], e["box"], e["score"] = when, box, s
    kept = [k for k in sorted(entries) if k in keys or now_ns - entries[k]["seen_ns"] <= forget_ns]
    return np.array([entries[k] for k in kept], ENTRY), np.array([kept.index(int(k)) for k in keys], np.int32)


def note(
    record: Table,
    state: F8,
    cov: F8,
    entry: Table,
    at: I4,
    track: I4,
    camera: I2,
    seen: U8,
    when: I8,
    xyxy: F4,
    r: F8,
    foot: U8,
) -> None:
    for t, j in enumerate(track):
        entry["uid"][at[t]] = record["uid"][j] if j >= 0 else -1
        entry["fresh"][at[t]] |= j >= 0 and seen[t] == TrackState.VISIBLE
    for j, person in enumerate(record):
        views = [t for t in range(len(track)) if track[t] == j and seen[t] == TrackState.VISIBLE]
        if not views:
            continue
        doubt = np.array([np.trace(as_matrix(r[t])) for t in views])
        t = views[int(np.argmin(np.where(np.isnan(doubt), np.inf, doubt)))]
        person["seen_ns"], person["seen_camera"], person["seen_xy"] = when[t], camera[t], state[j, :2]
        person["seen_foot"] = (xyxy[t, 0] + xyxy[t, 2]) / 2, xyxy[t, 3]
        person["seen_sd"] = np.sqrt(np.trace(cov[j, :2, :2]) / 2)
        person["hits"] += 1
        if foot[t] != FootPoint.SIDE or person["whole_ns"] == 0:
            person["whole_ns"], person["whole_xy"], person["whole_velocity"] = when[t], state[j, :2], state[j, 2:]
            person["whole_sd"] = person["seen_sd"]
            person["whole_velocity_sd"] = np.sqrt(np.trace(cov[j, 2:, 2:]) / 2)


def weigh(
    record: Table, flags: U8, track: I4, camera: I2, seen: U8, explained: Bool, batch: I2, numbers: dict[str, float]
) -> None:
    looked = set(batch.tolist()) - set(camera[seen == TrackState.COASTING].tolist())
    for j, person in enumerate(record):
        views = np.flatnonzero(track == j)
        flags[j, camera[views]] |= SHOWN
        gain = 0.0
        for t in views:
            gain += numbers["hit_nats"] * (numbers["shadow"] if explained[t] and person["global_id"] < 0 else 1.0)
        for c in looked:
            gain -= numbers["miss_nats"] * bool(flags[j, c] & EXPECTED and not flags[j, c] & SHOWN)
        gain *= 1.0 if person["hits"] <= 1 else numbers["weight"]
        person["sureness"] = np.clip(person["sureness"] + gain, -numbers["most_nats"], numbers["most_nats"])


def changes(
    book: Table, record: Table, track: I4, held: I4, camera: I2, when: I8, track_id: I8, since_ns: int
) -> list[list[int]]:
    out = []
    for t, (now, before) in enumerate(zip(track.tolist(), held.tolist(), strict=True)):
        if now < 0 or now == before or record["global_id"][now] < 0:
            continue
        person, here = record[now], int(camera[t])
        watched = any(e["uid"] == person["uid"] and e["camera"] == here and e["seen_ns"] > since_ns for e in book)
        loser = int(record["global_id"][before]) if before >= 0 else -1
        came = int(person["seen_camera"])
        out.append([t, int(person["global_id"]), came, here, int(when[t]), int(track_id[t]), loser, int(watched)])
    return out


def leaving(
    record: Table, state: F8, cov: F8, now_ns: int, hold_s: float, doubt_nats: float, coast_s: float, coast_sd_m: float,
    leave_s: float,
) -> list[list[int]]:  # fmt: skip
    """Candidates, lost people, and people who are lost if out of view."""
    out: list[list[int]] = [[], [], []]
    for j, person in enumerate(record):
        unseen_s, placed = (now_ns - int(person["seen_ns"])) / 1e9, np.isfinite(state[j]).all()
        if person["global_id"] < 0:
            if unseen_s > hold_s or person["sureness"] < -doubt_nats:
                out[0].append(j)
        elif unseen_s > 0:
            unsure = placed and np.sqrt(np.trace(cov[j, :2, :2]) / 2) > coast_sd_m
            if person["sureness"] < 0 or unseen_s > coast_s or unsure:
                out[1].append(j)
            elif placed and unseen_s > leave_s:
                out[2].append(j)
    return out


def shadows(record: Table, pairs: dict[tuple[int, int], float]) -> list[bool]:
    """Which candidates are near somebody with an id, and never were seen to be two."""
    named = {int(person["uid"]): bool(person["global_id"] >= 0) for person in record}
    doubtful = [pair for pair, nats in pairs.items() if nats <= 0]
    beside = {one for one, other in doubtful if named.get(other)} | {b for a, b in doubtful if named.get(a)}
    return [not named[int(person["uid"])] and int(person["uid"]) in beside for person in record]


def compare_twins(
    record: Table, state: F8, cov: F8, flags: U8, pairs: dict[tuple[int, int], float], numbers: dict[str, float]
) -> tuple[dict[tuple[int, int], float], list[tuple[int, int]], Bool]:
    uid = record["uid"].tolist()
    pairs = {pair: nats for pair, nats in pairs.items() if set(pair) <= set(uid)}
    ones: list[tuple[int, int]] = []
    near = np.zeros(len(uid), np.bool_)
    for i in range(len(uid)):
        for j in range(i + 1, len(uid)):
            r = cov[i, :2, :2] + numbers["twin_m"] ** 2 * np.eye(2)
            d2 = distance2(state[j], cov[j], state[i, :2], np.array([r[0, 0], r[0, 1], r[1, 1]]), 0.0)
            if d2 > numbers["near_d2"]:
                continue
            near[[i, j]] = True
            shown = (flags[[i, j]] & SHOWN) > 0
            able = ((flags[[i, j]] & IN_VIEW) > 0).all(axis=0)
            change = numbers["tell_apart_nats"] * shown.all(axis=0).sum()
            change -= min(numbers["miss_nats"] * ((shown[0] != shown[1]) & able).sum(), 1.0)
            nats = pairs.get((uid[i], uid[j]), 0.0) + numbers["weight"] * change
            pairs[uid[i], uid[j]] = nats = min(max(nats, -numbers["one_nats"]), numbers["most_nats"])
            ripe = shown.any(axis=1).all() and d2 < numbers["ripe_d2"] and nats <= -numbers["one_nats"]
            if ripe and not {i, j} & {row for one in ones for row in one}:
                ones.append((i, j))
    return pairs, ones, near


def meet(
    record: Table, state: F8, cov: F8, pairs: Table, xy: F8, r: F8, lag_s: F8, placed: Bool, track: I4, most: float
) -> list[float]:
    """What is kept of each pair."""

    def against(whose: int, of: int, rows: int | None = None) -> float:
        here, spread, total = state[of], cov[of], 0.0
        for t in np.flatnonzero((track == whose) & placed)[:rows]:
            total += nats(here, spread, xy[t], r[t], lag_s[t])
            here, spread = absorb(here, spread, xy[t], r[t], lag_s[t])
        return total

    row_of = {int(person["uid"]): row for row, person in enumerate(record)}
    out = []
    for older, newer, _, kept in pairs.tolist():
        i, j = row_of.get(older, -1), row_of.get(newer, -1)
        near = min(i, j) >= 0 and np.linalg.norm(state[i, :2] - state[j, :2]) < MEETING_M
        if near and (np.isin(track, [i, j]) & placed).any():
            worse, first = (
                against(i, j, few) + against(j, i, few) - against(i, i, few) - against(j, j, few) for few in (None, 1)
            )
            if first > most + CLEAR_NATS:
                out.append(kept)
                continue
            now, before = 1 / (1 + np.exp(worse)), 1 / (1 + np.exp(kept))
            odd = now * (1 - before) + before * (1 - now)
            kept = min(np.log((1 - odd) / odd), most)
        out.append(float(kept))
    return out


def choose_views(
    record: Table,
    entry: Table,
    camera: I2,
    xyxy: F4,
    foot: U8,
    row: I4,
    height: F8,
    worth: F8,
    bonus: float,
    since: int,
) -> None:
    for j, person in enumerate(record):
        best = person["best_view"]
        views = [t for t in range(len(row)) if row[t] == j]
        recent = (entry["uid"] == person["uid"]) & (entry["camera"] == best) & (entry["seen_ns"] > since)
        if not views or (recent.any() and best not in camera[views]):
            continue

        def quality(t: int, best: int = best) -> tuple[float, int]:
            share = (xyxy[t, 3] - xyxy[t, 1]) / height[camera[t]] * worth[foot[t]]
            return share * (bonus if camera[t] == best else 1.0), -int(camera[t])

        person["best_view"] = camera[max(views, key=quality)]


def tell(
    record: Table, state: F8, cov: F8, lost: Table, entry: Table, row: I4, now_ns: int, lost_since: int, since: int
) -> list[dict[str, Any]]:
    """Everybody who is told of, with `views`: his tracklets."""
    people = []
    for j, person in enumerate(record):
        recent = (entry["uid"] == person["uid"]) & entry["fresh"] & (entry["seen_ns"] > since)
        people.append(
            {
                "global_id": person["global_id"],
                "xy": state[j, :2],
                "velocity": state[j, 2:],
                "cov": cov[j, [0, 0, 1], [0, 1, 1]],
                "state": TrackState.VISIBLE if recent.any() else TrackState.COASTING,
                "age_s": (now_ns - person["born_ns"]) * 1e-9,
                "best_view": person["best_view"] if recent.any() else -1,
                "views": np.flatnonzero(row == j).tolist(),
            }
        )
    for person in lost[lost["seen_ns"] >= lost_since]:
        people.append(
            {
                "global_id": person["global_id"],
                "xy": person["seen_xy"],
                "velocity": np.zeros(2),
                "cov": person["seen_sd"] ** 2 * np.array([1.0, 0.0, 1.0]),
                "state": TrackState.LOST,
                "age_s": (now_ns - person["born_ns"]) * 1e-9,
                "best_view": -1,
                "views": [],
            }
        )
    return sorted((p for p in people if p["global_id"] >= 0), key=lambda p: p["global_id"])


def sight(site: Site, xy: F8, camera: I2, xyxy: F4, margin: float) -> U8:
    flags = np.zeros((len(xy), len(site.planes)), np.uint8)
    for c, plane in enumerate(site.planes):
        if plane is None:
            continue
        for i, (u, v) in enumerate(plane.to_image(xy)):
            share = np.array([u, v]) / plane.image_size
            if not ((share >= 0) & (share <= 1)).all():
                continue
            covered = any(
                x1 <= u <= x2 and y1 <= v <= y2 - 0.1 * (y2 - y1) for x1, y1, x2, y2 in xyxy[camera == c].tolist()
            )
            inner = ((share >= margin) & (share <= 1 - margin)).all()
            flags[i, c] = IN_VIEW | (EXPECTED if inner and not covered else 0)
    return flags

"""Slow, obvious twins of `ground`, `fusion`, `births`, `handoff`, `matching`, `competition` and `similarity`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from spoton_edge.ground_plane import FootModel, GroundPlane
from spoton_edge.handoff import FIRST_LINK, NO_GATE, WALK_GATE, Handoff, Sight
from spoton_edge.types import F4, F8, I2, I4, I8, U8, Bool, FootPoint

ACCIDENT, SPREAD = 0.05, 9.0


def as_matrix(r: F8) -> F8:
    """xx, xy, yy -> (2, 2)."""
    return np.array([[r[0], r[1]], [r[1], r[2]]])


def seen_foot(plane: GroundPlane, box: F4, model: FootModel) -> tuple[F8, F8]:
    """Place (2,) and covariance (2, 2) of a box whose feet are seen, with the Jacobian taken by finite differences."""
    u, v, h = (box[0] + box[2]) / 2, float(box[3]), float(box[3] - box[1])

    def at(du: float, dv: float) -> F8:
        return plane.to_ground([[u + du, v + dv]])[0]

    step = 1e-3
    ju, jv = (at(step, 0) - at(-step, 0)) / (2 * step), (at(0, step) - at(0, -step)) / (2 * step)
    jacobian = np.column_stack([ju, jv])
    noise = np.diag([(model.sd_u * h) ** 2, (model.sd_v_seen * h) ** 2])
    place = at(0, 0) - model.shoe_m * jv / np.linalg.norm(jv)
    return place, jacobian @ noise @ jacobian.T + model.sd_calibration_m**2 * np.eye(2)


def predict(state: F8, cov: F8, dt_s: float, speed_sd_mps: float, keep_s: float) -> tuple[F8, F8]:
    """An Ornstein-Uhlenbeck velocity, integrated in a thousand small steps."""
    steps = 1000
    h = dt_s / steps
    f = np.eye(4)
    f[:2, 2:] = h * np.eye(2)
    f[2:, 2:] *= np.exp(-h / keep_s)
    q = np.zeros((4, 4))
    q[2:, 2:] = speed_sd_mps**2 * (1 - np.exp(-2 * h / keep_s)) * np.eye(2)
    for _ in range(steps):
        state, cov = f @ state, f @ cov @ f.T + q
    return state, cov


def whereabouts(
    person: np.void, now_ns: int, still_mps: float, sway_m: float, speed_sd_mps: float, keep_s: float
) -> tuple[F8, F8]:
    """Filter of somebody out of sight: who walked has gone on in any direction, as people whose velocity is unknown."""
    at = np.array([*person["seen_xy"], 0.0, 0.0])
    cov, there = np.zeros((4, 4)), np.diag([0, 0, speed_sd_mps**2, speed_sd_mps**2])
    gap_s = (now_ns - int(person["seen_ns"])) / 1e9
    if np.linalg.norm(person["whole_velocity"]) < still_mps:
        cov[:2, :2] = sway_m**2 * np.eye(2)
    elif gap_s > 0:
        cov[:2, :2] = predict(np.zeros(4), there, gap_s, speed_sd_mps, keep_s)[1][:2, :2]
    cov[:2, :2] += float(person["seen_sd"]) ** 2 * np.eye(2)
    cov[2:, 2:] = there[2:, 2:]
    return at, cov


def trusted(margin: float, r: F8, enough_margin: float, enough_sd_m: float) -> float:
    """Share of a tracklet's word that counts: from half of a full lead on, and of a full doubt of the foot point."""
    sd_m = np.sqrt(np.trace(as_matrix(r)))
    return float(
        np.interp(margin, [enough_margin, 2 * enough_margin], [0, 1])
        * np.interp(sd_m, [enough_sd_m, 2 * enough_sd_m], [0, 1])
    )


def innovation(state: F8, cov: F8, xy: F8, r: F8, lag_s: float) -> tuple[F8, F8]:
    return xy - state[:2] + lag_s * state[2:], cov[:2, :2] + as_matrix(r)


def density(e: F8, s: F8) -> float:
    return float(np.exp(-0.5 * e @ np.linalg.solve(s, e)) / (2 * np.pi * np.sqrt(np.linalg.det(s))))


def nats(state: F8, cov: F8, xy: F8, r: F8, lag_s: float) -> float:
    e, s = innovation(state, cov, xy, r, lag_s)
    wide = s + (SPREAD - 1) * as_matrix(r)
    return float(-np.log((1 - ACCIDENT) * density(e, s) + ACCIDENT * density(e, wide)))


def distance2(state: F8, cov: F8, xy: F8, r: F8, lag_s: float) -> float:
    e, s = innovation(state, cov, xy, r, lag_s)
    return float(e @ np.linalg.solve(s, e))


def absorb(state: F8, cov: F8, xy: F8, r: F8, lag_s: float) -> tuple[F8, F8]:
    """A Kalman update whose measurement is the wider the likelier it is an accident."""
    e, s = innovation(state, cov, xy, r, lag_s)
    wide = ACCIDENT * density(e, s + (SPREAD - 1) * as_matrix(r))
    odd = wide / (wide + (1 - ACCIDENT) * density(e, s))
    s = cov[:2, :2] + as_matrix(r) / (1 - odd + odd / SPREAD)
    gain = cov[:, :2] @ np.linalg.inv(s)
    return state + gain @ e, cov - gain @ cov[:2, :]


def begin(
    record: NDArray[np.void],
    state: F8,
    cov: F8,
    track: I4,
    known: int,
    next_uid: int,
    seen: U8,
    camera: I2,
    when: I8,
    lag_s: F8,
    boxes: F4,
    xy: F8,
    r: F8,
    floor: U8,
    limit: float,
    max_speed_mps: float,
    speed_sd_mps: float,
) -> list[int]:
    """Tracks for strangers, written as by `births.begin`; the rows that they began with."""
    began: list[int] = []
    for i in range(len(track)):
        placed = bool(np.isfinite(xy[i]).all())
        if track[i] >= 0 or seen[i] or (not placed and floor[camera[i]]):
            continue
        count = known + len(began)
        others = set(track[:i][camera[:i] == camera[i]].tolist())
        d2 = {j: distance2(state[j], cov[j], xy[i], r[i], 0.0) for j in range(known, count) if j not in others}
        near = min((j for j in d2 if d2[j] <= limit), key=lambda j: d2[j], default=-1)
        if near >= 0:
            views = [distance2(np.array([*xy[q], 0, 0]), np.zeros((4, 4)), xy[i], r[i] + r[q], 0.0)
                     for q in np.flatnonzero(track == near)]  # fmt: skip
            if max(views) <= limit and distance2(state[near], cov[near], xy[i], r[i], lag_s[i]) <= limit:
                state[near], cov[near] = absorb(state[near], cov[near], xy[i], r[i], lag_s[i])
                state[near, 2:] /= max(np.linalg.norm(state[near, 2:]) / max_speed_mps, 1.0)
                track[i] = near
                continue
        one = record[count : count + 1]
        one[:] = np.zeros(1, one.dtype)
        one["uid"], one["born_ns"], one["first_camera"] = next_uid + len(began), when[i], camera[i]
        one["global_id"] = one["best_view"] = one["entry"] = -1
        one["first_foot"] = (boxes[i, 0] + boxes[i, 2]) / 2, boxes[i, 3]
        one["first_xy"], one["first_sd"] = xy[i], np.sqrt(np.trace(as_matrix(r[i])) / 2)
        state[count] = *xy[i], 0, 0
        cov[count] = np.diag([0, 0, speed_sd_mps**2, speed_sd_mps**2])
        cov[count, :2, :2] = as_matrix(r[i]) if placed else np.nan
        track[i] = count
        began.append(i)
    return began


def compete(
    camera: I2,
    xy: F8,
    r: F8,
    lag_s: F8,
    state: F8,
    cov: F8,
    standing: I8,
    bonus: F8,
    base: float,
    limit: float,
    sweeps: int,
    leads: int,
) -> tuple[I4, F8]:
    """The match of `competition.compete` over all open pairs, and the gains of the last round; bonus (T, M).

    standing (M,): 0 a candidate, 1 a person, 2 somebody lost.
    """
    rows, tracks = len(xy), len(state)
    open_ = np.array(
        [[distance2(state[j], cov[j], xy[i], r[i], lag_s[i]) <= limit for j in range(tracks)] for i in range(rows)]
    ).reshape(rows, tracks)

    def look(c: int, match: I4, gains: F8, alone: bool) -> None:
        mine = np.flatnonzero(camera == c)
        gain = np.full((len(mine), tracks), -np.inf)
        for j in range(tracks):
            s, p = state[j], cov[j]
            for q in [] if alone else np.flatnonzero((match == j) & (camera != c)):
                if distance2(s, p, xy[q], r[q], lag_s[q]) <= limit:
                    s, p = absorb(s, p, xy[q], r[q], lag_s[q])
            for k, i in enumerate(mine):
                if open_[i, j] and distance2(s, p, xy[i], r[i], lag_s[i]) <= limit:
                    gain[k, j] = base + bonus[i, j] - nats(s, p, xy[i], r[i], lag_s[i])
        match[mine], gains[mine] = -1, gain
        for candidates in (False, True):
            free = np.flatnonzero(match[mine] < 0)
            useful = np.where(((standing == 0) == candidates)[None] & (gain[free] > 0), gain[free], 0.0)
            for a, b in zip(*linear_sum_assignment(-useful), strict=True):
                if useful[a, b] > 0 and standing[b] != 2:
                    match[mine[free[a]]] = b

    def worth(match: I4) -> float:
        total = 0.0
        for j in range(tracks):
            s, p = state[j], cov[j]
            for q in np.flatnonzero(match == j):
                total += base + bonus[q, j] - nats(s, p, xy[q], r[q], lag_s[q])
                if distance2(s, p, xy[q], r[q], lag_s[q]) <= limit:
                    s, p = absorb(s, p, xy[q], r[q], lag_s[q])
        return total

    cameras = np.unique(camera)
    best, best_match, best_gains = -np.inf, np.full(rows, -1, np.int32), np.full((rows, tracks), -np.inf)
    for attempt in range(1 + min(leads, len(cameras))):
        match, gains = np.full(rows, -1, np.int32), np.full((rows, tracks), -np.inf)
        for c in np.roll(cameras, 1 - attempt if attempt else 0):
            look(c, match, gains, alone=attempt == 0)
        for _ in range(sweeps):
            for c in cameras:
                look(c, match, gains, alone=False)
        if worth(match) > best + 1e-9:
            best, best_match, best_gains = worth(match), match, gains
    return best_match, best_gains


def grounds(match: I4, gain: F8, standing: I8, xy: F8, state: F8) -> tuple[F8, F8, Bool]:
    """Distance (T,), margin (T,) and whether a person would have gained, and more than anybody lost, as

    `competition.compete` gives them.
    """
    distance, margin = np.full((2, len(match)), np.nan)
    for i, j in enumerate(match):
        if j >= 0:
            distance[i] = np.linalg.norm(xy[i] - state[j, :2])
            margin[i] = gain[i, j] - max(np.delete(gain[i], j).max(initial=0.0), 0.0)
    people, lost = (np.maximum(gain[:, standing == k].max(axis=1, initial=0.0), 0.0) for k in (1, 2))
    return distance, margin, people > lost


def best_cosines(crop: F4, camera: int, prototypes: F4, theirs: I2) -> list[float]:
    """The best with prototypes of the crop's own camera, and of others; -2: none."""
    cosines = [(bool(of == camera), float(crop @ p)) for p, of in zip(prototypes, theirs, strict=True) if of >= 0]
    return [max((c for same, c in cosines if same == own), default=-2.0) for own in (True, False)]


def foot_kind(box: F4, others: F4, image_size: tuple[int, int], model: FootModel) -> FootPoint:
    """Whether a box's feet are seen, by areas counted on a grid."""
    width, height = image_size
    if box[3] >= height * (1 - model.edge):
        return FootPoint.CUT
    top = box[3] - (box[3] - box[1]) / 3
    u, v = np.meshgrid(np.linspace(box[0], box[2], 101), np.linspace(top, box[3], 101))
    for other in others:
        covers = (u >= other[0]) & (u <= other[2]) & (v >= other[1]) & (v <= other[3])
        if other[3] > box[3] and covers.mean() > model.cover:
            return FootPoint.COVERED
    if box[0] <= width * model.edge or box[2] >= width * (1 - model.edge):
        return FootPoint.SIDE
    return FootPoint.SEEN


def in_polygon(polygon: Sequence[Sequence[float]], u: float, v: float) -> bool:
    """By the winding angle: a full turn around a point inside, none around one outside."""
    corners = np.asarray(polygon, np.float64) - [u, v]
    angle = np.arctan2(corners[:, 1], corners[:, 0])
    turns = (np.diff(angle, append=angle[0]) + np.pi) % (2 * np.pi) - np.pi
    return bool(abs(turns.sum()) > np.pi)


def handoff_gate(handoff: Handoff, lost: Sight, i: int, new: Sight, j: int) -> int:
    """The gate from one lost to one new sight, rule by rule."""

    def lies_in(zone: str | Sequence[Sequence[float]] | None, camera: int, foot: F8) -> bool:
        if zone is None:
            return True
        if isinstance(zone, str):
            u, v = foot / handoff.image_sizes[camera]
            return zone == f"{'upper' if v < 0.5 else 'lower'}_{'left' if u < 0.5 else 'right'}"
        return in_polygon(zone, *foot)

    gap_s = (int(new.seen_ns[j]) - int(lost.seen_ns[i])) * 1e-9
    distance = float(np.linalg.norm(new.xy[j] - lost.xy[i]))
    placed = bool(np.isfinite(distance))
    reach = handoff.max_speed_mps * max(gap_s, 0.0) + 3.0 * float(np.hypot(lost.sd_m[i], new.sd_m[j]))
    if placed and distance > reach:
        return NO_GATE
    here, there = int(lost.camera[i]), int(new.camera[j])
    if here == there:
        return WALK_GATE if gap_s > 0 else NO_GATE
    gate = NO_GATE
    if placed and gap_s > 0 and here not in [link.camera for link in handoff.links]:
        gate = WALK_GATE
    for number, link in enumerate(handoff.links):
        possible = (link.camera, link.to) == (here, there) and link.travel_s[0] <= gap_s <= link.travel_s[1]
        if possible and lies_in(link.zone, here, lost.foot[i]) and lies_in(link.enter, there, new.foot[j]):
            gate = FIRST_LINK + number
    return gate

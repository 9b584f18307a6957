"""Slow, obvious twins of `stature`, reading by reading; the compiled ones must agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spoton_edge.types import F8, I2, I4, U8, FootPoint, TrackState

Table = NDArray[np.void]
KNOWN, MOST_READINGS, BIAS_RATE = 8, 2000, 0.01


def nats(read: float, spread: float, height: float, known: float, variance: float, odd: float) -> float:
    """A mixture of what a reading is of one so tall, and of odd ones, by its share of the most that it can be."""
    if known <= 0 or np.isnan(read):
        return 0.0
    spread += variance / max(known, 1)
    regular = np.exp(-((read - height) ** 2) / (2 * spread))
    return float(np.log(odd + (1 - odd) * regular))


def kind(foot: int) -> int:
    return int(foot != FootPoint.SEEN)


def compare(
    site: np.void, bias_m: F8, tall_m: F8, camera: I2, foot: U8, row: I4, record: Table, column: I4
) -> list[float]:
    out = []
    for t, j in zip(row, column, strict=True):
        k, person = kind(foot[t]), record[j]
        read = tall_m[t] - bias_m[camera[t]]
        known = person["tall"], person["tall_n"]
        out.append(nats(read, site["variance"][k], *known, site["variance"][0], site["odd"][k]))
    return out


def between(site: np.void, new: Table, old: Table) -> F8:
    out = np.zeros((len(new), len(old)))
    for i, one in enumerate(new):
        for j, other in enumerate(old):
            if one["tall_n"] > 0:
                spread = site["sway"] + site["variance"][0] / max(one["tall_n"], 1)
                known = other["tall"], other["tall_n"]
                out[i, j] = nats(one["tall"], spread, *known, site["variance"][0], site["odd"][0])
    return out


def learn(
    site: np.void, bias_m: F8, record: Table, tall_m: F8, camera: I2, foot: U8, seen: U8, track: I4, weight: float,
    late_most: float, enough: float, most: float,
) -> None:  # fmt: skip
    use = [t for t in range(len(track)) if track[t] >= 0 and seen[t] == TrackState.VISIBLE and not np.isnan(tall_m[t])]
    errors: tuple[list[float], list[float]] = ([], [])
    shares: tuple[list[float], list[float]] = ([], [])
    push = np.zeros(len(bias_m))
    for t in use:
        person, k = record[track[t]], kind(foot[t])
        if person["tall_n"] < KNOWN:
            continue
        error, variance, odd = tall_m[t] - bias_m[camera[t]] - person["tall"], site["variance"][k], site["odd"][k]
        density = (1 - odd) * np.exp(-(error**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        errors[k].append(error)
        shares[k].append(density / (density + odd))
        push[camera[t]] += BIAS_RATE * shares[k][-1] * error
    for k in (0, 1):
        if errors[k]:
            site["readings"][k] = min(site["readings"][k] + len(errors[k]), MOST_READINGS)
            off, odd = site["variance"][k], site["odd"][k]
            site["variance"][k] += np.dot(shares[k], np.square(errors[k]) - off) / site["readings"][k]
            site["odd"][k] += (1 - np.array(shares[k]) - odd).sum() / site["readings"][k]
    if any(errors):
        bias_m += push
        bias_m -= bias_m.mean()
    learn_people(site, bias_m, record, [(int(track[t]), kind(foot[t]), tall_m[t] - bias_m[camera[t]]) for t in use],
                 weight, late_most, enough, most)  # fmt: skip


def learn_people(
    site: np.void, bias_m: F8, record: Table, readings: list[tuple[int, int, float]], weight: float, late_most: float,
    enough: float, most: float,
) -> None:  # fmt: skip
    """readings: of a track, of seen or covered feet, in metres."""
    swayed, first = [], float(site["variance"][0])
    for j, person in enumerate(record):
        mine = [(read, float((1 - site["odd"][k]) * first / site["variance"][k])) for i, k, read in readings if i == j]
        if not mine:
            continue
        trust = sum(t for _, t in mine)
        read = sum(r * t for r, t in mine) / trust
        of_seen_feet = [r for i, k, r in readings if i == j and k == 0]
        person["read_m"] += sum(of_seen_feet)
        person["reads"] += len(of_seen_feet)
        share = weight * min(trust, 1)
        person["late_n"] = min(person["late_n"] + share, late_most)
        person["late_tall"] += share / person["late_n"] * (read - person["late_tall"])
        if person["tall_n"] >= KNOWN and person["late_n"] >= enough:
            swayed.append(min((person["late_tall"] - person["tall"]) ** 2, 9 * float(site["sway"])))
        if person["tall_n"] >= KNOWN:
            share *= np.exp(-((read - person["tall"]) ** 2) / (2 * first))
        known = min(person["tall_n"] + share, most)
        person["tall"] += share / known * (read - person["tall"])
        person["tall_n"] = known
    if swayed:
        site["swayed"] = min(site["swayed"] + len(swayed), MOST_READINGS)
        site["sway"] += (np.array(swayed) - site["sway"]).sum() / site["swayed"]


def exchanged(site: np.void, record: Table, pairs: Table, enough: float, least: float) -> dict[tuple[int, int], float]:
    """Odds by rows."""

    def late(row: np.void, who: np.void) -> float:
        of = site["variance"][0], site["odd"][0]
        return nats(row["late_tall"], site["sway"], who["tall"], who["tall_n"], *of)

    found = {}
    rows = {int(person["uid"]): row for row, person in enumerate(record)}
    for older, newer, _, kept in pairs.tolist():
        if older not in rows or newer not in rows:
            continue
        one, other = record[rows[older]], record[rows[newer]]
        if min(one["global_id"], other["global_id"]) < 0:
            continue
        if min(one["late_n"], one["tall_n"], other["late_n"], other["tall_n"]) < enough:
            continue
        odds = late(one, other) + late(other, one) - late(one, one) - late(other, other) - kept
        if odds >= least:
            found[rows[older], rows[newer]] = odds
    return found

"""People who come in at a picture's side just as others go out there: ByteTrack goes on with one for the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spoton_edge.departures import going_out
from spoton_edge.global_track import TRACK, Motion, TrackTable
from spoton_edge.tracker import Tracker
from spoton_edge.types import Tracklets
from tests.test_association import associator, looks_of, standing
from tests.world import Seen, Walker, World, corridor, detections

RATE_HZ = 10.0


def ids_of(world: World) -> dict[int, list[int]]:
    """Of each person the ids that his boxes were given, frame after frame, behind a real tracker."""
    ids, tracker, given = associator(world), Tracker([RATE_HZ]), {}
    for seen in world.steps():
        batch, found = detections(seen)
        tracklets = tracker.update(batch, found)
        row = [int(np.flatnonzero(seen.scores[0] == score)[0]) for score in tracklets.score]
        tracklets = embedded(ids.site.project(tracklets), seen, row)
        wanted = tracklets.has_embedding & ids.wanted(tracklets)
        tracks, _ = ids.update(batch.camera, batch.captured_ns, replace(tracklets, has_embedding=wanted))
        person = {int(t): int(seen.who[0][r]) for t, r in zip(tracklets.track_id, row, strict=True)}
        for of, track_id in zip(tracks.views.row.tolist(), tracks.views.track_id.tolist(), strict=True):
            given.setdefault(person[track_id], []).append(int(tracks.global_id[of]))
    return given


def embedded(tracklets: Tracklets, seen: Seen, row: list[int]) -> Tracklets:
    """With the looks of their boxes."""
    return replace(tracklets, embedding=seen.looks[0][row], has_embedding=seen.clear[0][row])


@pytest.mark.parametrize(("seed", "late_m"), [(0, 0.3), (1, 0.3), (2, 0.0)])
def test_who_comes_in_where_another_goes_out_never_has_his_id(seed: int, late_m: float) -> None:
    """A camera that sees 3.6 m to either side; the second comes in a metre nearer to it than the first goes out."""
    goes = np.array([[0.0, -3.0, 0.0], [6.0, 3.6, 0.0], [9.0, 6.9, 0.0]])
    comes = np.array([[0.0, 10.2 + late_m, -1.0], [6.0, 3.6 + late_m, -1.0], [12.0, -3.0, -1.0]])
    walkers = [Walker(way, look) for way, look in zip((goes, comes), looks_of(2, seed), strict=True)]
    given = ids_of(World(corridor(1), walkers, 11.0, RATE_HZ, seed, false_alarms=0.0))
    assert len(set(given[0])) == 1
    assert len(given[1]) > 35
    assert not set(given[0]) & set(given[1])


@pytest.mark.parametrize("far_m", [3.2, 3.6, 5.0])
@pytest.mark.parametrize("stays_s", [0.0, 2.0])
def test_who_turns_back_at_the_side_keeps_his_id(far_m: float, stays_s: float) -> None:
    way = [[0.0, -3.0, 0.0], [6.0, far_m, 0.0], [6.0 + stays_s, far_m, 0.0], [12.0 + stays_s, -3.0, 0.0]]
    walker = Walker(np.array(way), looks_of(1)[0])
    given = ids_of(World(corridor(1), [walker], 12.0 + stays_s, RATE_HZ, false_alarms=0.0))
    assert len(given[0]) > 80
    assert len(set(given[0])) == 1


def test_who_stands_half_in_the_picture_is_not_going_out() -> None:
    walker = Walker(standing(3.6, 0.0, 8.0), looks_of(1)[0])
    given = ids_of(World(corridor(1), [walker], 8.0, RATE_HZ, false_alarms=0.0))
    assert len(given[0]) > 60
    assert len(set(given[0])) == 1


def test_only_who_was_last_cut_by_the_side_and_walked_outward_has_gone_out() -> None:
    site, tracks = associator(World(corridor(1), [], 0.0)).site, TrackTable(Motion())
    tracks.record, tracks.now_ns = np.zeros(4, TRACK), 1_600_000_000
    tracks.record["whole_ns"], tracks.record["whole_xy"] = 1_000_000_000, [3.4, 0.0]
    tracks.record["seen_ns"] = [1_500_000_000, 1_500_000_000, 1_000_000_000, 1_500_000_000]
    tracks.record["whole_velocity"] = [[1.2, 0.0], [-1.2, 0.0], [1.2, 0.0], [0.0, 0.0]]
    assert going_out(tracks, site).tolist() == [True, False, False, False]

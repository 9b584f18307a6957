"""What identity promises, on simulated sites with known truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.association import Associator
from spoton_edge.gallery import Appearance
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.handoff import Link
from spoton_edge.types import Event, GlobalTracks, Tracklets, TrackState
from tests.world import (
    Camera,
    OracleTracker,
    Seen,
    Walker,
    World,
    appearances,
    corridor,
    room,
    wanderers,
)

# Of the embeddings that `World` makes at its default noise.
LOOKS = Appearance(same_mean=0.92, same_sd=0.03, different_mean=0.0, different_sd=0.18)


def planes(cameras: Sequence[Camera]) -> list[GroundPlane | None]:
    return [GroundPlane(c.homography, c.image_size, projection=c.projection) for c in cameras]


def associator(world: World, links: Sequence[Link] = (), **options: object) -> Associator:
    return Associator(planes(world.cameras), links, **{"appearance": LOOKS, **options})  # type: ignore[arg-type]


@dataclass
class Run:
    """What came of a world: every step, and whose boxes each id was given."""

    steps: list[tuple[Seen, GlobalTracks, list[Event]]] = field(default_factory=list)
    owners: dict[int, Counter[int]] = field(default_factory=dict)  # id -> boxes of each person
    ids: dict[int, list[int]] = field(default_factory=dict)  # person -> the ids that most of his boxes have, in order

    def events(self, kind: str) -> list[Event]:
        return [event for _, _, events in self.steps for event in events if event.kind == kind]


def play(
    world: World,
    associator: Associator,
    switch: float = 0.0,
    watch: Callable[[Tracklets, GlobalTracks], None] = lambda shown, tracks: None,
    shuffle: np.random.Generator | None = None,
) -> Run:
    run, tracker = Run(), OracleTracker(switch=switch, seed=1)
    cameras = np.arange(len(world.cameras), dtype=np.int16)
    for seen in world.steps():
        tracklets, _ = tracker.update(seen)
        tracklets = associator.site.project(tracklets)
        wanted = associator.wanted(tracklets)
        tracklets = replace(tracklets, has_embedding=tracklets.has_embedding & wanted)
        order = np.arange(len(cameras))
        if shuffle is not None:
            order = shuffle.permutation(order)
            tracklets = shuffled(tracklets, order)
        at = np.full(len(cameras), seen.captured_ns)
        tracks, events = associator.update(cameras[order], at, tracklets)
        person = {
            (int(c), int(t)): int(w)
            for c, ids, people in zip(cameras, camera_ids(tracker, seen), seen.who, strict=True)
            for t, w in zip(ids, people, strict=True)
        }
        shares: dict[int, Counter[int]] = {}
        for row, c, t in zip(tracks.views.row, tracks.views.camera, tracks.views.track_id, strict=True):
            global_id, owner = int(tracks.global_id[row]), person[int(c), int(t)]
            run.owners.setdefault(global_id, Counter())[owner] += 1
            shares.setdefault(owner, Counter())[global_id] += 1
        for owner, share in shares.items():
            mine, best = run.ids.setdefault(owner, []), min(share, key=lambda i: (-share[i], i))
            if not mine or (mine[-1] != best and share[best] > share[mine[-1]]):
                mine.append(best)
        watch(tracklets, tracks)
        run.steps.append((seen, tracks, events))
    return run


def camera_ids(tracker: OracleTracker, seen: Seen) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [tracker.last[c] for c in range(len(seen.who))]


def shuffled(tracklets: Tracklets, order: np.ndarray) -> Tracklets:  # type: ignore[type-arg]
    rows = np.concatenate([np.flatnonzero(tracklets.camera == c) for c in order]).astype(np.int64)
    return replace(tracklets, **{name: getattr(tracklets, name)[rows] for name in tracklets.__slots__})


def standing(x: float, y: float, seconds: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([[0.0, x, y], [seconds, x, y]])


def looks_of(count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    return appearances(count, 32, np.random.default_rng(seed))


# -- promise 1: one id, one person -------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from([room, corridor]), st.floats(0.0, 0.05))
@settings(max_examples=6, deadline=None)
def test_an_id_is_never_twice_in_a_camera_nor_in_two_places(
    seed: int, layout: Callable[[int], list[Camera]], switch: float
) -> None:
    rng = np.random.default_rng(seed)
    world = World(layout(3), wanderers(7, 8.0, rng), seconds=8.0, seed=seed)
    ids = associator(world)

    def watch(shown: Tracklets, tracks: GlobalTracks) -> None:
        pairs = list(zip(tracks.views.row.tolist(), tracks.views.camera.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)
        assert len(set(tracks.global_id.tolist())) == len(tracks)
        keys = {(int(c), int(t)): i for i, (c, t) in enumerate(zip(shown.camera, shown.track_id, strict=True))}
        at = np.array(
            [keys[int(c), int(t)] for c, t in zip(tracks.views.camera, tracks.views.track_id, strict=True)], int
        )
        for row in range(len(tracks)):
            mine = np.flatnonzero(tracks.views.row == row)
            for a in mine:
                for b in mine[mine > a]:
                    apart = shown.ground_xy[at[a]] - shown.ground_xy[at[b]]
                    xx, xy, yy = shown.ground_cov[at[a]] + shown.ground_cov[at[b]]
                    assert apart @ np.linalg.solve([[xx, xy], [xy, yy]], apart) <= 1.5 * ids.policy.gate

    play(world, ids, switch, watch)


def test_look_alikes_in_cameras_that_do_not_overlap_never_share_an_id() -> None:
    """Two people dressed alike, at the same instant, in two cameras far apart."""
    look = looks_of(1)[0]
    paths = [np.array([[0.0, x - 2.5, -0.5], [8.0, x + 2.5, 0.5], [16.0, x - 2.5, 0.5]]) for x in (0.0, 14.0)]
    world = World(corridor(2), [Walker(path, look) for path in paths], seconds=16.0, seed=5, look_noise=0.0)
    run = play(world, associator(world))
    assert len(run.owners) >= 2
    assert all(len([p for p in people if p >= 0]) <= 1 for people in run.owners.values())
    assert not set(run.ids[0]) & set(run.ids[1])


def test_one_person_who_crosses_an_overlap_never_has_two_ids() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        way = np.array([[0.0, 0.5, rng.uniform(1, 7)], [12.0, 9.5, rng.uniform(1, 7)]])
        world = World(room(4), [Walker(way, looks_of(1)[0])], seconds=12.0, seed=seed)
        run = play(world, associator(world))
        assert len(run.ids[0]) == 1
        assert max(len(tracks) for _, tracks, _ in run.steps) <= 1 + len(run.owners) - 1


def test_people_in_a_room_keep_their_ids_though_their_trackers_mistake_them() -> None:
    rng = np.random.default_rng(11)
    world = World(room(4), wanderers(6, 20.0, rng, stay_s=(12.0, 18.0)), seconds=25.0, seed=11)
    run = play(world, associator(world), switch=0.05)
    right = sum(max(people.values()) for people in run.owners.values())
    assert right >= 0.95 * sum(sum(people.values()) for people in run.owners.values())


# -- promise 2: only possible handoffs ---------------------------------------------------------------------------------


def travel(gap_s: float, distance_m: float = 14.0) -> World:
    """One person who leaves the first camera of a corridor, and is in the second `gap_s` later."""
    knots = np.array(
        [[0.0, 0.0, 0.0], [3.0, 4.5, 0.0], [3.0 + gap_s, distance_m - 4.5, 0.0], [9.0 + gap_s, distance_m, 0.0]]
    )
    hidden = ((3.0, 3.0 + gap_s),)
    return World(corridor(2), [Walker(knots, looks_of(1)[0], hidden_s=hidden)], seconds=9.0 + gap_s, seed=2)


def test_a_person_walks_from_view_to_view_and_keeps_the_id() -> None:
    world = travel(gap_s=5.0)
    run = play(world, associator(world))
    assert len(run.ids[0]) == 1
    (handoff,) = [e for e in run.events("handed_off") if e.camera == 1]
    assert handoff.from_camera == 0
    assert handoff.reason is not None
    assert handoff.reason.gate == "walk"
    assert handoff.reason.cosine is not None


def test_nobody_is_handed_over_faster_than_he_can_walk() -> None:
    world = travel(gap_s=0.2)  # 1.4 s between the sights, 6 m apart
    run = play(world, associator(world))
    assert len(run.ids[0]) == 2


def test_links_close_the_ways_they_do_not_name() -> None:
    world = travel(gap_s=5.0)
    right = Link(camera=0, zone=[[640, 0], [1280, 0], [1280, 720], [640, 720]], to=1, travel_s=(2.0, 20.0))
    assert len(play(world, associator(world, [right])).ids[0]) == 1
    late = replace(right, travel_s=(30.0, 60.0))
    assert len(play(world, associator(world, [late])).ids[0]) == 2
    elsewhere = replace(right, zone="upper_left")
    assert len(play(world, associator(world, [elsewhere])).ids[0]) == 2


def test_without_a_floor_only_a_link_hands_over() -> None:
    world = travel(gap_s=5.0)
    link = Link(camera=0, zone=[[0, 0], [1280, 0], [1280, 720], [0, 720]], to=1, travel_s=(2.0, 20.0))
    blind: list[GroundPlane | None] = [None, None]
    linked = play(world, Associator(blind, [link], appearance=LOOKS))
    assert len(linked.ids[0]) == 1
    assert all(np.isnan(tracks.xy).all() for _, tracks, _ in linked.steps)
    assert len(play(world, Associator(blind, appearance=LOOKS)).ids[0]) == 2


# -- promises 3, 4, 5: ids, determinism, memory ------------------------------------------------------------------------


def test_ids_count_up_and_are_never_given_twice() -> None:
    rng = np.random.default_rng(4)
    world = World(room(3), wanderers(12, 40.0, rng, stay_s=(5.0, 10.0)), seconds=45.0, seed=4)
    run = play(world, associator(world, forget_s=5.0, first_id=1000))
    born = [e.global_id for e in run.events("appeared")]
    assert born == list(range(1000, 1000 + len(born)))
    ended: set[int] = set()
    for _, tracks, events in run.steps:
        assert not ended & set(tracks.global_id.tolist())
        ended |= {e.global_id for e in events if e.kind == "ended"}
    assert ended


def test_ids_come_from_the_source_they_are_asked_of() -> None:
    world = World(room(2), [Walker(standing(5, 4, 5), looks_of(1)[0])], seconds=3.0)
    blocks = iter([501, 502])
    run = play(world, associator(world, next_id=lambda: next(blocks)))
    assert list(run.owners) == [501]


def published(run: Run) -> list[bytes]:
    return [b"".join(getattr(t, n).tobytes() for n in ("global_id", "xy", "cov", "state")) for _, t, _ in run.steps]


def test_the_same_input_gives_the_same_bytes_and_the_order_of_cameras_changes_nothing() -> None:
    rng = np.random.default_rng(8)
    world = World(room(4), wanderers(6, 12.0, rng), seconds=12.0, seed=8)
    first = published(play(world, associator(world), switch=0.02))
    assert first == published(play(world, associator(world), switch=0.02))
    assert first == published(play(world, associator(world), switch=0.02, shuffle=np.random.default_rng(1)))


def test_memory_is_bounded_by_the_people_remembered() -> None:
    rng = np.random.default_rng(9)
    world = World(room(2), wanderers(60, 100.0, rng, stay_s=(2.0, 4.0)), seconds=105.0, frame_rate=5.0, seed=9)
    ids = associator(world, max_people=5, forget_s=1000.0)
    play(world, ids)
    assert len(ids._census.lost) <= 5
    assert len(ids._census.life._lives) <= 5 + len(ids._census.tracks)
    assert len(ids._census.book.entry) < 60


# -- two in one, and one for another -----------------------------------------------------------------------------------


def test_an_id_that_turns_out_to_be_two_people_is_split_and_told() -> None:
    """Two walk side by side, and each camera sees but one of them; then they part."""
    ways = [np.array([[0.0, 2.0, 4.0 + d], [6.0, 5.0, 4.0 + d], [9.0, 6.5, 4.0 + 15 * d]]) for d in (0.1, -0.1)]
    world = World(room(2), [Walker(way, looks_of(1)[0]) for way in ways], seconds=9.0, miss=0.0, false_alarms=0.0)
    ids, tracker, events = associator(world), OracleTracker(), []
    for seen in world.steps():
        tracklets, who = tracker.update(seen)
        rows = np.flatnonzero(who == tracklets.camera)
        part = replace(tracklets, **{name: getattr(tracklets, name)[rows] for name in tracklets.__slots__})
        bare = replace(ids.site.project(part), has_embedding=np.zeros(len(rows), np.bool_))
        tracks, told = ids.update(np.arange(2, dtype=np.int16), np.full(2, seen.captured_ns), bare)
        events += told
        if seen.frame_id == 50:
            assert tracks.global_id.tolist() == [1]
            assert tracks.views.camera.tolist() == [0, 1]
    assert [tracks.views.camera[tracks.views.row == row].size for row in range(len(tracks))] == [1, 1]
    (split,) = [event for event in events if event.kind == "split"]
    assert (split.global_id, split.other) == (1, 2)
    assert split.reason is not None
    assert split.reason.distance_m is not None
    assert [event.global_id for event in events if event.kind == "appeared"] == [1, 2]
    assert "split off 2" in [event.detail for event in ids.explain(1)]


def test_a_camera_whose_tracker_swaps_two_people_is_put_right_by_the_others() -> None:
    ways = [np.array([[0.0, 3.0, 2.0], [12.0, 7.0, 6.0]]), np.array([[0.0, 3.0, 6.0], [12.0, 7.0, 2.0]])]
    world = World(room(3), [Walker(way, look) for way, look in zip(ways, looks_of(2), strict=True)], 12.0, miss=0.0)
    ids, tracker, owners = associator(world), OracleTracker(), {}
    for seen in world.steps():
        if seen.frame_id == 60:  # they cross, and the first camera's tracker takes one for the other from here on
            one, other = (0, 0), (0, 1)
            tracker._tracks[one], tracker._tracks[other] = tracker._tracks[other], tracker._tracks[one]
        tracklets, who = tracker.update(seen)
        bare = replace(ids.site.project(tracklets), has_embedding=np.zeros(len(tracklets), np.bool_))
        tracks, _ = ids.update(np.arange(3, dtype=np.int16), np.full(3, seen.captured_ns), bare)
        person = {(int(c), int(t)): int(p) for c, t, p in zip(bare.camera, bare.track_id, who, strict=True)}
        if 30 <= seen.frame_id < 55 or seen.frame_id >= 70:
            for row, c, t in zip(tracks.views.row, tracks.views.camera, tracks.views.track_id, strict=True):
                owners.setdefault(int(tracks.global_id[row]), Counter())[person[int(c), int(t)]] += 1
    assert len(owners) == 2
    assert all(max(owner.values()) >= 0.99 * sum(owner.values()) for owner in owners.values())
    assert {owner.most_common(1)[0][0] for owner in owners.values()} == {0, 1}


# -- one camera without a floor ----------------------------------------------------------------------------------------


def test_a_camera_without_a_floor_tells_what_its_tracker_tells_and_hides_nobody() -> None:
    rng = np.random.default_rng(2)
    world = World(room(1), wanderers(12, 30.0, rng, stay_s=(5.0, 12.0)), seconds=30.0, seed=2, false_alarms=0.0)
    ids, tracker, of = Associator([None]), OracleTracker(), {}
    for seen in world.steps():
        tracklets, _ = tracker.update(seen)
        bare = replace(tracklets, has_embedding=np.zeros(len(tracklets), np.bool_))
        tracks, _ = ids.update(np.zeros(1, np.int16), np.array([seen.captured_ns]), ids.site.project(bare))
        assert sorted(tracks.views.track_id.tolist()) == sorted(bare.track_id.tolist())
        for row, track_id in zip(tracks.views.row, tracks.views.track_id.tolist(), strict=True):
            of.setdefault(track_id, set()).add(int(tracks.global_id[row]))
    assert len(of) >= 12
    assert all(len(given_) == 1 for given_ in of.values())
    assert len(set.union(*of.values())) == len(of)


# -- out of sight ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden_s", [1.0, 5.0, 20.0])
def test_a_person_who_stands_still_and_is_hidden_keeps_the_id_and_a_passer_by_does_not_take_it(hidden_s: float) -> None:
    kept = 0
    for seed in range(4):
        sits = Walker(standing(5, 4, hidden_s + 16), looks_of(2)[0], hidden_s=((8.0, 8.0 + hidden_s),))
        middle = 8.0 + hidden_s / 2
        way = np.array([[middle - 5, 0.5, 3.9], [middle + 5, 9.5, 4.1]])
        world = World(room(4), [sits, Walker(way, looks_of(2)[1])], seconds=hidden_s + 16, seed=seed)
        run = play(world, associator(world))
        assert not set(run.ids[0]) & set(run.ids[1])
        kept += len(run.ids[0]) == 1
    assert kept == 4


AWAY_AND_BACK = np.array([[0.0, 5.0, 4.0], [7.0, 5.0, 15.0], [35.0, 5.0, 15.0], [42.0, 5.0, 4.0]])


def test_who_comes_back_gets_the_id_back_where_no_look_alike_is_possible() -> None:
    a, b = looks_of(2)
    guest = np.array([[9.0, 5.0, 15.0], [16.0, 5.0, 4.0], [23.0, 5.0, 15.0]])
    world = World(room(1), [Walker(AWAY_AND_BACK, a), Walker(guest, b)], seconds=42.0, seed=6)
    run = play(world, associator(world))
    assert len(run.ids[0]) == 1
    assert not set(run.ids[0]) & set(run.ids[1])


def test_who_comes_back_gets_a_new_id_where_he_could_be_another() -> None:
    """Two people dressed alike are there, both leave, and one of them comes back."""
    (a,) = looks_of(1)
    other = np.array([[0.0, 7.0, 2.0], [4.0, 7.0, 2.0], [12.0, 5.0, 15.0]])
    world = World(room(1), [Walker(AWAY_AND_BACK, a), Walker(other, a)], seconds=42.0, seed=6)
    run = play(world, associator(world))
    assert run.ids[1] == [run.ids[1][0]]
    assert len(run.ids[0]) == 2
    assert run.ids[0][1] not in (run.ids[0][0], run.ids[1][0])


def test_the_lost_are_told_of_for_a_while_and_then_end() -> None:
    world = World(room(2), [Walker(standing(5, 4, 4), looks_of(1)[0])], seconds=20.0)
    run = play(world, associator(world, lost_s=3.0, forget_s=8.0))
    states = [int(t.state[0]) if len(t) else -1 for _, t, _ in run.steps]
    assert TrackState.COASTING in states
    assert TrackState.LOST in states
    assert states[-1] == -1
    assert [e.kind for _, _, events in run.steps for e in events if e.kind in ("lost", "ended")] == ["lost", "ended"]


# -- views, crops, reasons ---------------------------------------------------------------------------------------------


def test_the_best_view_is_the_nearest_and_does_not_flicker() -> None:
    world = World(room(4), [Walker(np.array([[0.0, 1.5, 1.5], [20.0, 8.5, 6.5]]), looks_of(1)[0])], seconds=20.0)
    run = play(world, associator(world))
    views = [int(t.best_view[0]) for _, t, _ in run.steps if len(t) and t.best_view[0] >= 0]
    assert 1 <= sum(a != b for a, b in pairwise(views)) <= 4
    centres = np.array([c.centre[:2] for c in world.cameras])
    assert views[5] == int(np.argmin(np.linalg.norm(centres - [1.5, 1.5], axis=1)))


def test_a_crop_is_wanted_when_new_and_when_stale_and_never_beyond_the_budget() -> None:
    rng = np.random.default_rng(3)
    world = World(room(4), wanderers(10, 8.0, rng), seconds=8.0, seed=3)
    ids, tracker, counts = associator(world, crops_per_batch=3), OracleTracker(), []
    for seen in world.steps():
        tracklets = ids.site.project(tracker.update(seen)[0])
        wanted = ids.wanted(tracklets)
        counts.append(int(wanted.sum()))
        tracklets = replace(tracklets, has_embedding=tracklets.has_embedding & wanted)
        ids.update(np.arange(4, dtype=np.int16), np.full(4, seen.captured_ns), tracklets)
    assert max(counts) == 3
    assert min(counts) == 0
    assert ids.budget_hits > 0


def test_every_id_can_say_why_it_is_given() -> None:
    world = travel(gap_s=5.0)
    ids = associator(world)
    run = play(world, ids)
    (global_id,) = run.owners
    life = ids.explain(global_id)
    assert [event.detail for event in life if not event.detail.startswith("track")] == ["appeared", "resumed"]
    resumed = next(event for event in life if event.detail == "resumed")
    assert resumed.reason is not None
    assert resumed.reason.margin is not None
    assert resumed.reason.margin >= ids.policy.posterior_nats
    assert ids.explain(999) == []


def test_a_camera_that_is_not_in_the_batch_does_not_make_its_people_coast() -> None:
    world = World(room(2), [Walker(standing(5, 4, 6), looks_of(1)[0])], seconds=4.0, frame_rate=20.0, miss=0.0)
    ids, tracker, states = associator(world), OracleTracker(), []
    for seen in world.steps():
        camera = seen.frame_id % 2
        tracklets = ids.site.project(tracker.update(seen, [camera])[0])
        tracks, _ = ids.update(np.array([camera], np.int16), np.array([seen.captured_ns]), tracklets)
        states += tracks.state.tolist()
    assert set(states) == {TrackState.VISIBLE}

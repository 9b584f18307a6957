"""What an associator knows can be doubled and handed on as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.types import F8, I2, I8, GlobalTracks, Tracklets
from tests.test_association import associator
from tests.world import OracleTracker, World, room, wanderers

Step = tuple[I2, I8, Tracklets]


def steps(world: World) -> Iterator[Step]:
    """What an associator is fed with, every clear crop embedded."""
    tracker, site = OracleTracker(switch=0.02, seed=1), associator(world).site
    cameras = np.arange(len(world.cameras), dtype=np.int16)
    for seen in world.steps():
        yield cameras, np.full(len(cameras), seen.captured_ns), site.project(tracker.update(seen)[0])


def crowd() -> World:
    return World(room(3), wanderers(8, 30.0, np.random.default_rng(4)), seconds=12.0, frame_rate=5.0, seed=4)


def places(tracks: GlobalTracks) -> tuple[list[list[float]], list[list[int]]]:
    """Where people are and by whom they are seen, whatever they are called."""
    order = np.lexsort(tracks.xy.T)
    rank: F8 = np.argsort(order)
    views = np.column_stack([rank[tracks.views.row], tracks.views.camera, tracks.views.track_id])
    return tracks.xy[order].tolist(), sorted(views.tolist())


def test_a_branch_goes_on_as_the_one_that_it_was_taken_from() -> None:
    world = crowd()
    ids = associator(world)
    fed = list(steps(world))
    for step in fed[:30]:
        ids.update(*step)
    branch, known = ids.branch(), {person.global_id for person in ids.known()}
    went = [ids.update(*step)[0] for step in fed[30:]]
    again = [branch.update(*step)[0] for step in fed[30:]]
    assert [places(tracks) for tracks in again] == [places(tracks) for tracks in went]
    for one, other in zip(went, again, strict=True):
        assert known & set(one.global_id.tolist()) == known & set(other.global_id.tolist())
    new = [{i for tracks in run for i in tracks.global_id.tolist()} - known for run in (went, again)]
    assert new[0]
    assert not new[0] & new[1]  # ids are counted together


def test_a_branch_shares_nothing_that_is_written_to() -> None:
    world = crowd()
    ids = associator(world, crops_per_batch=4)
    for camera, captured_ns, tracklets in list(steps(world))[:40]:
        wanted = ids.wanted(tracklets)
        ids.update(camera, captured_ns, replace(tracklets, has_embedding=tracklets.has_embedding & wanted))
    ids.resume(ids.known(), 10.0)
    mine, its = dict(_parts(ids, "ids", set())), dict(_parts(ids.branch(), "ids", set()))
    assert len(mine) > 50
    assert {type(part) for part in mine.values()} >= {np.ndarray, dict, list}
    for path, part in mine.items():
        assert not any(part is other for other in its.values()), path
        if isinstance(part, np.ndarray):
            arrays = (other for other in its.values() if isinstance(other, np.ndarray))
            assert not any(np.may_share_memory(part, other) for other in arrays), path


def _parts(thing: object, path: str, seen: set[int]) -> Iterator[tuple[str, object]]:
    """Everything within a thing that can change, by its path: writable arrays, containers, objects of ours."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    frozen = getattr(getattr(type(thing), "__dataclass_params__", None), "frozen", False)
    if isinstance(thing, np.ndarray):
        if thing.flags.writeable and thing.size:
            yield path, thing
    elif isinstance(thing, (list, tuple, set, dict)):
        if not isinstance(thing, tuple):
            yield path, thing
        for name, part in enumerate(thing.values() if isinstance(thing, dict) else thing):
            yield from _parts(part, f"{path}[{name}]", seen)
    elif type(thing).__module__.startswith("spoton_edge"):
        if not frozen:
            yield path, thing
        names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
        for name in names:
            yield from _parts(getattr(thing, name), f"{path}.{name}", seen)


def test_who_inherits_goes_on_as_the_one_before() -> None:
    world = crowd()
    fed = list(steps(world))
    alone, before = associator(world), associator(world)
    for step in fed[:30]:
        alone.update(*step)
        before.update(*step)
    after: Associator = associator(world)
    after.inherit(before)
    for step in fed[30:]:
        (one, told), (other, heard) = alone.update(*step), after.update(*step)
        assert one.global_id.tolist() == other.global_id.tolist()
        assert np.array_equal(one.xy, other.xy)
        assert told == heard
    assert [alone.explain(i) for i in range(1, 20)] == [after.explain(i) for i in range(1, 20)]


def test_who_inherits_keeps_his_own_settings() -> None:
    world = crowd()
    before, after = associator(world), associator(world, max_speed_mps=1.5, refresh_s=0.5)
    for step in list(steps(world))[:10]:
        before.update(*step)
    after.inherit(before)
    assert after._census.tracks.motion.max_speed_mps == 1.5
    assert after._census.looks._refresh_ns == 500_000_000
    assert len(after._census.tracks) > 0

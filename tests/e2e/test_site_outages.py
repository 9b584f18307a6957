"""A site whose links are cut and whose programs are killed ends with the ids of one that nothing happened to."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from spoton_edge.site import leaf_care, outbox
from spoton_edge.site.messages import Sights
from spoton_edge.site.names import Key
from tests.e2e.outages import CUT, FULL, Scene, number_of
from tests.site_world import mistaken
from tests.waiting import until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    with ExitStack() as undo:
        yield lambda **options: Scene(tmp_path, undo, **options)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The uplinks find out soon that their leaf node writes nothing."""
    monkeypatch.setattr(outbox, "WRITE_S", 0.5)
    monkeypatch.setattr(leaf_care, "LOOK_S", 0.2)
    monkeypatch.setattr(leaf_care, "PATIENCE_S", 1.2)
    monkeypatch.setattr(leaf_care, "ASK_AGAIN_S", 0.5)


def ends_as_undisturbed(scene: Scene, seconds: float, happens: Mapping[float, str]) -> None:
    async def run() -> tuple[dict[Key, int], dict[Key, int]]:
        await scene.tell(seconds, happens)
        wanted = scene.undisturbed()
        return wanted, await scene.settled(wanted)

    wanted, found = asyncio.run(run())
    assert scene.lost.total() == scene.gaps.total() == 0
    assert found == wanted


def ends_as_what_was_kept_says(scene: Scene, seconds: float, happens: Mapping[float, str]) -> None:
    """Beyond the bound: positions are lost, and told of, nothing else is; and nobody has somebody else's id."""

    async def run() -> tuple[set[Any], dict[Key, int], dict[Key, int]]:
        await scene.tell(seconds, happens)
        kept = await scene.arrived()
        wanted = scene.undisturbed(kept)
        return kept, wanted, await scene.settled(wanted)

    kept, wanted, found = asyncio.run(run())
    lost = Counter((box, kind) for box, kind, _ in {number_of(message) for message in scene.told} - kept)
    assert set(lost) == {(FULL, "tracks"), (CUT, "tracks")}
    assert scene.gaps == lost
    # On the cut box it is the leaf node that lets go; a letter that nobody said was written may have been.
    assert scene.lost[FULL] - lost[FULL, "tracks"] in (0, 1)
    assert scene.lost[CUT] == 0
    for box in (FULL, CUT):
        assert re.search(rf"box {box}: \d+ messages of tracks were lost before ", scene.service.log)
    assert found == wanted
    assert mistaken(found, scene.truth) <= mistaken(scene.undisturbed(), scene.truth)


def test_a_cut_link_a_killed_service_and_the_killed_leader_of_a_cluster_change_no_ids(
    scene: Callable[..., Scene],
) -> None:
    cluster = scene(hubs=3)
    happens = {1.5: "kill_leader", 2.0: "cut", 4.0: "kill_service", 5.0: "start_killed", 7.0: "restore"}
    ends_as_undisturbed(cluster, 9.0, happens)
    assert mistaken(cluster.undisturbed(), cluster.truth) == 0


def test_a_killed_hub_changes_no_ids_and_takes_looks_again_which_it_keeps_in_memory(
    scene: Callable[..., Scene],
) -> None:
    alone = scene()
    ends_as_undisturbed(alone, 9.0, {3.0: "kill_hub"})
    until(lambda: alone.is_read("tracks") and alone.is_read("looks"), lambda: alone.service.log[-3000:])


@pytest.mark.usefixtures("impatient")
def test_beyond_the_bound_positions_go_first_and_the_loss_is_told(scene: Callable[..., Scene]) -> None:
    small = scene(small_disk=True, keep_bytes=4_000, room_bytes=1_200)
    happens = {1.0: "cut", 1.5: "kill_leaf", 2.0: "fill_disk", 5.5: "empty_disk", 6.5: "restore"}
    ends_as_what_was_kept_says(small, 7.0, happens)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_minute_without_link_a_killed_hub_and_twenty_killed_services_change_no_ids(
    scene: Callable[..., Scene],
) -> None:
    happens = {5.0: "cut", 30.0: "kill_hub", 65.0: "restore"}
    happens |= {4.0 + 4.5 * number: "kill_service" for number in range(20)}
    ends_as_undisturbed(scene(), 110.0, happens)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_services_that_read_the_last_minute_only_go_on_with_the_same_ids(scene: Callable[..., Scene]) -> None:
    forgetful = scene(forget_s=15.0)

    async def run() -> dict[Key, int]:
        # Not all the time: it takes a service some time to strike out who is forgotten.
        await forgetful.tell(180.0, dict.fromkeys((*range(80, 100, 4), *range(120, 176, 4)), "kill_service"))
        return await forgetful.noted()

    found, wanted = asyncio.run(run()), forgetful.undisturbed()
    assert len(found) < len(wanted) == len(forgetful.truth), "some are forgotten"
    assert found.items() <= wanted.items()
    last = {message.head.box: message for message in forgetful.told if isinstance(message, Sights)}
    assert {(box, sights.head.run, person) for box, sights in last.items() for person in sights.id} <= found.keys()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_disk_that_is_full_for_a_minute_changes_no_ids(scene: Callable[..., Scene]) -> None:
    ends_as_undisturbed(scene(small_disk=True), 110.0, {10.0: "fill_disk", 70.0: "empty_disk"})


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_minutes_beyond_the_bound_cost_positions_only(scene: Callable[..., Scene]) -> None:
    small = scene(small_disk=True, keep_bytes=60_000, room_bytes=30_000, late_s=200.0)
    happens = {10.0: "fill_disk", 15.0: "cut", 100.0: "kill_service", 125.0: "empty_disk", 130.0: "restore"}
    ends_as_what_was_kept_says(small, 150.0, happens)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_servers_of_a_cluster_killed_in_turn_for_two_minutes_change_no_ids(scene: Callable[..., Scene]) -> None:
    happens = {5.0 + 20.0 * k: ("kill_leader", "kill_other")[k % 2] for k in range(6)}
    happens |= {13.0 + 20.0 * k: "start_killed" for k in range(6)}
    happens |= {50.0: "kill_service", 80.0: "cut", 100.0: "restore"}
    ends_as_undisturbed(scene(hubs=3), 125.0, happens)

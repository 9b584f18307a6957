"""The hub of a site as a cluster of three: servers of it are killed, and the site goes on with the same ids."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from spoton_edge.site.names import Key
from tests.e2e.outages import Scene


def ends_as_undisturbed(folder: Path, seconds: float, happens: Mapping[float, str]) -> None:
    async def run(scene: Scene) -> tuple[dict[Key, int], dict[Key, int]]:
        await scene.tell(seconds, happens)
        wanted = scene.undisturbed()
        return wanted, await scene.settled(wanted)

    with ExitStack() as undo:
        scene = Scene(folder, undo, hubs=3)
        wanted, found = asyncio.run(run(scene))
    assert scene.lost.total() == scene.gaps.total() == 0
    assert found == wanted
    assert scene.service.log.count("known again") == 1 + list(happens.values()).count("kill_service")


def test_a_cluster_whose_leader_is_killed_and_then_another_goes_on_with_the_same_ids(tmp_path: Path) -> None:
    ends_as_undisturbed(tmp_path, 9.0, {1.5: "kill_leader", 4.5: "start_killed", 6.5: "kill_other"})


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_servers_of_a_cluster_killed_in_turn_for_two_minutes_change_no_ids(tmp_path: Path) -> None:
    happens = {5.0 + 20.0 * k: ("kill_leader", "kill_other")[k % 2] for k in range(6)}
    happens |= {13.0 + 20.0 * k: "start_killed" for k in range(6)}
    happens |= {50.0: "kill_service", 80.0: "cut", 100.0: "restore"}
    ends_as_undisturbed(tmp_path, 125.0, happens)

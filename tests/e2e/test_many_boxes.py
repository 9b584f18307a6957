"""Boxes, leaf nodes, a hub and the site service, all real: somebody who walks from box to box keeps one id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from spoton_edge.client import Subscriber
from tests.e2e.boxes import Daemon, Program, hub_file, uplink_file
from tests.e2e.nats import Site
from tests.e2e.networks import Network, network

BOXES = ("one", "two")


class Crew:
    """Two boxes side by side that both see 4 m of the floor between them, and all that makes them one site."""

    def __init__(self, network: Network, folder: Path, undo: ExitStack) -> None:
        self.folder = folder
        self.servers = Site(network, folder / "nats").start()
        undo.callback(self.servers.close)
        self.daemons: dict[str, Daemon] = {}
        self.uplinks: dict[str, Program] = {}
        for number, box in enumerate(BOXES):
            leaf = self.servers.leaf(box)
            daemon = self.daemons[box] = Daemon("mall", box, folder)
            undo.callback(daemon.close)
            file = uplink_file(folder / f"{box}.yaml", daemon, "mall", leaf, pose=[16.0 * number, 0.0, 0.0])
            self.uplinks[box] = undo.enter_context(Program(leaf, folder / f"{box}.log", "uplink", file))
        hub = hub_file(folder / "hub.yaml", "mall", self.servers.hub.own_url, BOXES)
        self.service = undo.enter_context(Program(self.servers.hub, folder / "service.log", "site", hub))
        self.subscribers = {}
        for box, daemon in self.daemons.items():
            subscriber = Subscriber(
                daemon.endpoint, snapshot=daemon.snapshot, identities=f"{daemon.endpoint}-identities"
            )
            self.subscribers[box] = undo.enter_context(subscriber)

    def walk(self, seconds: float, x: float, speed: float = 0.0, person: dict[str, int] | None = None) -> float:
        """Somebody walks along, at x on the site, and every box that sees him tells of it; where he ends."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, (box, daemon) in enumerate(self.daemons.items()):
                local = x - 16.0 * number
                known = {} if person is None else {person[box]: (local, 5.0)}
                daemon.show(known if 0 <= local <= 20 else {})
            time.sleep(0.1)
            x += 0.1 * speed
        return x

    def stand(self, x: float, person: dict[str, int], box: str) -> dict[int, int]:
        """Somebody stands at x until the box knows who he is on the site, and that."""
        end = time.monotonic() + 30
        while not (found := self.site_ids(box)) and time.monotonic() < end:
            self.walk(0.5, x, person=person)
        return found

    def site_ids(self, box: str) -> dict[int, int]:
        """The site's id by the box's, of everybody in the newest message of tracks."""
        subscriber = self.subscribers[box]
        while subscriber.receive(0.0) is not None:
            pass
        tracks = subscriber.latest.get("tracks")
        return {} if tracks is None else {t.id: t.site_id for t in tracks.tracks if t.site_id is not None}


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with ExitStack() as undo:
        yield Crew(undo.enter_context(network()), tmp_path, undo)


def test_somebody_who_walks_to_another_box_keeps_the_id_of_the_site(crew: Crew) -> None:
    ids = {"one": 7, "two": 3}
    first = crew.stand(10.0, ids, "one")[7]
    there = crew.walk(8.0, 10.0, 1.2, person=ids)
    assert crew.stand(there, ids, "two") == {3: first}

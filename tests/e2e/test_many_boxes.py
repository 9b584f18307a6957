"""Boxes, leaf nodes, a hub and the site service, all real: somebody who walks from box to box keeps one id."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from spoton_edge.client import Event, Identities, Status, Subscriber, Tracks
from spoton_edge.client import Site as SiteMessage
from tests.e2e.boxes import Daemon, Program, hub_file, uplink_file
from tests.e2e.enrolled import Enrolled
from tests.e2e.nats import Site
from tests.e2e.networks import Network, network
from tests.waiting import until

BOXES = ("one", "two")
AHEAD_S = 4.0


class Crew:
    """Two boxes side by side that both see 4 m of the floor between them, and all that makes them one site.

    The second one's clock is wrong.
    """

    def __init__(self, network: Network, folder: Path, undo: ExitStack) -> None:
        self.folder = folder
        self.servers = Site(network, folder / "nats").start()
        undo.callback(self.servers.close)
        self.daemons: dict[str, Daemon] = {}
        self.uplinks: dict[str, Program] = {}
        for number, box in enumerate(BOXES):
            leaf = self.servers.leaf(box)
            ahead_s = AHEAD_S if box == "two" else 0.0
            daemon = self.daemons[box] = Daemon("mall", box, folder, ahead_s=ahead_s)
            undo.callback(daemon.close)
            file = uplink_file(folder / f"{box}.yaml", daemon, "mall", leaf, pose=[16.0 * number, 0.0, 0.0])
            uplink = Program(leaf, folder / f"{box}.log", "uplink", file, ahead_s=ahead_s)
            self.uplinks[box] = undo.enter_context(uplink)
        for leaf in self.servers.leaves.values():  # a hub's stream whose source is not there yet asks again much later
            until(lambda leaf=leaf: leaf.asked("jsz").get("streams") == 2, "the uplink's streams are there")
        self.map = f"ipc://{folder}/map"
        publish = {"bind": [self.map]}
        hub = hub_file(folder / "hub.yaml", "mall", self.servers.hub.own_url, BOXES, publish=publish)
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

    def stand(self, x: float, person: dict[str, int], box: str, site_id: int | None = None) -> dict[int, int]:
        """Somebody stands at x until the box knows who he is on the site, or that he is `site_id`: where news of the
        other box were late, it may have been told otherwise at first."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if (found := self.site_ids(box)) and site_id in (None, *found.values()):
                break
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


def test_somebody_who_walks_to_another_box_keeps_the_id_of_the_site_also_on_the_map_of_all(crew: Crew) -> None:
    ids = {"one": 7, "two": 3}
    with Subscriber(crew.map) as watching:
        first = crew.stand(10.0, ids, "one")[7]
        there = crew.walk(8.0, 10.0, 1.2, person=ids)
        assert crew.stand(there, ids, "two", first) == {3: first}
        crew.walk(2.0, 19.6, person=ids)
        told: list[object] = []

        def caught_up() -> bool:
            told.extend(iter(lambda: watching.receive(0.0), None))
            return {"site", "status"} <= watching.latest.keys()

        until(caught_up, "the map's site and status")
    events = [message for message in told if isinstance(message, Event)]
    assert ("handed_off", first, "one", "two") in [(e.event, e.id, e.from_camera, e.camera) for e in events]
    people = [person for message in told if isinstance(message, Tracks) for person in message.tracks]
    (last,) = [person for person in people if person.id == first][-1:]
    assert (last.x, last.y) == pytest.approx((19.6, 5.0), abs=0.3)
    site, status = watching.latest["site"], watching.latest["status"]
    assert isinstance(site, SiteMessage)
    assert isinstance(status, Status)
    assert {camera["name"]: len(camera["footprint"]) for camera in site.cameras} == {"one": 4, "two": 4}
    assert min(x for x, _ in site.cameras[1]["footprint"]) == 16.0
    assert [camera["state"] for camera in status.cameras] == ["live", "live"]
    assert all(camera["fps"] > 0.5 for camera in status.cameras)
    assert status.people == 1
    named = re.findall(r"box (\w+): its clock is off by (-?\d+) ms", crew.service.log)
    assert [(box, float(off)) for box, off in named] == [("two", pytest.approx(1e3 * AHEAD_S, abs=50))]
    # No looks: they are not shared.
    assert [leaf.asked("jsz")["streams"] for leaf in crew.servers.leaves.values()] == [2, 2]


def test_boxes_that_were_enrolled_have_their_people_known(tmp_path: Path) -> None:
    with ExitStack() as undo:
        enrolled = Enrolled(undo.enter_context(network()), tmp_path)
        undo.callback(enrolled.close)
        enrolled.start()
        hub, keys, box = enrolled.hub, tmp_path / "nats", "box-1"
        server = f"tls://{hub.place.address}:{hub.port}"
        more = {"nkey": str(keys / "service.key"), "ca": str(keys / "ca.pem")}
        file = hub_file(tmp_path / "hub.yaml", "lobby", server, ("box-1", "box-2"), **more)
        undo.enter_context(Program(hub, tmp_path / "service.log", "site", file))
        daemon = Daemon("lobby", box, tmp_path)
        undo.callback(daemon.close)
        key = str(keys / "boxes" / box / "box.key")
        file = uplink_file(tmp_path / "box.yaml", daemon, "lobby", enrolled.leaves[box], nkey=key)
        uplink = undo.enter_context(Program(enrolled.leaves[box], tmp_path / "uplink.log", "uplink", file))
        identities = f"{daemon.endpoint}-identities"
        subscriber = undo.enter_context(Subscriber(daemon.endpoint, snapshot=daemon.snapshot, identities=identities))
        known = heard_of(daemon, subscriber)
        assert set(known) == {7}
        uplink.again()  # it reads in the bucket what it was told
        assert heard_of(daemon, subscriber) == known


def heard_of(daemon: Daemon, subscriber: Subscriber) -> dict[int, int]:
    """Site ids by id, of the uplink's next message that has any; person 7 stands there meanwhile."""
    end = time.monotonic() + 30
    while subscriber.receive(0.0) is not None:
        pass
    while time.monotonic() < end:
        daemon.show({7: (5.0, 5.0)})
        message = subscriber.receive(0.1)
        if isinstance(message, Identities) and message.identities:
            return {row.id: row.site_id for row in message.identities}
    return {}

"""The uplinks and the site service on servers as `site enroll` configures them: keys, accounts, TLS."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from nats.js.errors import APIError

from spoton_edge.client import Subscriber
from spoton_edge.site import messages
from tests.e2e.boxes import Daemon, Program, hub_file, uplink_file
from tests.e2e.enrolled import BOXES, SITE, Enrolled
from tests.e2e.nats import nats_server
from tests.e2e.networks import namespaces, network
from tests.waiting import until

KINDS = ("events", "tracks", "looks")
NONSENSE = [
    b"",
    b"\xff\x00",
    b"[]",
    b"{}",
    b'{"v": 1}',
    b"[" * 100_000,
    b'{"v": 1, "run": "x", "seq": -1, "time": 1e999}',
]


async def talk_nonsense(enrolled: Enrolled, box: str) -> None:
    """With the box's own key, on its own subjects."""
    client = await enrolled.at_box(box)
    for kind in KINDS:
        for payload in NONSENSE:
            await client.jetstream().publish(messages.subject(SITE, box, kind), payload, timeout=10.0)
        with pytest.raises(APIError, match="message size exceeds maximum"):
            await client.jetstream().publish(messages.subject(SITE, box, kind), bytes(messages.MAX_BYTES + 1))
    await client.close()


def show(daemons: dict[str, Daemon], stopped: threading.Event, others: dict[int, tuple[float, float]]) -> None:
    """Both boxes see the same floor, and one person on it; the first sees others, too."""
    while not stopped.wait(0.1):
        for number, daemon in enumerate(daemons.values()):
            daemon.show({7 + number: (5.0, 5.0)} | (others.copy() if number == 0 else {}))


def site_ids(subscriber: Subscriber) -> dict[int, int]:
    """The site's id by the box's, of everybody in the newest message of tracks."""
    while subscriber.receive(0.0) is not None:
        pass
    tracks = subscriber.latest.get("tracks")
    return {person.id: person.site_id for person in (tracks.tracks if tracks else []) if person.site_id is not None}


@pytest.mark.parametrize("hubs", [1, 3], ids=["one hub", "a cluster of three"])
def test_boxes_with_keys_of_their_own_learn_who_is_whom_whatever_nonsense_one_talks(tmp_path: Path, hubs: int) -> None:
    nats_server()
    with ExitStack() as undo:
        made = undo.enter_context(network() if hubs == 1 else namespaces())
        enrolled = Enrolled(made, tmp_path, hubs=hubs)
        undo.callback(enrolled.close)
        enrolled.start()
        keys = tmp_path / "nats"
        daemons = {box: Daemon(SITE, box, tmp_path) for box in BOXES}
        stopped, others = threading.Event(), dict[int, tuple[float, float]]()
        showing = threading.Thread(target=show, args=(daemons, stopped, others))
        for daemon in daemons.values():
            undo.callback(daemon.close)
        showing.start()
        undo.callback(showing.join)
        undo.callback(stopped.set)
        for box, daemon in daemons.items():
            leaf = enrolled.leaves[box]
            file = uplink_file(
                tmp_path / f"{box}.yaml",
                daemon,
                SITE,
                leaf,
                nkey=str(keys / "boxes" / box / "box.key"),
                share_appearance=True,
            )
            undo.enter_context(Program(leaf, tmp_path / f"{box}.log", "uplink", file))
        for leaf in enrolled.leaves.values():  # a hub's stream whose source is not there yet asks again much later
            until(lambda leaf=leaf: leaf.asked("jsz").get("streams") == len(KINDS), "the uplink's streams are there")
        servers = [f"tls://{server.place.address}:{server.port}" for server in enrolled.hubs]
        trusted = {"nkey": str(keys / "service.key"), "ca": str(keys / "ca.pem")}
        hub = hub_file(tmp_path / "hub.yaml", SITE, servers, BOXES, replicas=hubs, **trusted)
        service = undo.enter_context(Program(enrolled.hub, tmp_path / "service.log", "site", hub))
        subscribers = {
            box: undo.enter_context(
                Subscriber(daemon.endpoint, snapshot=daemon.snapshot, identities=f"{daemon.endpoint}-identities")
            )
            for box, daemon in daemons.items()
        }
        until(lambda: "everything known again" in service.log, "the service is there")
        asyncio.run(talk_nonsense(enrolled, "box-1"))
        until(lambda: "box box-1: a message was refused" in service.log, "the service names the box")
        one, two = subscribers.values()
        until(lambda: (first := site_ids(one)) and first.get(7) == site_ids(two).get(8), lambda: service.log[-3000:])
        if hubs == 3:
            joined = next(server for server in enrolled.hubs if server.asked("leafz").get("leafnodes"))
            joined.kill()
            until(lambda: all(map(enrolled.joined, BOXES)), "whoever was there joins another server")
            others[20] = (15.0, 5.0)
            until(lambda: 20 in site_ids(one), lambda: service.log[-3000:])
            joined.start()
        assert enrolled.enroll("box-2", "--revoke") == 0
        for server in enrolled.hubs:
            server.reload()
        until(lambda: "box box-2: put out of the site" in service.log, "the service has the hub hang up on it")
        until(lambda: not enrolled.joined("box-2"), "box-2 is out")
        others[21] = (1.0, 1.0)  # and box-1 is heard and told as before
        until(lambda: 21 in site_ids(one), lambda: service.log[-3000:])

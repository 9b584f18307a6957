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
from tests.e2e.networks import network
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


def show(daemons: dict[str, Daemon], stopped: threading.Event, another: threading.Event) -> None:
    """Both boxes see the same floor, and one person on it; then the first sees another one, too."""
    while not stopped.wait(0.1):
        for number, daemon in enumerate(daemons.values()):
            people = {7 + number: (5.0, 5.0)}
            daemon.show(people | ({20: (15.0, 5.0)} if another.is_set() and number == 0 else {}))


def site_ids(subscriber: Subscriber) -> dict[int, int]:
    """The site's id by the box's, of everybody in the newest message of tracks."""
    while subscriber.receive(0.0) is not None:
        pass
    tracks = subscriber.latest.get("tracks")
    return {person.id: person.site_id for person in (tracks.tracks if tracks else []) if person.site_id is not None}


def test_boxes_with_keys_of_their_own_learn_who_is_whom_whatever_nonsense_one_talks(tmp_path: Path) -> None:
    nats_server()
    with ExitStack() as undo:
        enrolled = Enrolled(undo.enter_context(network()), tmp_path)
        undo.callback(enrolled.close)
        enrolled.start()
        keys = tmp_path / "nats"
        daemons = {box: Daemon(SITE, box, tmp_path) for box in BOXES}
        stopped, another = threading.Event(), threading.Event()
        showing = threading.Thread(target=show, args=(daemons, stopped, another))
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
        own = enrolled.hub.own_url.replace("nats:", "tls:")
        trusted = {"nkey": str(keys / "service.key"), "ca": str(keys / "ca.pem")}
        hub = hub_file(tmp_path / "hub.yaml", SITE, own, BOXES, **trusted)
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
        assert enrolled.enroll("box-2", "--revoke") == 0
        enrolled.hub.reload()
        until(lambda: "box box-2: put out of the site" in service.log, "the service has the hub hang up on it")
        until(lambda: not enrolled.joined("box-2"), "box-2 is out")
        another.set()  # and box-1 is heard and told as before
        until(lambda: 20 in site_ids(one), lambda: service.log[-3000:])

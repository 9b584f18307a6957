"""Keys, accounts and certificates of a site, against the real server: whoever is not let in changes nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import ExternalStream, StreamConfig, StreamSource

from spoton_edge.cli import main
from spoton_edge.enrolment.accounts import MAX_PAYLOAD
from spoton_edge.site.shut_out import shut_out
from tests.e2e.enrolled import BOXES, Enrolled
from tests.e2e.nats import Server, nats_server
from tests.e2e.networks import namespaces, network
from tests.e2e.raw_leaf import RawLeaf
from tests.waiting import until

EVENTS = "spoton.1.lobby.{}.events"
BUCKET = "spoton-1-lobby-identities"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enrolled]:
    nats_server()
    with network() as made:
        enrolled = Enrolled(made, tmp_path_factory.mktemp("site"))
        try:
            yield enrolled.start()
        finally:
            enrolled.close()


async def heard_at(
    client: Client, subject: str, told: Callable[[], Awaitable[None]], speaker: Client, spoken: str
) -> set[bytes]:
    """What `client` hears on a subject of what `told` says: from when it hears `speaker` say something on `spoken` to
    when it does once more. Streams' heartbeats, which are empty, do not count."""
    subscription = await client.subscribe(subject)
    heard: set[bytes] = set()
    for word in (b"first", b"last"):
        if word == b"last":
            await told()
        async with asyncio.timeout(20):
            while word not in heard:
                await speaker.publish(spoken, word)
                await speaker.flush()
                with suppress(nats.errors.TimeoutError):
                    while word not in heard:
                        heard.add((await subscription.next_msg(timeout=0.3)).data)
    await subscription.unsubscribe()
    return heard - {b"", b"first", b"last"}


async def sourced(service: Client, box: str, box_client: Client) -> None:
    """The box's stream on its leaf node, and the hub's that takes it over."""
    name = f"SPOTON_lobby_{box}"
    await box_client.jetstream().add_stream(StreamConfig(name=name, subjects=[EVENTS.format(box)]))
    external = ExternalStream(api=f"$JS.{box}.API", deliver=f"spoton.1.lobby.{box}.deliver")
    await service.jetstream().add_stream(
        StreamConfig(name=f"HUB_{box}", sources=[StreamSource(name=name, external=external)])
    )


async def at_hub(service: Client, box: str, count: int) -> list[bytes]:
    """What the hub has taken over from a box, once it is so many messages."""
    js = service.jetstream()
    async with asyncio.timeout(20):
        while (await js.stream_info(f"HUB_{box}")).state.messages < count:
            await asyncio.sleep(0.05)
    messages = [await js.get_msg(f"HUB_{box}", seq=seq) for seq in range(1, count + 1)]
    return [message.data or b"" for message in messages]


def test_what_a_box_writes_is_taken_over_by_the_hub_and_answers_reach_the_box(site: Enrolled) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        await sourced(service, "box-1", one)
        await one.jetstream().publish(EVENTS.format("box-1"), b"born")
        assert await at_hub(service, "box-1", 1) == [b"born"]

        bucket = await service.jetstream().create_key_value(bucket=BUCKET, direct=True)
        await bucket.put("box-1.run.1", b"7")
        read = await one.jetstream(prefix="spoton.1.lobby.bucket").key_value(BUCKET)
        assert (await read.get("box-1.run.1")).value == b"7"
        await bucket.put("box-1.run.2", b"8")

        answers = await one.subscribe("_INBOX.box-1.all")
        wanted = json.dumps({"multi_last": [f"$KV.{BUCKET}.>"], "batch": 100}).encode()
        await one.publish(f"spoton.1.lobby.bucket.DIRECT.GET.KV_{BUCKET}", wanted, reply="_INBOX.box-1.all")
        assert [(await answers.next_msg(timeout=10.0)).data for _ in range(3)] == [b"7", b"8", b""]

    site.run(check)


def test_a_box_may_ask_for_the_sites_time(site: Enrolled) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        async def tell(message: Any) -> None:
            await message.respond(b"12.5")

        await service.subscribe("spoton.1.lobby.clock", cb=tell)
        await service.flush()
        async with asyncio.timeout(20):
            while True:
                with suppress(nats.errors.NoRespondersError):
                    assert (await two.request("spoton.1.lobby.clock", timeout=10.0)).data == b"12.5"
                    return

    site.run(check)


@pytest.mark.parametrize("subject", [EVENTS.format("box-2"), "spoton.1.lobby.identities", f"$KV.{BUCKET}.box-2.r.1"])
def test_a_box_writes_its_own_subjects_only(site: Enrolled, subject: str) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        async def tell() -> None:
            await one.publish(subject, b"forged")
            await one.flush()
            await asyncio.sleep(0.5)

        assert not await heard_at(service, subject, tell, service, subject)

    site.run(check)


FORGED = [
    (EVENTS.format("box-2"), b"forged"),
    ("spoton.1.lobby.identities", b"forged"),
    (f"$KV.{BUCKET}.box-2.r.1", b"forged"),
    (f"$JS.API.STREAM.DELETE.KV_{BUCKET}", b""),
]


@pytest.mark.parametrize(("subject", "payload"), FORGED)
def test_a_box_that_keeps_to_no_rule_is_named_and_cut_off(site: Enrolled, subject: str, payload: bytes) -> None:
    """Its own leaf node would send none of this: here a program speaks in its place, with its key."""
    folder = site.folder / "nats"

    async def check(service: Client, one: Client, two: Client) -> None:
        await service.jetstream().create_key_value(bucket=BUCKET, direct=True)

        async def tell() -> None:
            leaf = RawLeaf((site.hub.place.reach, site.ports[1]), folder / "boxes/box-1/box.key", folder / "ca.pem")
            leaf.until(b"PONG")
            leaf.say(b"LS+ spoton.1.lobby.box-2.>\r\n")
            await two.publish(EVENTS.format("box-2"), b"true")
            await two.flush()
            leaf.message(subject, payload, reply="spoton.1.lobby.box-1.answer")
            said = leaf.until(b"nothing")  # up to the end
            assert not any(line.startswith(b"LMSG spoton.1.lobby.box-2") for line in said)

        assert await heard_at(service, "*.1.lobby.>", tell, two, EVENTS.format("box-2")) == {b"true"}
        await service.jetstream().stream_info(f"KV_{BUCKET}")  # is there still

    site.run(check)
    assert f'Publish Violation on "{subject}"' in site.hub.log
    assert site.joined("box-2")


def test_a_box_hears_nothing_of_another_one(site: Enrolled) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        async def tell() -> None:
            await two.publish(EVENTS.format("box-2"), b"of box-2")
            await two.flush()
            await asyncio.sleep(0.5)

        assert not await heard_at(one, "spoton.>", tell, service, "spoton.1.lobby.identities")

    site.run(check)


@pytest.mark.parametrize(
    "asked",
    [
        "$JS.hub.API.STREAM.NAMES",
        f"$JS.hub.API.STREAM.DELETE.KV_{BUCKET}",
        f"$JS.hub.API.CONSUMER.CREATE.KV_{BUCKET}.spy",
        f"spoton.1.lobby.bucket.CONSUMER.CREATE.KV_{BUCKET}.spy",
        f"spoton.1.lobby.bucket.STREAM.PURGE.KV_{BUCKET}",
        "$JS.box-2.API.STREAM.NAMES",
    ],
)
def test_a_box_may_ask_the_hub_for_nothing_but_the_bucket(site: Enrolled, asked: str) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        with pytest.raises((nats.errors.TimeoutError, nats.errors.NoRespondersError)):
            await one.request(asked, b"{}", timeout=1.0)

    site.run(check)


def test_the_key_of_another_box_opens_no_leaf_node_and_not_the_hub(site: Enrolled) -> None:
    async def check() -> None:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await site.at_box("box-1", key="box-2")
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await site.at_hub(nkeys_seed=str(site.folder / "nats/boxes/box-1/box.key"))

    asyncio.run(check())
    assert "authentication error" in site.leaves["box-1"].log
    assert "authentication error" in site.hub.log


def test_who_has_no_key_or_does_not_trust_the_site_gets_no_further(site: Enrolled) -> None:
    async def check() -> None:
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await site.at_hub(nkeys_seed=None)
        with pytest.raises(ssl.SSLError):
            await site.at_hub(tls=ssl.create_default_context())

    asyncio.run(check())


def test_a_message_that_is_too_large_is_refused_at_the_leaf_node_and_at_the_hub(site: Enrolled) -> None:
    async def check(service: Client, one: Client, two: Client) -> None:
        for client in (one, service):
            with pytest.raises(nats.errors.MaxPayloadError):
                await client.publish(EVENTS.format("box-1"), bytes(MAX_PAYLOAD + 1))

    site.run(check)
    assert site.joined("box-1")


def test_a_leaf_node_that_sends_too_much_harms_itself_only(site: Enrolled) -> None:
    """A box whose own server was told to let larger messages pass."""
    leaf = site.leaves["box-1"]
    config = leaf.folder / "leaf.conf"
    before = config.read_text()
    leaf.kill()
    config.write_text(before.replace(f"max_payload: {MAX_PAYLOAD}", "max_payload: 8388608"))
    leaf.start()
    until(lambda: site.joined("box-1"), "box-1 is joined")

    async def check(service: Client, one: Client, two: Client) -> None:
        async def tell() -> None:
            await one.publish(EVENTS.format("box-1"), bytes(4 << 20))
            await one.flush()
            until(lambda: "maximum payload" in site.hub.log.lower(), "the hub names it")

        heard = await heard_at(service, "spoton.1.lobby.*.events", tell, two, EVENTS.format("box-2"))
        assert not [message for message in heard if len(message) > MAX_PAYLOAD]

    site.run(check)
    leaf.kill()
    config.write_text(before)
    leaf.start()
    until(lambda: site.joined("box-1"), "box-1 is joined again")


@pytest.mark.parametrize(
    "said", [b"\x00\xff" * 500, b"LMSG spoton.1.lobby.box-2.events 99999999\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_nonsense_at_the_hubs_ports_is_hung_up_on(site: Enrolled, said: bytes) -> None:
    for port in site.ports[:2]:
        with socket.create_connection((site.hub.place.reach, port), timeout=10.0) as line:
            line.sendall(said)
            with suppress(ConnectionResetError):
                while line.recv(4096):  # its greeting, its complaint; then the end
                    pass
    assert site.joined("box-2")


def test_a_revoked_key_opens_nothing_and_what_was_written_before_stays(site: Enrolled) -> None:
    kept = site.folder / "kept"
    site.add_leaf("box-3")
    site.hub.reload()
    leaf = site.leaves["box-3"].start()
    until(lambda: site.joined("box-3"), "box-3 is joined")
    shutil.copytree(leaf.folder, kept)

    async def write() -> None:
        service, box = await site.at_hub(), await site.at_box("box-3")
        await sourced(service, "box-3", box)
        await box.jetstream().publish(EVENTS.format("box-3"), b"before")
        assert await at_hub(service, "box-3", 1) == [b"before"]
        await service.close()
        await box.close()

    asyncio.run(write())
    assert main(["site", "enroll", "--revoke", "box-3", "--folder", str(site.folder / "nats")]) == 0
    site.hub.reload()
    until(lambda: site.hub.log.count("Reloaded server configuration") == 2, "the hub has read who may speak")

    async def put_out(service: Client, one: Client, two: Client) -> None:
        assert await shut_out(service) == ["box-3"]
        until(lambda: not site.joined("box-3"), "the hub hangs up on box-3")
        assert await shut_out(service) == []

    site.run(put_out)
    leaf.kill()
    stolen = Server("box-3", leaf.place, site.network, kept, file=Path("leaf.conf"), port=leaf.port).start()
    try:
        until(lambda: "authentication error" in site.hub.log.split("Kicked")[-1], "the hub refuses it")
        until(lambda: "Authorization Violation" in stolen.log, "the leaf node says why")
        until(lambda: all(site.joined(box) for box in BOXES), "the others are joined")
        assert not stolen.asked("leafz").get("leafnodes")

        async def read() -> None:
            service = await site.at_hub()
            assert await at_hub(service, "box-3", 1) == [b"before"]
            await service.close()

        asyncio.run(read())
    finally:
        stolen.kill()
        del site.leaves["box-3"]


def test_a_box_with_a_new_key_is_another_one_to_the_hub(site: Enrolled) -> None:
    """Whoever is connected by the old one is put out, too."""
    site.renew("box-2")
    site.hub.reload()

    async def put_out() -> None:
        service = await site.at_hub()
        async with asyncio.timeout(20):
            while await shut_out(service) != ["box-2"]:
                await asyncio.sleep(0.1)
        await service.close()

    asyncio.run(put_out())
    until(lambda: not site.joined("box-2"), "the hub hangs up on box-2")
    site.leaves["box-2"].kill()
    site.leaves["box-2"].start()
    until(lambda: site.joined("box-2"), "it comes with the new one")


def test_three_hubs_are_one_cluster_by_their_certificates(tmp_path: Path) -> None:
    nats_server()
    with namespaces() as made:
        enrolled = Enrolled(made, tmp_path, hubs=3)
        try:
            enrolled.start()
            assert {hub.asked("routez")["num_routes"] > 0 for hub in enrolled.hubs} == {True}
            next(hub for hub in enrolled.hubs if hub.asked("leafz").get("leafnodes")).kill()
            until(lambda: all(enrolled.joined(box) for box in BOXES), "those who were there join another hub")
        finally:
            enrolled.close()

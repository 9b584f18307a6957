"""The network under many boxes: what is written on a leaf node that is cut off arrives once the link is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import ExternalStream, StorageType, StreamConfig, StreamSource

from tests.e2e.nats import Site, nats_server
from tests.e2e.networks import Loopback, Namespaces, Network
from tests.waiting import until


@pytest.fixture(params=["namespaces", "loopback"])
def any_network(request: pytest.FixtureRequest) -> Iterator[Network]:
    nats_server()
    made: Network
    try:
        made = Namespaces() if request.param == "namespaces" else Loopback()
    except OSError as error:
        pytest.skip(f"no network namespaces: run as root, with iproute2 ({error})")
    yield made
    made.close()


@pytest.fixture
def site(any_network: Network, tmp_path: Path) -> Iterator[Site]:
    made = Site(any_network, tmp_path)
    yield made
    made.close()


async def sourced(site: Site, box: str) -> None:
    """A stream on the leaf, and one on the hub that takes over what is in it."""
    leaf = await nats.connect(site.leaves[box].url)
    await leaf.jetstream().add_stream(StreamConfig(name="BOX", subjects=["box.>"], storage=StorageType.FILE))
    await leaf.close()
    hub = await nats.connect(site.hub.url)
    source = StreamSource(name="BOX", external=ExternalStream(api=f"$JS.{box}.API"))
    await hub.jetstream().add_stream(StreamConfig(name="ALL", sources=[source]))
    await hub.close()


async def sourced_anew(site: Site) -> None:
    """A hub that was down would ask the leaf again only after 40 s."""
    hub = await nats.connect(site.hub.url)
    config = (await hub.jetstream().stream_info("ALL")).config
    await hub.jetstream().update_stream(config.evolve(sources=[]))
    await hub.jetstream().update_stream(config)
    await hub.close()


async def written(site: Site, box: str, *messages: bytes) -> None:
    leaf = await nats.connect(site.leaves[box].url)
    for message in messages:
        await leaf.jetstream().publish("box.events", message)
    await leaf.close()


async def arrived(site: Site, count: int) -> list[bytes]:
    """The hub's first `count` messages, in order; fails by the test's own time limit where fewer come."""
    hub = await nats.connect(site.hub.url)
    subscription = await hub.jetstream().subscribe("", stream="ALL", ordered_consumer=True)
    messages = [(await subscription.next_msg(timeout=30.0)).data for _ in range(count)]
    await hub.close()
    return messages


def stored(site: Site) -> int:
    return int(site.hub.asked("jsz").get("messages", 0))


def test_what_is_written_on_a_leaf_that_is_cut_off_arrives_when_the_link_is_back(site: Site) -> None:
    site.start()
    site.leaf("box-1")
    site.until_joined("box-1")
    asyncio.run(sourced(site, "box-1"))
    asyncio.run(written(site, "box-1", b"before"))
    until(lambda: stored(site) == 1, "the first message is at the hub")
    site.cut("box-1")
    asyncio.run(written(site, "box-1", b"one", b"two"))
    assert stored(site) == 1, "the link is cut"
    site.restore("box-1")
    assert asyncio.run(arrived(site, 3)) == [b"before", b"one", b"two"]


def test_servers_that_are_killed_find_their_streams_and_each_other_again(site: Site) -> None:
    site.start()
    leaf = site.leaf("box-1")
    site.until_joined("box-1")
    asyncio.run(sourced(site, "box-1"))
    asyncio.run(written(site, "box-1", b"before"))
    until(lambda: stored(site) == 1, "the first message is at the hub")
    site.hub.kill()
    asyncio.run(written(site, "box-1", b"one"))
    leaf.kill()
    leaf.start()
    asyncio.run(written(site, "box-1", b"two"))
    site.hub.start()
    site.until_joined("box-1")
    asyncio.run(sourced_anew(site))
    assert asyncio.run(arrived(site, 3)) == [b"before", b"one", b"two"]


def test_a_cluster_of_three_goes_on_without_one(any_network: Network, tmp_path: Path) -> None:
    site = Site(any_network, tmp_path, hubs=3)

    async def ask() -> list[int]:
        client = await nats.connect([hub.url for hub in site.hubs], max_reconnect_attempts=-1)
        js = client.jetstream(timeout=2.0)

        async def done(request: Callable[[], Awaitable[Any]]) -> Any:
            while True:
                try:
                    return await request()
                except nats.errors.Error:  # no leader yet
                    await asyncio.sleep(0.1)

        async def told(subject: str) -> int:
            once = {"Nats-Msg-Id": subject}  # however often it is sent
            return int((await done(lambda: js.publish(subject, b"", headers=once))).seq)

        await done(lambda: js.add_stream(StreamConfig(name="ALL", subjects=["all.>"], num_replicas=3)))
        before = await told("all.1")
        site.hubs[0].kill()
        after = await told("all.2")
        await client.close()
        return [before, after]

    try:
        site.start()
        assert asyncio.run(ask()) == [1, 2]
    finally:
        site.close()

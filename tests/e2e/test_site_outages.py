"""A site whose links are cut and whose programs are killed ends with the ids of one that nothing happened to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import nats
import pytest

from spoton_edge.site import bucket, messages, streams
from spoton_edge.site.identity import SiteIdentity
from spoton_edge.site.messages import Binding, BoxEvent, BoxMessage
from spoton_edge.site.names import Key
from spoton_edge.site.outbox import Letter, Outbox
from tests.e2e.boxes import Program, hub_file
from tests.e2e.nats import Site
from tests.e2e.networks import network
from tests.site_world import START_S, Street, mistaken

STREET = Street(3, people=4, gap_m=-3.0)


class Scene:
    """Three boxes that tell of people on a street, each through its leaf node; the service is a process."""

    def __init__(self, folder: Path, undo: ExitStack) -> None:
        self.servers = Site(undo.enter_context(network()), folder / "nats").start()
        undo.callback(self.servers.close)
        for name in STREET.names:
            self.servers.leaf(name)
            self.servers.until_joined(name)
        hub = hub_file(folder / "hub.yaml", "street", self.servers.hub.own_url, STREET.names)
        self.service = undo.enter_context(Program(self.servers.hub, folder / "site.log", "site", hub))
        self.told: list[BoxMessage] = []
        self.truth: dict[Key, int] = {}
        self.lost = 0

    async def tell(self, seconds: float, happens: dict[float, str]) -> None:
        """Everything that the boxes have to tell, at the pace of the clock; at some times, something happens."""
        outboxes, jobs, clients = {}, [], []
        for name in STREET.names:
            client = await nats.connect(self.servers.leaves[name].url, max_reconnect_attempts=-1)
            js = client.jetstream()
            await streams.ensure_box(js, "street", name, keep_bytes=16 << 20, keep_s=3600.0, looks_s=60.0)
            outboxes[name] = Outbox(js)
            jobs.append(asyncio.ensure_future(outboxes[name].run(lambda lost: None)))
            clients.append(client)
        await self.ready(1)
        shift = time.time() + 0.5 - START_S
        pending = sorted(happens.items())
        for now, batch, who in STREET.steps(seconds):
            await asyncio.sleep(max(0.0, now + shift - time.time()))
            while pending and pending[0][0] <= now - START_S:
                await asyncio.to_thread(getattr(self, pending.pop(0)[1]))
            self.truth |= who
            for message in batch:
                later = replace(message, head=replace(message.head, time=round(message.head.time + shift, 3)))
                self.told.append(later)
                kind = "events" if isinstance(message, BoxEvent) else "tracks"
                number = f"{message.head.box}/{kind}/{message.head.seq}"
                subject = messages.subject("street", message.head.box, kind)
                outboxes[message.head.box].put(Letter(kind, subject, messages.encode(later), number))
        while any(len(outbox) for outbox in outboxes.values()):
            await asyncio.sleep(0.1)
        self.lost = sum(outbox.lost.total() for outbox in outboxes.values())
        for job in jobs:
            job.cancel()
        for client in clients:
            await client.close()

    def cut(self) -> None:
        self.servers.cut(STREET.names[1])

    def restore(self) -> None:
        self.servers.restore(STREET.names[1])

    def kill_hub(self) -> None:
        self.servers.hub.kill()
        self.servers.hub.start(wait=False)

    def kill_service(self) -> None:
        self.service.again()

    async def ready(self, times: int) -> None:
        while self.service.log.count("known again") < times:
            await asyncio.sleep(0.1)

    def undisturbed(self) -> dict[Key, int]:
        """Who would be whom, had nothing happened."""
        identity = SiteIdentity(STREET.rules)
        told: list[Binding] = []
        for message in sorted(self.told, key=lambda message: message.head.time):
            identity.take(messages.parse(self._name(message), messages.encode(message)), message.head.time)
            told += identity.advance(message.head.time).bindings
        told += identity.finish().bindings
        return {(binding.box, binding.run, binding.id): binding.site_id for binding in told}

    async def noted(self) -> dict[Key, int]:
        """Who is whom by the site's bucket."""
        client = await nats.connect(self.servers.hub.url)
        found: dict[Key, int] = {}
        for name in STREET.names:
            for entry, value in (await bucket.read(client, "street", name, 5.0)).items():
                run, _, number = entry.partition(".")
                found[name, run, int(number)] = json.loads(value)["site_id"]
        await client.close()
        return found

    async def settled(self, wanted: dict[Key, int], timeout_s: float = 60.0) -> dict[Key, int]:
        """What is noted, once that is as wanted, or after so long."""
        end = time.monotonic() + timeout_s
        while (found := await self.noted()) != wanted and time.monotonic() < end:
            await asyncio.sleep(0.5)
        return found

    @staticmethod
    def _name(message: BoxMessage) -> str:
        return messages.subject("street", message.head.box, "events" if isinstance(message, BoxEvent) else "tracks")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as undo:
        yield Scene(tmp_path, undo)


def ends_as_undisturbed(scene: Scene, seconds: float, happens: dict[float, str]) -> None:
    async def run() -> tuple[dict[Key, int], dict[Key, int]]:
        await scene.tell(seconds, happens)
        wanted = scene.undisturbed()
        return wanted, await scene.settled(wanted)

    wanted, found = asyncio.run(run())
    assert scene.lost == 0
    assert found == wanted


def test_a_link_that_is_cut_and_a_service_that_is_killed_change_no_ids(scene: Scene) -> None:
    ends_as_undisturbed(scene, 12.0, {2.0: "cut", 4.0: "kill_service", 8.0: "restore"})
    assert mistaken(scene.undisturbed(), scene.truth) == 0


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_minute_without_link_a_killed_hub_and_twenty_killed_services_change_no_ids(scene: Scene) -> None:
    happens = {5.0: "cut", 30.0: "kill_hub", 65.0: "restore"}
    happens |= {4.0 + 4.5 * number: "kill_service" for number in range(20)}
    ends_as_undisturbed(scene, 110.0, happens)

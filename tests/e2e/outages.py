"""Three boxes of one site on real servers, what may befall them, and what would have come of it else."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Container, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from spoton_edge.site import bucket, leaf_care, messages, streams
from spoton_edge.site.follower import Follower
from spoton_edge.site.identity import SiteIdentity
from spoton_edge.site.messages import Binding, BoxMessage
from spoton_edge.site.names import Key
from spoton_edge.site.outbox import ROOM_BYTES, Letter, Outbox
from spoton_edge.systemd import Request
from tests.e2e.boxes import Program, hub_file
from tests.e2e.nats import Server, Site
from tests.e2e.networks import network
from tests.e2e.small_disk import SmallDisk
from tests.site_world import START_S, Street
from tests.waiting import until

FORGET_S = 600.0
STREET = Street(3, people=4, gap_m=-3.0, births=True)
FULL, CUT, WELL = STREET.names
Number = tuple[str, str, int]  # box, kind, seq


class Scene:
    """Three boxes that tell of people on a street, each through its leaf node; the service is a process.

    Args:
        hubs: 1, or 3 for a cluster.
        keep_bytes: what the leaf node of the box keeps that is cut off.
        room_bytes: what waits for the leaf node of the box whose disk is full.
        small_disk: under that leaf node.
        forget_s: who is not seen for so long is nobody any more; FORGET_S: nobody is, while a test lasts.
        late_s: what comes so much later counts for nothing.
    """

    def __init__(
        self,
        folder: Path,
        undo: ExitStack,
        *,
        hubs: int = 1,
        keep_bytes: int = 16 << 20,
        room_bytes: int = ROOM_BYTES,
        small_disk: bool = False,
        forget_s: float = FORGET_S,
        late_s: float = 120.0,
    ) -> None:
        self._folder, self._keep_bytes, self._room_bytes = folder, keep_bytes, room_bytes
        self._forget_s = forget_s
        made = undo.enter_context(network())
        self.servers = Site(made, folder / "nats", hubs=hubs).start()
        undo.callback(self.servers.close)
        if small_disk:
            self.disk = SmallDisk(folder / "nats" / FULL / "store")
            undo.callback(self.disk.close)
        for name in STREET.names:
            self.servers.leaf(name)
            self.servers.until_joined(name)
        asyncio.run(self._provide())  # a hub's stream whose source is not there yet asks again much later
        place = self.servers.hub.place
        ways = [made.way(place, hub.place, hub.port) for hub in self.servers.hubs]
        urls = [f"nats://{address}:{port}" for address, port in ways]
        hub = hub_file(
            folder / "hub.yaml",
            "street",
            urls,
            STREET.names,
            replicas=hubs,
            identity={"forget_s": forget_s, "late_s": late_s},
        )
        self.service = undo.enter_context(Program(self.servers.hub, folder / "site.log", "site", hub))
        self.told: list[BoxMessage] = []
        self.truth: dict[Key, int] = {}
        self.lost: Counter[str] = Counter()  # by box, what its uplink had to let go
        self.gaps: Counter[tuple[str, str]] = Counter()  # by box and kind, what the service told

    async def tell(self, seconds: float, happens: Mapping[float, str]) -> None:
        """Everything that the boxes have to tell, at the pace of the clock; at some times, something happens."""
        outboxes, clients = {}, []
        jobs = [asyncio.ensure_future(self._systemd())]
        for name in STREET.names:
            client = await nats.connect(self.servers.leaves[name].url, max_reconnect_attempts=-1)
            js = client.jetstream()
            outbox = outboxes[name] = Outbox(js, room_bytes=self._room_bytes if name == FULL else ROOM_BYTES)
            stream = streams.box_stream("street", name, "events")
            care = leaf_care.mend(client, outbox, stream, self._request(name))
            jobs += [asyncio.ensure_future(outbox.run(lambda lost: None)), asyncio.ensure_future(care)]
            clients.append(client)
        await self.ready(1)
        clients.append(at_hub := await self.at_hub())
        await at_hub.subscribe(messages.identities("street"), cb=self._hear)
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
                box, kind, seq = number_of(message)
                letter = Letter(
                    kind, messages.subject("street", box, kind), messages.encode(later), f"{box}/{kind}/{seq}"
                )
                outboxes[box].put(letter)
        while any(len(outbox) for outbox in outboxes.values()):
            await asyncio.sleep(0.1)
        self.lost = Counter({box: outbox.lost.total() for box, outbox in outboxes.items()})
        await self._arrived_last()
        for job in jobs:
            job.cancel()
        for client in clients:
            await client.close()

    async def _provide(self) -> None:
        for name in STREET.names:
            client = await nats.connect(self.servers.leaves[name].url)
            keep_bytes = self._keep_bytes if name == CUT else 16 << 20
            js = client.jetstream()
            await streams.ensure_box(js, "street", name, keep_bytes=keep_bytes, keep_s=3600.0, looks_s=None)
            await client.close()

    # What may happen.

    def cut(self) -> None:
        self.servers.cut(CUT)

    def kill_leaf(self) -> None:
        """That of the box that is cut off: what is on its way is gone, what it keeps is not."""
        self.servers.leaves[CUT].kill()
        self.servers.leaves[CUT].start(wait=False)

    def restore(self) -> None:
        self.servers.restore(CUT)

    def fill_disk(self) -> None:
        self.disk.fill()

    def empty_disk(self) -> None:
        self.disk.empty()

    def kill_hub(self) -> None:
        self.servers.hub.kill()
        self.servers.hub.start(wait=False)

    def kill_service(self) -> None:
        self.service.again()

    def kill_leader(self) -> None:
        self._leader().kill()

    def kill_other(self) -> None:
        """One of the cluster that does not lead."""
        leader = self._leader()
        next(hub for hub in self.servers.hubs if hub is not leader).kill()

    def start_killed(self) -> None:
        for hub in self.servers.hubs:
            if not hub.runs:
                hub.start(wait=False)

    # What came of it.

    async def ready(self, times: int) -> None:
        while self.service.log.count("known again") < times:
            await asyncio.sleep(0.1)

    async def at_hub(self) -> Client:
        return await nats.connect([hub.url for hub in self.servers.hubs], max_reconnect_attempts=-1)

    async def arrived(self) -> set[Number]:
        """What the hub has of the boxes' messages."""
        client = await self.at_hub()
        found = set[Number]()

        def take(subject: str, payload: bytes) -> None:
            found.add(number_of(messages.parse(subject, payload)))

        stream = streams.site_stream("street", "tracks")
        follower = Follower(client, client.jetstream(), stream, take, start_s=0.0)
        reading = asyncio.ensure_future(follower.run())
        await follower.caught_up.wait()
        reading.cancel()
        await client.close()
        return found

    def undisturbed(self, kept: Container[Number] | None = None) -> dict[Key, int]:
        """Who would be whom, had nothing happened; or had there been no other messages than those `kept`."""
        identity = SiteIdentity(replace(STREET.rules, forget_s=self._forget_s))
        told: list[Binding] = []
        for message in sorted(self.told, key=lambda message: message.head.time):
            box, kind, _ = number = number_of(message)
            if kept is not None and number not in kept:
                continue
            parsed = messages.parse(messages.subject("street", box, kind), messages.encode(message))
            identity.take(parsed, message.head.time)
            told += identity.advance(message.head.time).bindings
        told += identity.finish().bindings
        return {(binding.box, binding.run, binding.id): binding.site_id for binding in told}

    async def noted(self) -> dict[Key, int]:
        """Who is whom by the site's bucket."""
        client = await self.at_hub()
        found: dict[Key, int] = {}
        for name in STREET.names:
            for entry, value in (await bucket.read(client, "street", name, 20.0)).items():
                run, _, number = entry.partition(".")
                found[name, run, int(number)] = json.loads(value)["site_id"]
        await client.close()
        return found

    async def settled(self, wanted: Mapping[Key, int], timeout_s: float = 60.0) -> dict[Key, int]:
        """What is noted, once that is as wanted, or after so long."""
        end = time.monotonic() + timeout_s
        while (found := await self.noted()) != wanted and time.monotonic() < end:
            await asyncio.sleep(0.5)
        return found

    async def _hear(self, message: Msg) -> None:
        gap: dict[str, Any] = json.loads(message.data).get("gap", {})
        if gap:
            self.gaps[gap["box"], gap["of"]] += gap["lost"]

    async def _arrived_last(self) -> None:
        """Until the hub has each box's last message of each kind, and what is not there has been told of."""
        last = {(box, kind): seq for box, kind, seq in map(number_of, self.told)}
        async with asyncio.timeout(60):
            while True:
                found = await self.arrived()
                missing = len(self.told) - len(found)
                if {(*key, seq) for key, seq in last.items()} <= found and self.gaps.total() >= missing:
                    return
                await asyncio.sleep(0.5)

    async def _systemd(self) -> None:
        """What the units do for a leaf node that asks for it."""
        while True:
            await asyncio.sleep(0.1)
            for name, leaf in self.servers.leaves.items():
                asked = self._request(name).path
                if asked is not None and asked.exists():
                    asked.unlink()
                    if self.disk.room > 1 << 20:
                        leaf.kill()
                        await asyncio.to_thread(leaf.start)

    def _request(self, box: str) -> Request:
        return Request(f"{box}-{leaf_care.STUCK}", {"RUNTIME_DIRECTORY": str(self._folder)})

    def is_read(self, kind: str) -> bool:
        """Whether somebody reads the hub's stream of that kind."""
        name = streams.site_stream("street", kind)
        accounts = self.servers.hub.asked("jsz?streams=1").get("account_details", ())
        found = [stream for account in accounts for stream in account.get("stream_detail", ())]
        return any(stream["name"] == name and stream["state"]["consumer_count"] for stream in found)

    def _leader(self) -> Server:
        """The server that leads the stream of positions and events."""

        def found() -> Server | None:
            for hub in self.servers.hubs:
                for account in hub.asked("jsz?streams=1").get("account_details", ()):
                    for stream in account.get("stream_detail", ()):
                        leader = stream["cluster"].get("leader")
                        if stream["name"] == streams.site_stream("street", "tracks") and leader:
                            return next(server for server in self.servers.hubs if server.name == leader)
            return None

        leader: Server = until(found, "somebody leads")
        return leader


def number_of(message: BoxMessage) -> Number:
    """What a message is counted by."""
    return message.head.box, messages.kind_of(message), message.head.seq

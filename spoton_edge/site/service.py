"""The site identity service: reads what the boxes' uplinks tell, says who is whom, and keeps nothing of its own.

All it knows is in JetStream: started again, anywhere, it reads who was told to be whom, goes through the last minutes
once more, and goes on with the same ids.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import Counter, deque
from dataclasses import asdict
from typing import Any

import numpy as np
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from spoton_edge import config
from spoton_edge.gallery import Appearance
from spoton_edge.site import hub_care, messages, streams
from spoton_edge.site.follower import Follower
from spoton_edge.site.identity import Answers, SiteIdentity
from spoton_edge.site.jobs import Trouble, mind, until
from spoton_edge.site.losses import Losses
from spoton_edge.site.messages import BadMessageError, Binding
from spoton_edge.site.plan import Border, Passage, Rules
from spoton_edge.site.register import AT_ONCE, Register
from spoton_edge.site.shut_out import shut_out
from spoton_edge.site.site_map import SiteMap
from spoton_edge.site.streams import Errors, Source
from spoton_edge.systemd import Request, Systemd

log = logging.getLogger(__name__)

TICK_S = 0.025
ALIVE_S = 1.0
KEEP_S = 1.0
MIND_S = 5.0
REBUILD_S = 30.0  # more than anybody is remembered
MOST_GAPS = 1000
MARGIN_S = 10.0  # between the hub's clock and ours


def rules_of(hub: config.Hub, appearance: Appearance | None) -> Rules:
    """What the file says of the site."""
    passages = []
    for link in hub.links:
        out, into = Border(*link.leave.split("/")), Border(*link.enter.split("/"))
        passages.append(Passage(out, into, link.travel_s))
        if link.both_ways:
            passages.append(Passage(into, out, link.travel_s))
    return Rules(
        boxes=tuple(box.name for box in hub.boxes),
        passages=tuple(passages),
        max_speed_mps=hub.identity.max_speed_mps,
        forget_s=hub.identity.forget_s,
        sync_window_s=hub.identity.sync_window_ms / 1e3,
        appearance=appearance,
    )


class SiteService:
    """One site's service. `run` once.

    Attributes:
        rebuilt_s: how long it took to know everything again; None: not yet.
        refused: by box, messages that were none.
    """

    def __init__(self, hub: config.Hub, appearance: Appearance | None = None) -> None:
        """Raises PublishError, where an endpoint of `publish` cannot be bound."""
        self.rebuilt_s: float | None = None
        self.refused: Counter[str] = Counter()
        self._hub = hub
        self._rules = rules_of(hub, appearance)
        self._systemd = Systemd()
        self._run = secrets.token_hex(8)
        self._seq = 0
        self._boxes = [Source(box.name, _domain(box)) for box in hub.boxes]
        self._identity: SiteIdentity | None = None
        self._losses = Losses()
        self._unsaved: list[Binding] = []
        self._gaps: deque[dict[str, Any]] = deque(maxlen=MOST_GAPS)  # still to be told
        self._map = SiteMap(hub, self._run) if hub.publish.bind else None
        self._unread = Trouble("the hub's streams do not answer", "the hub's streams answer again")
        self._stopping = asyncio.Event()

    @property
    def map_endpoint(self) -> str | None:
        """Where the whole site is published."""
        return None if self._map is None else self._map.endpoint

    def stop(self) -> None:
        """Have `run` return. From the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        hub = self._hub
        self._systemd.status("waiting for the hub's NATS server")
        client = await streams.connect(
            hub.server,
            f"site {hub.site}",
            nkey=hub.nkey or streams.credential("service.key"),
            ca=hub.ca or streams.credential("ca.pem"),
            error_cb=mind,
        )
        try:
            await client.subscribe(messages.clock(hub.site), cb=_tell_time)
            await until(self._stopping, [self._serve(client), hub_care.mend(client, Request(hub_care.STUCK))])
        finally:
            if self._map is not None:
                self._map.close()
            await client.close()

    async def _serve(self, client: Client) -> None:
        """From what the hub keeps, again and again: looks, which it keeps in memory, are gone when it starts anew."""
        while not self._stopping.is_set():
            try:
                await self._begin(client)
            except NotFoundError as error:
                log.warning("the hub has not kept everything (%s): beginning again from what boxes keep", error)

    async def _begin(self, client: Client) -> None:
        """Know everything again, and go on with it."""
        began = time.monotonic()
        js = client.jetstream()
        site = self._hub.site
        created = await self._provide(js)
        register = Register(client, js, site)
        await register.read()
        start_s = time.time() - min(self._rules.forget_s + REBUILD_S, streams.HUB_KEEPS_S)
        numbers = register.numbers(start_s + MARGIN_S)
        if numbers is None and created > start_s + MARGIN_S:
            numbers = {}  # nothing came before what will be read
        self._losses = Losses(numbers)
        self._identity = SiteIdentity(
            self._rules,
            register.told,
            register.places,
            since_s=start_s + MARGIN_S,
            late_s=self._hub.identity.late_s,
        )
        followers = [
            Follower(client, js, streams.site_stream(site, kind), self._take, start_s=start_s)
            for kind in ("tracks", "looks")
        ]
        try:
            reading = [follower.run() for follower in followers]
            await until(self._stopping, [*reading, self._go_on(client, js, register, followers, began)])
        finally:
            log.info("site %s: %s", site, dict(self._identity.counts) or "all in time")

    async def _go_on(
        self, client: Client, js: JetStreamContext, register: Register, followers: list[Follower], began: float
    ) -> None:
        """Once everything has been read. began: when reading did, monotonic."""
        for follower in followers:
            await follower.caught_up.wait()
        if self._identity is not None:
            self._answer(self._identity.finish(), register)
            people = len(set(self._identity.answers().values()))
            self.rebuilt_s = time.monotonic() - began
            log.info("site %s: everything known again in %.1f s; %d people", self._hub.site, self.rebuilt_s, people)
        self._systemd.ready()
        jobs = [self._tick(register), self._save(client, register), self._keep(register), self._report(register)]
        await until(self._stopping, [*jobs, self._mind(client, js)])

    async def _provide(self, js: JetStreamContext) -> float:
        """The hub's streams and the bucket, as soon as the hub lets us; since when there are any (Unix s)."""
        while True:
            try:
                for config_ in self._configs():
                    await streams.ensure(js, config_)
                await streams.ensure_bucket(js, self._hub.site, replicas=self._hub.replicas)
                created = (await js.stream_info(streams.site_stream(self._hub.site, "tracks"))).created
            except (*Errors, JetStreamError) as error:
                self._unread.begin(error)
                await asyncio.sleep(1.0)
            else:
                self._unread.end()
                return 0.0 if created is None else created.timestamp()

    def _configs(self) -> list[Any]:
        return [
            streams.hub_config(
                self._hub.site, kind, self._boxes, replicas=self._hub.replicas, looks_s=self._rules.forget_s
            )
            for kind in ("tracks", "looks")
        ]

    def _take(self, subject: str, payload: bytes) -> None:
        if self._identity is None:
            return
        box = subject.split(".")[-2]
        try:
            message = messages.parse(subject, payload)
        except BadMessageError as error:
            self.refused[box] += 1
            if self.refused[box] == 1:
                log.warning("box %s: a message was refused: %s", box, error)
            return
        gap = self._losses.take(subject.rpartition(".")[2], message.head)
        if gap is not None:
            self._gaps.append(gap)
            lost = gap["lost"], gap["of"], gap["until"]
            log.warning("box %s: %d messages of %s were lost before %.3f", gap["box"], *lost)
        self._identity.take(message, time.time())

    def _answer(self, answers: Answers, register: Register) -> None:
        self._unsaved += answers.bindings
        register.take_in(answers.forgotten)
        if self._map is not None and self._identity is not None:
            self._map.tell(answers, self._identity)

    async def _tick(self, register: Register) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._identity is not None:
                self._answer(self._identity.advance(time.time()), register)

    async def _save(self, client: Client, register: Register) -> None:
        """Write down who is whom, then tell it; a sign of life now and then."""
        told_s = -np.inf
        while True:
            await asyncio.sleep(TICK_S)
            try:
                while self._unsaved:
                    some = self._unsaved[:AT_ONCE]
                    await register.write(some)
                    await self._tell(client, {"identities": [asdict(binding) for binding in some]})
                    del self._unsaved[: len(some)]
                    told_s = time.monotonic()
                while self._gaps:
                    await self._tell(client, {"gap": self._gaps[0]})
                    del self._gaps[0]
                if time.monotonic() - told_s >= ALIVE_S:
                    told_s = time.monotonic()
                    await self._tell(client, {})
            except (*Errors, JetStreamError) as error:
                log.debug("not told: %s", error)
                await asyncio.sleep(0.5)

    async def _keep(self, register: Register) -> None:
        """Keep the bucket as it should be."""
        while True:
            await asyncio.sleep(KEEP_S)
            if self._identity is None:
                continue
            try:
                await register.keep(self._identity.places, self._identity.answers(), self._losses.numbers)
            except (*Errors, JetStreamError) as error:
                log.debug("the bucket cannot be kept: %s", error)

    async def _tell(self, client: Client, body: dict[str, Any]) -> None:
        self._seq += 1
        raw = {"v": messages.VERSION, "run": self._run, "seq": self._seq, "time": round(time.time(), 3), **body}
        await client.publish(messages.identities(self._hub.site), json.dumps(raw, separators=(",", ":")).encode())

    async def _mind(self, client: Client, js: JetStreamContext) -> None:
        """Have the hub ask leaf nodes again as soon as they are back, for looks only those that have any; and let go of
        those that were put out."""
        while True:
            await asyncio.sleep(MIND_S)
            try:
                for box in await shut_out(client):
                    log.warning("box %s: put out of the site; its connection is closed", box)
            except Errors as error:
                log.debug("the hub cannot be asked who is connected: %s", error)
            places = {} if self._identity is None else self._identity.places
            site = self._hub.site
            names = {
                streams.box_stream(site, box.name, kind) for box in self._hub.boxes for kind in ("events", "tracks")
            }
            names |= {streams.box_stream(site, box, "looks") for box, place in places.items() if place.shares}
            for config_ in self._configs():
                try:
                    silent = await streams.mind_sources(js, config_, names)
                    log.debug("asked anew: %s", ", ".join(silent) or "none")
                    self._unread.end()
                except (*Errors, JetStreamError) as error:
                    self._unread.begin(error)

    async def _report(self, register: Register) -> None:
        """Tell systemd, and the map, how things are."""
        while True:
            await asyncio.sleep(ALIVE_S)
            if self._identity is None:
                continue
            now = time.time()
            away = [box for box, heard in self._identity.heard.items() if now - heard.at_s > MIND_S]
            people = len(set(self._identity.answers().values()))
            state = f"{people} people on {len(self._rules.boxes) - len(away)} of {len(self._rules.boxes)} boxes"
            counts = f"lost {self._losses.lost.total()}, late {self._identity.counts['late']}"
            fails = "; the hub fails, see the log" if self._unread.lasts or register.trouble.lasts else ""
            self._systemd.status(f"{state}; {counts}{fails}")
            self._systemd.feed()
            if self._map is not None:
                self._map.status(self._identity, now)


def _domain(box: config.HubBox) -> str | None:
    domain = box.domain or box.name
    return None if domain == streams.HUB_DOMAIN else domain


async def _tell_time(message: Msg) -> None:
    if message.reply:
        await message.respond(str(time.time_ns()).encode())

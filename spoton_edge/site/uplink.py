"""The uplink of a box: tells its site what is needed of its people, and its box who they are on the site.

It is a subscriber of the daemon like any other, so that the daemon needs no way in and waits for nobody. What it tells
is written to the leaf node on this machine before it is sent; answers come back over the same link, and are published
on an endpoint of the uplink's own.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import numpy as np
from nats.aio.client import Client
from nats.js.errors import Error as JetStreamError

from spoton_edge import config, control
from spoton_edge.client import AsyncSubscriber
from spoton_edge.errors import UsageError
from spoton_edge.messages import Missed
from spoton_edge.publisher import Publisher
from spoton_edge.site import leaf_care, messages, streams
from spoton_edge.site.clock import Offset
from spoton_edge.site.digest import Digest
from spoton_edge.site.jobs import mind, until, wait_for
from spoton_edge.site.known import SILENT_S, Known
from spoton_edge.site.messages import BoxMessage, Sights
from spoton_edge.site.outbox import Letter, Outbox
from spoton_edge.site.streams import Errors
from spoton_edge.systemd import Request, Systemd
from spoton_edge.wire import Encoder

log = logging.getLogger(__name__)

TELL_S = 1.0  # who is whom, also where nothing is new
ASK_TIME_S, ANSWER_S = 2.0, 1.0
AGAIN_S = 2.0
MEASURED_S = 60.0  # after this the rate is known


class Uplink:
    """One box's uplink, from its site file. `run` once."""

    def __init__(self, site: config.Site, *, server: str, key: Path | None = None) -> None:
        """key: of the daemon's encrypted endpoints, if they are. Raises PublishError, CredentialError."""
        self._site, self._server, self._key = site, server, key
        self._systemd = Systemd()
        self._link = secrets.token_hex(8)
        self._offset = Offset()
        self._digest = Digest(
            site.box,
            self._link,
            site.uplink.pose,
            {border.name: border.zone for border in site.uplink.border},
            self._offset,
            shares=site.uplink.share_appearance,
        )
        self._encoder = Encoder(site.site, site.box, self._link, ())
        self._publisher = Publisher(self._encoder, [site.uplink.identities])
        self._known = Known(site.site, site.box)
        self._reported = asyncio.Event()  # where everybody is
        self._stopping = asyncio.Event()

    @property
    def endpoint(self) -> str:
        """Where who is whom is published."""
        return self._publisher.endpoints[0]

    def stop(self) -> None:
        """Have `run` return. From the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        uplink = self._site.uplink
        self._systemd.status(f"waiting for {self._server}")
        client = await streams.connect(
            self._server,
            f"uplink {self._site.box}",
            nkey=uplink.nkey or streams.credential("box.key"),
            ca=uplink.ca,
            error_cb=mind,
            inbox_prefix=f"_INBOX.{self._site.box}",
        )
        try:
            js = client.jetstream()
            outbox = Outbox(js)
            events = streams.box_stream(self._site.site, self._site.box, "events")
            jobs = [
                self._provide(js, outbox),
                leaf_care.mend(client, outbox, events, Request(leaf_care.STUCK)),
                outbox.run(lambda lost: self._put(outbox, self._digest.gap(lost, time.monotonic()))),
                self._listen(outbox),
                self._ask_time(client),
                self._known.follow(client),
                self._tell(),
                self._report(outbox),
            ]
            if uplink.share_appearance:
                jobs.append(self._share_looks(outbox))
            self._systemd.ready()
            await until(self._stopping, jobs)
        finally:
            self._publisher.close()
            await client.close()

    async def _provide(self, js: Any, outbox: Outbox) -> None:
        """Have the streams on the leaf node, also where it loses them; meanwhile, messages wait in the outbox."""
        uplink = self._site.uplink
        told = ""
        while True:
            try:
                await streams.ensure_box(
                    js,
                    self._site.site,
                    self._site.box,
                    keep_bytes=uplink.keep_mb << 20,
                    keep_s=uplink.keep_h * 3600,
                    looks_s=self._site.identity.forget_s if uplink.share_appearance else None,
                )
            except (*Errors, JetStreamError) as error:
                if str(error) != told:
                    log.warning("the leaf node's streams cannot be made: %s", error)
                told = str(error)
                await asyncio.sleep(AGAIN_S)
                continue
            told = ""
            await asyncio.sleep(AGAIN_S)
            while not outbox.failing:
                await asyncio.sleep(AGAIN_S)

    async def _listen(self, outbox: Outbox) -> None:
        publish = self._site.publish
        async with AsyncSubscriber(
            publish.bind[0],
            snapshot=publish.snapshot,
            site=self._site.site,
            kinds=("tracks", "events", "site"),
            key=self._key,
        ) as subscriber:
            async for message in subscriber:
                if isinstance(message, Missed):
                    continue
                for told in self._digest.take(message, time.monotonic()):
                    self._put(outbox, told)
                    if isinstance(told, Sights):
                        self._reported.set()

    async def _share_looks(self, outbox: Outbox) -> None:
        """Have the daemon tell over its control socket what people look like; no other way leads there."""
        after_ns = 0
        told = False
        while True:
            # Statures belong to the positions that have just been told.
            await self._reported.wait()
            self._reported.clear()
            try:
                answer = await asyncio.to_thread(self._ask_looks, after_ns)
            except UsageError as error:
                if not told:
                    log.warning("no looks: %s", error)
                told, after_ns = True, 0
                continue
            told = False
            for row in answer["looks"]:
                after_ns = max(after_ns, row["seen_ns"])
                look = self._digest.look(row["id"], np.array(row["vector"], np.float32), time.monotonic())
                if look is not None:
                    self._put(outbox, look)
            tall_m = {row["id"]: row["tall_m"] for row in answer.get("statures", ())}
            statures = self._digest.statures(tall_m, time.monotonic())
            if statures is not None:
                self._put(outbox, statures)

    def _ask_looks(self, after_ns: int) -> dict[str, Any]:
        where = self._site.runtime.control
        endpoint = control.find(self._site.site) if where == "auto" else where
        answer: dict[str, Any] = control.ask(endpoint, "looks", timeout_s=5.0, after_ns=after_ns)
        return answer

    def _put(self, outbox: Outbox, message: BoxMessage) -> None:
        kind = messages.kind_of(message)
        head = message.head
        number = f"{head.box}/{head.link}/{kind}/{head.seq}"
        name = messages.subject(self._site.site, self._site.box, kind)
        outbox.put(Letter(kind, name, messages.encode(message), number))

    async def _ask_time(self, client: Client) -> None:
        """Round trips to the site service, whose clock is the site's."""
        subject = messages.clock(self._site.site)
        while True:
            sent_s = time.monotonic()
            try:
                answer = await client.request(subject, b"", timeout=ANSWER_S)
                self._offset.measure(sent_s, int(answer.data) / 1e9, time.monotonic())
            except (*Errors, ValueError):
                pass  # the site is away: the last trips go on counting, for less and less
            await asyncio.sleep(ASK_TIME_S)

    async def _tell(self) -> None:
        """Publish who is whom: on change, and now and then for those who have just joined."""
        while True:
            await wait_for(self._known.changed, TELL_S)
            self._known.changed.clear()
            self._known.forget(self._digest.alive, time.time() - self._site.identity.forget_s)
            self._publisher.publish(self._encoder.identities(self._known.rows(), self._known.silent_s))
            await asyncio.sleep(0.05)  # answers come in handfuls

    async def _report(self, outbox: Outbox) -> None:
        """Systemd's status line; once, how long the leaf node can keep everything."""
        uplink = self._site.uplink
        began = time.monotonic()
        measured = False
        while True:
            silent_s = self._known.silent_s
            away = silent_s is None or silent_s > SILENT_S
            state = "the site is away" if away else f"{len(self._known)} people have an id of the site"
            self._systemd.feed()
            self._systemd.status(f"{state}; {outbox.written} messages, {outbox.lost.total()} lost {outbox.failing}")
            if not measured and time.monotonic() - began > MEASURED_S and outbox.written:
                measured = True
                rates = {kind: size / (time.monotonic() - began) for kind, size in outbox.written_bytes.items()}
                kept_s = streams.kept_s(uplink.keep_mb << 20, uplink.keep_h * 3600, rates)
                log.info(
                    "%.1f kB/s: for a site that is away the leaf node keeps positions for %.1f hours, births, deaths "
                    "and crossings for %.1f",
                    sum(rates.values()) / 1e3,
                    kept_s["tracks"] / 3600,
                    kept_s["events"] / 3600,
                )
            await asyncio.sleep(1.0)

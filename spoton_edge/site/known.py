"""Who the people of one box are on the site: what its service tells, and what an uplink that missed some reads."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Set
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from spoton_edge.site import bucket, messages
from spoton_edge.site.streams import Errors

log = logging.getLogger(__name__)

SILENT_S = 5.0  # of the site
AGAIN_S = 2.0


class Known:
    """Of one box.

    Attributes:
        changed: set when an answer is new.
    """

    def __init__(self, site: str, box: str) -> None:
        self.changed = asyncio.Event()
        self._site, self._box = site, box
        self._site_id: dict[tuple[str, int], tuple[int, float]] = {}  # since when, by run and id
        self._heard_s: float | None = None  # monotonic
        self._service = ""  # the run of the site service
        self._seq = 0
        self._missed = asyncio.Event()
        self._missed.set()

    def __len__(self) -> int:
        return len(self._site_id)

    @property
    def silent_s(self) -> float | None:
        """For how long the site has not been heard of; None: never was."""
        return None if self._heard_s is None else time.monotonic() - self._heard_s

    def rows(self) -> list[dict[str, Any]]:
        """Everybody, as subscribers of the box are told."""
        return [
            {"run": run, "id": number, "site_id": site_id, "since": round(since, 3)}
            for (run, number), (site_id, since) in sorted(self._site_id.items())
        ]

    async def follow(self, client: Client) -> None:
        """Hear what the service says, until cancelled; at the start and whenever something was missed, read the
        bucket."""
        await client.subscribe(messages.identities(self._site), cb=self._hear)
        while True:
            await self._missed.wait()
            self._missed.clear()
            try:
                entries = await bucket.read(client, self._site, self._box, SILENT_S)
            except Errors:
                self._missed.set()  # the link is cut, or there is no bucket yet
                await asyncio.sleep(AGAIN_S)
                continue
            for name, value in entries.items():
                run, _, number = name.partition(".")
                row = json.loads(value)
                self._learn(run, int(number), int(row["site_id"]), float(row["since"]))

    def forget(self, alive: Set[tuple[str, int]], since: float) -> None:
        """Let go of those who are not alive and were last told of before `since` (Unix s)."""
        for key in [key for key, (_, told) in self._site_id.items() if key not in alive and told < since]:
            del self._site_id[key]

    async def _hear(self, message: Msg) -> None:
        """An answer of the site service, or a sign of life."""
        try:
            raw = json.loads(message.data)
            run, seq = str(raw["run"]), int(raw["seq"])
            for row in raw.get("identities", ()):
                if row["box"] == self._box:
                    self._learn(str(row["run"]), int(row["id"]), int(row["site_id"]), float(row["since"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            log.debug("an answer that is none")
            return
        self._heard_s = time.monotonic()
        if run != self._service or seq > self._seq + 1:
            self._missed.set()
        self._service, self._seq = run, max(seq, self._seq if run == self._service else 0)

    def _learn(self, run: str, number: int, site_id: int, since: float) -> None:
        if self._site_id.get((run, number), (0, 0.0))[0] != site_id:
            self._site_id[run, number] = site_id, since
            self.changed.set()

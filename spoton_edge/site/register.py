"""The site's bucket as the service keeps it: who is whom, where boxes are, and which messages have come.

BOX.RUN.ID      {"site_id", "since", "written"}
place.BOX       {"outline", "borders", "shares"}
heard.numbers   {"written", "numbers"}: see `Losses`
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from spoton_edge.site import streams
from spoton_edge.site.follower import Follower
from spoton_edge.site.jobs import Trouble, until
from spoton_edge.site.messages import Binding, BoxPlace
from spoton_edge.site.names import Key

AT_ONCE = 400  # entries
AGAIN_S = streams.BUCKET_TTL_S / 4  # after this an entry is written again, as long as it holds
NUMBERS_S = 10.0
LINGER_S = 60.0  # who is forgotten may be among what a service reads that starts now, from before they were
NUMBERS = "heard.numbers"


class Register:
    """The bucket of one site. What waits for the hub raises what nats-py does.

    Attributes:
        told: who was whom when it was read.
        places: where boxes were then.
        trouble: whether the hub writes.
    """

    def __init__(self, client: Client, js: JetStreamContext, site: str) -> None:
        self._client, self._js = client, js
        self._name = streams.bucket(site)
        self.told: dict[Key, int] = {}
        self.places: dict[str, BoxPlace] = {}
        self.trouble = Trouble("the hub does not write who is whom", "the hub writes again")
        self._numbers: dict[str, Any] = {}
        self._written_s: dict[Key, float] = {}
        self._known: dict[str, BoxPlace] = {}
        self._gone: deque[tuple[float, Key]] = deque()  # since when, monotonic
        self._numbers_s = time.time()

    async def read(self) -> None:
        """Everything in it, as it is now. Raises NotFoundError where there is none."""
        prefix, stored = f"$KV.{self._name}.", dict[str, bytes]()

        def take(subject: str, payload: bytes) -> None:
            stored[subject.removeprefix(prefix)] = payload

        follower = Follower(self._client, self._js, f"KV_{self._name}", take, start_s=None)
        await until(follower.caught_up, [follower.run()])
        for name, value in stored.items():
            parts = name.split(".")
            raw = json.loads(value)
            if len(parts) == 3:
                key = parts[0], parts[1], int(parts[2])
                self.told[key], self._written_s[key] = int(raw["site_id"]), float(raw.get("written", 0.0))
            elif parts[0] == "place":
                borders = {border: _polygon(zone) for border, zone in raw["borders"].items()}
                self.places[parts[1]] = BoxPlace(_polygon(raw["outline"]), borders, raw.get("shares", False))
            elif name == NUMBERS:
                self._numbers = raw
        self._known = dict(self.places)

    def numbers(self, since_s: float) -> dict[str, dict[str, dict[str, int]]] | None:
        """Which messages had come when it was read; None: nobody has noted that since (Unix s)."""
        found: dict[str, dict[str, dict[str, int]]] | None = self._numbers.get("numbers")
        return found if self._numbers.get("written", 0.0) > since_s else None

    async def write(self, bindings: Sequence[Binding]) -> None:
        """Note who is whom."""
        await asyncio.gather(*map(self._write, bindings))

    def take_in(self, gone: Sequence[Key]) -> None:
        """Those nobody will hear of again: `keep` strikes them out, in time."""
        self._gone.extend((time.monotonic(), key) for key in gone)

    async def keep(
        self, places: Mapping[str, BoxPlace], answers: Mapping[Key, int], numbers: Mapping[str, Any]
    ) -> None:
        """Write down what is new of boxes, write again what gets old, strike out who is nobody any more."""
        await self._keep_places(places)
        since_s = time.monotonic() - LINGER_S
        gone = [key for when_s, key in islice(self._gone, AT_ONCE) if when_s < since_s]
        await asyncio.gather(*(self._strike(key) for key in gone if key not in answers))
        for key in gone:
            self._gone.popleft()
            if key not in answers:
                self._written_s.pop(key, None)
        now = time.time()
        old = [key for key, written_s in self._written_s.items() if written_s < now - AGAIN_S and key in answers]
        await self.write([Binding(*key, answers[key], now - AGAIN_S, "appeared") for key in old[:AT_ONCE]])
        if now - self._numbers_s > NUMBERS_S:
            self._numbers_s = now
            await self._put(NUMBERS, json.dumps({"written": now, "numbers": numbers}).encode())

    async def _keep_places(self, places: Mapping[str, BoxPlace]) -> None:
        fresh = {box: place for box, place in places.items() if self._known.get(box) != place}
        values = {
            box: json.dumps({"outline": place.outline, "borders": place.borders, "shares": place.shares}).encode()
            for box, place in fresh.items()
        }
        await asyncio.gather(*(self._put(f"place.{box}", value) for box, value in values.items()))
        self._known |= fresh

    async def _write(self, binding: Binding) -> None:
        key = binding.box, binding.run, binding.id
        value = {"site_id": binding.site_id, "since": binding.since, "written": time.time()}
        await self._put(".".join(map(str, key)), json.dumps(value).encode())
        self._written_s[key] = time.time()

    async def _strike(self, key: Key) -> None:
        """Leave nothing behind: of all who come by in a day, few are remembered."""
        await self._js.purge_stream(f"KV_{self._name}", subject=f"$KV.{self._name}.{'.'.join(map(str, key))}")

    async def _put(self, name: str, value: bytes) -> None:
        try:
            await self._js.publish(f"$KV.{self._name}.{name}", value)
        except (*streams.Errors, JetStreamError) as error:
            self.trouble.begin(error)
            raise
        self.trouble.end()


def _polygon(corners: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in corners)

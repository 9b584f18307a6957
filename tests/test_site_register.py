"""What the site's bucket keeps, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from spoton_edge.site import register
from spoton_edge.site.messages import Binding
from spoton_edge.site.names import Key
from spoton_edge.site.register import Register
from spoton_edge.site.service import REBUILD_S

SOMEBODY: Key = ("one", "aa", 1)


class Stream:
    """Takes what is published."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    async def publish(self, subject: str, payload: bytes) -> None:
        self.entries[subject] = payload

    async def purge_stream(self, name: str, *, subject: str) -> None:
        assert subject.startswith(f"${name.replace('_', '.')}.")
        del self.entries[subject]


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(register.time, "monotonic", lambda: now[0])
    return now


def test_who_is_forgotten_is_struck_out_once_no_service_that_starts_reads_of_him(now_s: list[float]) -> None:
    stream = Stream()
    kept = Register(cast(Client, None), cast(JetStreamContext, cast(Any, stream)), "site")

    async def run() -> list[bool]:
        await kept.write([Binding(*SOMEBODY, 7, 0.0, "appeared")])
        (name,) = stream.entries
        struck = []
        kept.take_in([SOMEBODY])
        for later_s in (0.0, REBUILD_S, register.LINGER_S + 1.0):
            now_s[0] = 1000.0 + later_s
            await kept.keep({}, {}, {})
            struck.append(name not in stream.entries)
        return struck

    assert asyncio.run(run()) == [False, False, True]


def test_who_is_known_again_meanwhile_stays(now_s: list[float]) -> None:
    stream = Stream()
    kept = Register(cast(Client, None), cast(JetStreamContext, cast(Any, stream)), "site")

    async def run() -> None:
        await kept.write([Binding(*SOMEBODY, 7, 0.0, "appeared")])
        kept.take_in([SOMEBODY])
        now_s[0] += register.LINGER_S + 1.0
        await kept.keep({}, {SOMEBODY: 7}, {})

    asyncio.run(run())
    assert stream.entries

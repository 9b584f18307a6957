"""What the site's bucket keeps, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext

from spoton_edge.site import register
from spoton_edge.site.messages import Binding
from spoton_edge.site.names import Key
from spoton_edge.site.register import Register
from spoton_edge.site.service import REBUILD_S

SOMEBODY: Key = ("one", "aa", 1)


class Stream:
    """Takes what is published, unless its disk is full."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.full = False

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.full:
            raise NatsTimeoutError
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


def test_a_hub_that_does_not_write_is_said_once_and_that_it_writes_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stream = Stream()
    kept = Register(cast(Client, None), cast(JetStreamContext, cast(Any, stream)), "site")

    async def run() -> list[bool]:
        fails = []
        for stream.full in (False, True, True, False, False, True):
            with contextlib.suppress(NatsTimeoutError):
                await kept.write([Binding(*SOMEBODY, 7, 0.0, "appeared")])
            fails.append(kept.trouble.lasts)
        return fails

    assert asyncio.run(run()) == [False, True, True, False, False, True]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]

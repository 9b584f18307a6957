"""How the two programs run: jobs that never end, until somebody says stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)


async def until(stopping: asyncio.Event, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run jobs that never end until told to stop; where one fails, all end and it is raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    stop = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*tasks, stop):
            task.cancel()
        await asyncio.gather(*tasks, stop, return_exceptions=True)


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Until an event, or for so long."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass


async def mind(error: Exception) -> None:
    """What nats-py says of its connection; it mends that by itself."""
    log.debug("nats: %s", error)


class Trouble:
    """Says once that something fails, and once that it works again.

    Args:
        fails, works: what is said then, the first with the reason behind it.

    Attributes:
        lasts: whether it fails.
    """

    def __init__(self, fails: str, works: str) -> None:
        self.lasts = False
        self._fails, self._works = fails, works

    def begin(self, why: object) -> None:
        """It has failed."""
        if not self.lasts:
            log.warning("%s: %s", self._fails, why)
        self.lasts = True

    def end(self) -> None:
        """It has worked."""
        if self.lasts:
            log.info("%s", self._works)
        self.lasts = False

"""`spoton-edge uplink` and `spoton-edge site`: from the command line to the programs, until a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from typing import Protocol

from spoton_edge import config
from spoton_edge.assembly import statistics_of_model
from spoton_edge.errors import ExitCode, UsageError
from spoton_edge.site.service import SiteService
from spoton_edge.site.uplink import Uplink

# Objects made until garbage is looked for. A service that starts anew makes a million that it keeps: looking through
# them every 700, as Python does by itself, takes a fifth of the time until all is known again.
GARBAGE_AFTER = 50_000


class _Program(Protocol):
    async def run(self) -> None: ...

    def stop(self) -> None: ...


def uplink(path: Path, key: Path | None) -> int:
    """Join a box to its site until SIGTERM or Ctrl-C; returns the exit code. key: this subscriber's, as of `watch`.

    Raises:
        SpotOnError: the file is faulty or names no server; an endpoint, key or certificate cannot be had.
    """
    site = config.load(path)
    if site.uplink.server is None:
        raise UsageError(
            f"{path}: uplink.server names no NATS server; write nats://127.0.0.1:4223 for a leaf node here"
        )
    if site.publish.keys is not None and key is None:
        raise UsageError(f"{path}: publish.keys lets in only whom it knows; give --key NAME.key (spoton-edge keys new)")
    return asyncio.run(_run(Uplink(site, server=site.uplink.server, key=key)))


def site(path: Path) -> int:
    """Serve a site of many boxes until SIGTERM or Ctrl-C; returns the exit code.

    Raises:
        SpotOnError: as `uplink`.
    """
    hub = config.load_hub(path)
    gc.set_threshold(GARBAGE_AFTER)
    return asyncio.run(_run(SiteService(hub, statistics_of_model(hub.identity.reid))))


async def _run(program: _Program) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, program.stop)
    await program.run()
    return ExitCode.STOPPED

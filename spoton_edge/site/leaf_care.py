"""Has a leaf node started anew that answers and writes nothing more.

A nats-server whose disk was full goes on refusing to write when there is room again: since 2.15 the stream on which it
happened, before that all of JetStream, until its next start, which loses nothing. Systemd starts it: the unit
spoton-edge-nats-leaf-again waits for the uplink's request, and looks first whether there is room.
"""

from __future__ import annotations

import asyncio
import logging

from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import ServiceUnavailableError

from spoton_edge.site.outbox import Outbox
from spoton_edge.site.streams import Errors
from spoton_edge.systemd import Request

log = logging.getLogger(__name__)

LOOK_S = 2.0
PATIENCE_S = 12.0  # for more than two writes
ASK_AGAIN_S = 30.0
STUCK = "leaf-is-stuck"


async def mend(client: Client, outbox: Outbox, stream: str, start_anew: Request) -> None:
    """Look after the leaf node until cancelled. stream: one that it has, unless its disk was full."""
    told = False
    while True:
        await asyncio.sleep(LOOK_S)
        if not outbox.failing:
            told = False
        if outbox.failing_s < PATIENCE_S or not client.is_connected or not await _is_stuck(client, outbox, stream):
            continue
        if not told:
            remedy = "asked systemd to" if start_anew.heard else "systemctl restart spoton-edge-nats-leaf"
            log.warning("the leaf node writes nothing, as after a full disk; it has to start anew: %s", remedy)
            told = True
        start_anew.make()
        await asyncio.sleep(ASK_AGAIN_S)


async def _is_stuck(client: Client, outbox: Outbox, stream: str) -> bool:
    """Whether the stream is there and does not answer who writes, or JetStream is switched off."""
    js: JetStreamContext = client.jetstream()
    try:
        await js.stream_info(stream)
    except (ServiceUnavailableError, NoRespondersError):
        return True
    except (*Errors, JetStreamError):
        return False  # it has not been made yet, or the server has other troubles
    return outbox.unanswered

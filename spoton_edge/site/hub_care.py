"""Has a server of the hub started anew that answers and writes nothing more.

Like a leaf node (see `leaf_care`), one whose disk was full goes on refusing to write when there is room again; of a
cluster, it has a copy less of everything, and nobody notices. Each says so itself when it is asked for its health. The
unit spoton-edge-nats-hub-again waits for the service's request, which names the servers, and starts this machine's anew
if it is one of them and there is room.
"""

from __future__ import annotations

import asyncio
import logging

from nats.aio.client import Client

from spoton_edge.site.streams import Errors
from spoton_edge.site.system_services import HEALTH, ask
from spoton_edge.systemd import Request

log = logging.getLogger(__name__)

LOOK_S = 5.0  # one that is only just starting is well at the next look
ASK_AGAIN_S = 30.0
STUCK = "hub-is-stuck"
SIGNS = ("JetStream not enabled", "write error")  # of JetStream on that server, of one stream


async def mend(client: Client, start_anew: Request) -> None:
    """Look after the hub's servers until cancelled."""
    before: set[str] = set()
    told: set[str] = set()
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            now = await _stuck(client)
        except Errors as error:
            log.debug("the hub cannot be asked how it is: %s", error)
            continue
        told &= now
        lasting = sorted(before & now)
        for name in lasting:
            if name not in told:
                log.warning(
                    "the hub's server %s writes nothing more, as after a full disk; it has to start anew: %s",
                    name,
                    f"{'asked systemd to, if it is on this machine; else, ' if start_anew.heard else ''}"
                    "where it runs: systemctl restart spoton-edge-nats-hub",
                )
        told |= set(lasting)
        before = now
        if lasting:
            start_anew.make("".join(f"{name}\n" for name in lasting))
            await asyncio.sleep(ASK_AGAIN_S)


async def _stuck(client: Client) -> set[str]:
    """Names of the servers that say so."""
    answers = (await ask(client, HEALTH)).values()
    return {answer.name for answer in answers if any(sign in answer.data.get("error", "") for sign in SIGNS)}

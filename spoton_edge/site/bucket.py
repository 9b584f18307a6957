"""Reads who is whom on a box from the site's bucket, by JetStream's direct gets: all that a box may ask of the hub.

A hub with accounts (`spoton-edge site enroll`) answers below a subject of the site; one without, in its domain.
"""

from __future__ import annotations

import asyncio
import json

from nats.aio.client import Client
from nats.aio.msg import Msg

from spoton_edge.site import messages, streams

MOST = 1000  # entries at once: the people of one box
NO_RESPONDERS, END, NOTHING = "503", "204", "404"


async def read(client: Client, site: str, box: str, timeout_s: float) -> dict[str, bytes]:
    """The entries of a box by RUN.ID.

    Raises:
        TimeoutError: the hub cannot be reached, or keeps no bucket yet.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            for prefix in (f"spoton.{messages.VERSION}.{site}.bucket", f"$JS.{streams.HUB_DOMAIN}.API"):
                entries = await _ask(client, prefix, site, box)
                if entries is not None:
                    return entries
            await asyncio.sleep(0.2)


async def _ask(client: Client, prefix: str, site: str, box: str) -> dict[str, bytes] | None:
    """None: nobody answers to that prefix."""
    name = streams.bucket(site)
    begin = f"$KV.{name}.{box}."
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=answers.put)
    try:
        ask = json.dumps({"multi_last": [f"{begin}>"], "batch": MOST}).encode()
        await client.publish(f"{prefix}.DIRECT.GET.KV_{name}", ask, reply=inbox)
        entries: dict[str, bytes] = {}
        while True:
            headers = (message := await answers.get()).headers or {}
            status = headers.get("Status")
            if status in (END, NOTHING):
                return entries
            if status is not None or "Nats-Subject" not in headers:
                return None
            entries[headers["Nats-Subject"].removeprefix(begin)] = message.data
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()

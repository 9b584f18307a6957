"""Shows those the door who were put out of the site: a hub that reads its new config lets nobody in whom that does not
name, and hears of nobody else, but closes no connection of a leaf node that is there already.

By NATS system services, which `spoton-edge site enroll` opens for the site service; a hub that was not enrolled does
not answer, and nothing happens.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError

LEAVES, ACCOUNTS = "$SYS.REQ.SERVER.PING.LEAFZ", "$SYS.REQ.SERVER.PING.ACCOUNTZ"
KICK = "$SYS.REQ.SERVER.{}.KICK"  # by the server's id
ASKED = (LEAVES, ACCOUNTS, KICK.format("*"))
ANSWER_S = 0.5  # after this no other server of the hub answers


async def shut_out(client: Client) -> list[str]:
    """Close the connections of leaf nodes whose account there is no longer; names of those boxes.

    Raises:
        nats.errors.Error: the connection is lost.
    """
    connected, known = await _ask(client, LEAVES), await _ask(client, ACCOUNTS)
    names = []
    for server in connected.keys() & known.keys():
        accounts = set(known[server]["accounts"])
        for leaf in connected[server].get("leafs", ()):
            if leaf["account"] not in accounts:
                await client.request(KICK.format(server), json.dumps({"cid": leaf["id"]}).encode(), timeout=ANSWER_S)
                names.append(str(leaf["name"]))
    return names


async def _ask(client: Client, subject: str) -> dict[str, dict[str, Any]]:
    """What every server of the hub answers, by its id."""
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=answers.put)
    found = {}
    try:
        await client.publish(subject, b"", reply=inbox)
        while True:
            async with asyncio.timeout(ANSWER_S):
                message = await answers.get()
            if not message.data:
                break  # nobody may be asked
            answer = json.loads(message.data)
            if "data" in answer:
                found[str(answer["server"]["id"])] = dict(answer["data"])
    except (TimeoutError, NatsTimeoutError):
        pass
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()
    return found

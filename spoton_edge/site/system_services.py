"""Asks the hub's servers by NATS system services, which `spoton-edge site enroll` opens for the site service.

Those of a hub that was not enrolled do not answer.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError

LEAVES, ACCOUNTS = "$SYS.REQ.SERVER.PING.LEAFZ", "$SYS.REQ.SERVER.PING.ACCOUNTZ"
HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"
KICK = "$SYS.REQ.SERVER.{}.KICK"  # by the server's id
ASKED = (LEAVES, ACCOUNTS, HEALTH, KICK.format("*"))
ANSWER_S = 0.5  # after this no other server of the hub answers


class Answer(NamedTuple):
    """Of one server: what it is called in its config, and what it says."""

    name: str
    data: dict[str, Any]


async def ask(client: Client, subject: str) -> dict[str, Answer]:
    """What every server of the hub answers, by its id.

    Raises:
        nats.errors.Error: the connection is lost.
    """
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
                found[str(answer["server"]["id"])] = Answer(str(answer["server"]["name"]), dict(answer["data"]))
    except (TimeoutError, NatsTimeoutError):
        pass
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()
    return found

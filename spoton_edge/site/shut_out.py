"""Shows those the door who were put out of the site: a hub that reads its new config lets nobody in whom that does not
name, and hears of nobody else, but closes no connection of a leaf node that is there already."""

from __future__ import annotations

import json

from nats.aio.client import Client

from spoton_edge.site.system_services import ACCOUNTS, ANSWER_S, KICK, LEAVES, ask


async def shut_out(client: Client) -> list[str]:
    """Close the connections of leaf nodes whose account there is no longer; names of those boxes. A hub that was not
    enrolled has none.

    Raises:
        nats.errors.Error: the connection is lost.
    """
    connected, known = await ask(client, LEAVES), await ask(client, ACCOUNTS)
    names = []
    for server in connected.keys() & known.keys():
        accounts = set(known[server].data["accounts"])
        for leaf in connected[server].data.get("leafs", ()):
            if leaf["account"] not in accounts:
                await client.request(KICK.format(server), json.dumps({"cid": leaf["id"]}).encode(), timeout=ANSWER_S)
                names.append(str(leaf["name"]))
    return names

"""A site as `spoton-edge site enroll` makes it: its servers run the configs that it writes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from spoton_edge.cli import main
from tests.e2e.nats import Server
from tests.e2e.networks import Network, Place
from tests.waiting import until

SITE, BOXES = "lobby", ("box-1", "box-2")


class Enrolled:
    """A site of two boxes as the verb enrolls them: the configs that it writes, run as they are.

    Args:
        hubs: 1, or 3 for a cluster; these have the same ports, and so need network namespaces.
    """

    def __init__(self, made: Network, folder: Path, *, hubs: int = 1) -> None:
        self.network, self.folder = made, folder
        names = ["hub"] if hubs == 1 else [f"hub-{number}" for number in range(1, hubs + 1)]
        places = [made.place(name) for name in names]
        self.ports = [made.free_port(places[0]) for _ in range(3)]
        self.options = ["--folder", str(folder / "nats"), "--site", SITE]
        self.options += [option for place in places for option in ("--hub", place.address)]
        self.options += ["--listen", "0.0.0.0" if places[0].prefix else "127.0.0.1", "--store", "store"]
        self.leaves: dict[str, Server] = {}
        for box in BOXES:
            self.add_leaf(box)
        self.hubs = [
            Server(name, place, made, folder / "nats" / name, file=Path("hub.conf"), port=self.ports[0])
            for name, place in zip(names, places, strict=True)
        ]

    @property
    def hub(self) -> Server:
        return self.hubs[0]

    def enroll(self, box: str, *more: str, local: int = 4223) -> int:
        ports = ["--ports", *map(str, self.ports), str(local)]
        return main(["site", "enroll", box, *self.options, *ports, *more])

    def add_leaf(self, box: str) -> None:
        place = self.network.place(box)
        port = self.network.free_port(place)
        config = self._let_in(box, place, port)
        self.leaves[box] = Server(box, place, self.network, config.parent, file=Path("leaf.conf"), port=port)

    def renew(self, box: str) -> None:
        """Give a box another key; its server goes on with the one it has until it starts again."""
        leaf = self.leaves[box]
        assert self.enroll(box, "--revoke") == 0
        self._let_in(box, leaf.place, leaf.port)

    def _let_in(self, box: str, place: Place, port: int) -> Path:
        assert self.enroll(box, local=port) == 0
        # Leaf nodes listen on loopback only; the test has no other way into a namespace than by this one.
        config = self.folder / "nats/boxes" / box / "leaf.conf"
        listen = '"0.0.0.0:' if place.prefix else '"127.0.0.1:'
        config.write_text(config.read_text().replace('"127.0.0.1:', listen))
        return config

    def start(self) -> Enrolled:
        for server in (*self.hubs, *self.leaves.values()):
            server.start(wait=False)
        for server in (*self.hubs, *self.leaves.values()):
            server.until_ready()  # a hub is once its cluster has a leader
        for box in BOXES:
            until(lambda box=box: self.joined(box), f"{box} is joined")
        return self

    def joined(self, box: str) -> bool:
        return bool(self.leaves[box].asked("leafz").get("leafnodes"))

    def close(self) -> None:
        for server in (*self.hubs, *self.leaves.values()):
            server.kill()

    async def at_hub(self, **more: Any) -> Client:
        """The site service's connection."""
        trust = ssl.create_default_context(cafile=self.folder / "nats/ca.pem")
        trust.check_hostname = False  # in a namespace the test comes by a way that no box knows
        options = {"nkeys_seed": str(self.folder / "nats/service.key"), "tls": trust, **more}
        return await nats.connect(self.hub.url.replace("nats:", "tls:"), allow_reconnect=False, **options)

    async def at_box(self, box: str, key: str | None = None) -> Client:
        """The uplink's connection to the leaf node of its box."""
        seed = self.folder / "nats/boxes" / (key or box) / "box.key"
        return await nats.connect(
            self.leaves[box].url, nkeys_seed=str(seed), inbox_prefix=b"_INBOX." + box.encode(), allow_reconnect=False
        )

    def run(self, what: Callable[[Client, Client, Client], Awaitable[None]]) -> None:
        """`what` with the connections of the service, of box-1 and of box-2."""

        async def connected() -> None:
            clients = [await self.at_hub(), await self.at_box("box-1"), await self.at_box("box-2")]
            try:
                async with asyncio.timeout(60):
                    await what(*clients)
            finally:
                for client in clients:
                    await client.close()

        asyncio.run(connected())

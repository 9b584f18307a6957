"""Machines on a network that can be cut: network namespaces where we are root, else loopback with lines between."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tests.e2e.harness import lacking
from tests.e2e.line import Line
from tests.e2e.ports import free_port


@dataclass(frozen=True)
class Place:
    """A machine of the network: `address` is its own there, `reach` where the test finds it, also while it is cut off.

    What runs on it is started with `prefix` before its command line.
    """

    name: str
    address: str
    reach: str
    prefix: tuple[str, ...] = ()


class Network(Protocol):
    """Places, and what is between them."""

    def place(self, name: str) -> Place: ...

    def free_port(self, place: Place) -> int:
        """A port of `place` that nothing listens on."""

    def way(self, source: Place, target: Place, port: int) -> tuple[str, int]:
        """Where `source` connects to reach `port` of `target`: by the network, which `cut` cuts."""

    def cut(self, place: Place) -> None:
        """Nothing passes between `place` and the others, without a word, until `restore`."""

    def restore(self, place: Place) -> None: ...

    def close(self) -> None: ...


class Loopback:
    """Every place is this machine; each way from one to another is a `Line`."""

    def __init__(self) -> None:
        self._lines: list[tuple[set[str], Line]] = []
        self._cut: set[str] = set()

    def place(self, name: str) -> Place:
        return Place(name, "127.0.0.1", "127.0.0.1")

    def free_port(self, place: Place) -> int:
        return free_port()

    def way(self, source: Place, target: Place, port: int) -> tuple[str, int]:
        line = Line((target.reach, port))
        self._lines.append(({source.name, target.name}, line))
        return "127.0.0.1", line.port

    def cut(self, place: Place) -> None:
        self._cut.add(place.name)
        for ends, line in self._lines:
            if place.name in ends:
                line.cut()

    def restore(self, place: Place) -> None:
        self._cut.discard(place.name)
        for ends, line in self._lines:
            if not ends & self._cut:
                line.restore()

    def close(self) -> None:
        for _, line in self._lines:
            line.close()


class Namespaces:
    """A namespace for each place, on a switch in one of its own; a second wire, for the test only, leads to each.

    Raises:
        OSError: this process may not, or the machine cannot (needs root and iproute2).
    """

    def __init__(self) -> None:
        self._name = f"sp{secrets.token_hex(4)}"  # a link's name, with what is added, has at most 15 characters
        self._hand = f"10.{random.randrange(64, 128)}.{random.randrange(256)}"
        self._spaces: list[str] = []
        try:
            self._space("switch")
            self._ip(f"-n {self._switch} link add switch type bridge")
            self._ip(f"-n {self._switch} link set switch up")
        except OSError:
            self.close()
            raise

    @property
    def _switch(self) -> str:
        return self._spaces[0]

    def _ip(self, arguments: str) -> None:
        done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"ip {arguments}: {done.stderr.strip()}")

    def _space(self, name: str) -> str:
        space = f"{self._name}-{name}"
        self._ip(f"netns add {space}")
        self._spaces.append(space)
        self._ip(f"-n {space} link set lo up")
        return space

    def place(self, name: str) -> Place:
        number = len(self._spaces)
        if number > 63:
            raise ValueError("a network of namespaces holds 63 places")
        space = self._space(name)
        self._ip(f"-n {space} link add net type veth peer name p{number} netns {self._switch}")
        self._ip(f"-n {self._switch} link set p{number} master switch up")
        self._ip(f"-n {space} addr add 10.213.77.{number}/24 dev net")
        self._ip(f"-n {space} link set net up")
        self._ip(f"-n {space} link add hand type veth peer name {self._name}h{number} netns {os.getpid()}")
        self._ip(f"addr add {self._hand}.{4 * number + 1}/30 dev {self._name}h{number}")
        self._ip(f"link set {self._name}h{number} up")
        self._ip(f"-n {space} addr add {self._hand}.{4 * number + 2}/30 dev hand")
        self._ip(f"-n {space} link set hand up")
        prefix = ("ip", "netns", "exec", space)
        return Place(name, f"10.213.77.{number}", f"{self._hand}.{4 * number + 2}", prefix)

    def free_port(self, place: Place) -> int:
        # Nothing else is there; below the ports that the namespace's own connections take.
        return random.randrange(10_000, 30_000)

    def way(self, source: Place, target: Place, port: int) -> tuple[str, int]:
        return target.address, port

    def cut(self, place: Place) -> None:
        self._ip(f"-n {self._switch} link set {self._port(place)} down")

    def restore(self, place: Place) -> None:
        self._ip(f"-n {self._switch} link set {self._port(place)} up")

    def delay(self, place: Place, delay_s: float) -> None:
        """Hold what `place` sends to the test for so long (netem). Raises OSError where the kernel cannot."""
        netem = f"qdisc replace dev hand root netem delay {round(1e6 * delay_s)}us limit 100000"
        done = subprocess.run([*place.prefix, "tc", *netem.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"tc {netem}: {done.stderr.strip()}")

    def _port(self, place: Place) -> str:
        return f"p{place.address.rpartition('.')[2]}"

    def close(self) -> None:
        for space in reversed(self._spaces):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        self._spaces.clear()


@contextmanager
def namespaces() -> Iterator[Namespaces]:
    """For places that listen on the same ports; skips by name where there can be none."""
    try:
        made = Namespaces()
    except OSError as error:
        lacking(f"network namespaces: root, and iproute2 ({error})")
    try:
        yield made
    finally:
        made.close()


@contextmanager
def network() -> Iterator[Network]:
    """The most real network that can be had here."""
    try:
        made: Network = Namespaces()
    except OSError:
        made = Loopback()
    try:
        yield made
    finally:
        made.close()

"""The machines of a site on one: a network namespace each, on a switch of their own, where we are root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass

SUBNET = "10.213.78"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where programs run: started with `prefix` before their command line; `address` is where others reach it."""

    name: str
    address: str
    prefix: tuple[str, ...] = ()


class Machines:
    """Makes machines. Close it, or their namespaces stay.

    Attributes:
        why_not: why they share one network; "": they do not.
    """

    def __init__(self) -> None:
        self.why_not = ""
        self._spaces: list[str] = []
        if os.geteuid() != 0:
            self.why_not = "only root makes network namespaces"
        elif shutil.which("ip") is None:
            self.why_not = "network namespaces need ip, of the package iproute2"
        else:
            try:
                switch = self._space("switch")
                _ip(f"-n {switch} link add switch type bridge")
                _ip(f"-n {switch} link set switch up")
            except OSError as error:  # in a container, say
                self.close()
                self.why_not = f"no network namespaces here: {error}"

    def machine(self, name: str) -> Machine:
        """One more; names are unique. Raises OSError."""
        if self.why_not:
            return Machine(name, "127.0.0.1")
        number, switch, space = len(self._spaces), self._spaces[0], self._space(name)
        _ip(f"-n {space} link add net type veth peer name p{number} netns {switch}")
        _ip(f"-n {switch} link set p{number} master switch up")
        _ip(f"-n {space} addr add {SUBNET}.{number}/24 dev net")
        _ip(f"-n {space} link set net up")
        return Machine(name, f"{SUBNET}.{number}", ("ip", "netns", "exec", space))

    def close(self) -> None:
        """Take the namespaces away; what runs in one keeps it until it ends."""
        for space in reversed(self._spaces):
            with contextlib.suppress(OSError):
                _ip(f"netns del {space}")
        self._spaces.clear()

    def _space(self, name: str) -> str:
        space = f"spoton-{os.getpid()}-{name}"
        _ip(f"netns add {space}")
        self._spaces.append(space)
        _ip(f"-n {space} link set lo up")
        return space


def _ip(arguments: str) -> None:
    done = subprocess.run([shutil.which("ip") or "ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {arguments}: {done.stderr.strip()}")

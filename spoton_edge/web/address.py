"""Where the web server listens: `--bind ADDRESS:PORT` read, bound, and written as an address for people."""

from __future__ import annotations

import errno
import getpass
import ipaddress
import os
import re
import socket
from dataclasses import dataclass

from spoton_edge.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_REMEDIES = {
    errno.EADDRINUSE: "another program listens there; stop it, or take any free port with --bind {host}:0",
    errno.EADDRNOTAVAIL: "this machine has no such address; give another --bind",
    errno.EACCES: "not permitted (ports below 1024 belong to root); give another --bind",
}


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a port; port 0: any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ADDRESS:PORT, [IPv6]:PORT, localhost:PORT or PORT.

        Raises:
            UsageError: it is none of these.
        """
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
        host = "127.0.0.1" if host == "localhost" else host
        try:
            ipaddress.ip_address(host)
            number = int(port)
            if not 0 <= number <= 65535:
                raise ValueError
        except ValueError:
            raise UsageError(f"--bind {text}: write ADDRESS:PORT, as in 127.0.0.1:8590, or [::1]:8590") from None
        return cls(host, number)

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine get there."""
        return ipaddress.ip_address(self.host).is_loopback

    def listen(self) -> socket.socket:
        """A listening socket.

        Raises:
            UsageError: the address cannot be had; says why.
        """
        listening = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        # A page that reloads within a minute of a restart finds the port again.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, self.port))
            listening.listen(128)
        except OSError as error:
            listening.close()
            host = f"[{self.host}]" if ":" in self.host else self.host
            remedy = _REMEDIES.get(error.errno or 0, (error.strerror or "").lower()).format(host=host)
            raise UsageError(f"cannot listen on {host}:{self.port}: {remedy}") from None
        return listening


def check_name(name: str) -> None:
    """Whether this is the name of a host, and nothing else.

    Raises:
        UsageError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"--host {name}: write the name alone, as in map.example.org")


def url(listening: socket.socket, token: str | None) -> str:
    """What to type into a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def tunnel(listening: socket.socket) -> str:
    """The command that makes a loopback address of a box without a screen one of the desk's."""
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"ssh -L {port}:{host}:{port} {getpass.getuser()}@{socket.gethostname()}"


def has_screen() -> bool:
    """Whether a browser can show itself here."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

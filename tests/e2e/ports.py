"""Ports of this machine for programs that are started later, or again on the same."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress


def free_port() -> int:
    """A port of loopback that nothing listens on. It is below those that the kernel lends to whoever connects: until
    the program is there, nobody gets it by chance."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port

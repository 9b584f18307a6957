"""What the daemon tells systemd: that it is ready, how it fares, that it lives. Without systemd nobody listens.

The protocol of sd_notify(3) is a datagram of `NAME=value` lines to the socket that $NOTIFY_SOCKET names. It is spoken
here and not through systemd-python, so that an environment without that package is supervised all the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)

FEEDS = 4  # of the watchdog, in the time after which it bites


class Systemd:
    """The service manager that started this process, if one did. From any thread.

    Args:
        environment: with NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID as sd_notify(3), sd_watchdog_enabled(3) say.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract name.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        meant_for_us = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
        limit = environment.get("WATCHDOG_USEC", "")
        self._feed_every_s = int(limit) / 1e6 / FEEDS if limit.isdecimal() and meant_for_us else None
        self._fed = -float("inf")
        self._status = ""

    def ready(self) -> None:
        """The start, or a reload, is complete."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._tell("STOPPING=1", "STATUS=stopping")

    def status(self, line: str) -> None:
        """One line of `systemctl status`; the same again costs nothing."""
        if line != self._status:
            self._status = line
            self._tell("STATUS=" + " ".join(line.split()))

    def extend(self, seconds: float) -> None:
        """The start takes so much longer from now on; for as long as it is not complete."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def feed(self) -> None:
        """The daemon does its work: the watchdog is put off. May be called often."""
        if self._feed_every_s is not None and time.monotonic() - self._fed >= self._feed_every_s:
            self._fed = time.monotonic()
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A manager that is away or busy is no reason to fail; SOCK_CLOEXEC is Python's default.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)
            manager.sendto("\n".join(lines).encode(), self._address)


class Request:
    """Asks for what a path unit does as soon as there is the file `name` in this unit's runtime folder.

    Attributes:
        heard: whether anybody may wait for it: this program was started by its unit.
    """

    def __init__(self, name: str, environment: Mapping[str, str] = os.environ) -> None:
        folder = environment.get("RUNTIME_DIRECTORY")
        self.path = None if folder is None else Path(folder) / name

    @property
    def heard(self) -> bool:
        return self.path is not None

    def make(self, text: str = "") -> None:
        """Ask, again if need be. text: what is asked for, for the unit to read."""
        if self.path is None:
            return
        whole = self.path.with_name(f".{self.path.name}")
        try:
            whole.write_text(text, encoding="utf-8")
            whole.replace(self.path)  # the unit may read it at once
        except OSError as error:
            log.warning("%s: %s", self.path, error.strerror)

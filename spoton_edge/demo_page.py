"""The demo's live map: `spoton-edge view` beside the demo's daemon, a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_S = 5.0


def stays_open(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody sits there to look at the map when the clip is over, and to end it: a person at a terminal."""
    machine = any(environment.get(name) for name in ("CI", "DEMO_SECONDS"))
    return sys.stdin.isatty() and sys.stdout.isatty() and not machine


class LivePage:
    """The map's server, once `start` was called. what: the arguments of `view` that say of what."""

    def __init__(self, what: Sequence[str | Path]) -> None:
        self._what = what
        self._process: subprocess.Popen[bytes] | None = None
        self.said = ""  # the address, and how it is reached where there is no screen

    @property
    def started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when the map is served; a browser opens where there is a screen. What prevents it is said on standard
        error, and the demo goes on without."""
        command = [sys.executable, "-m", "spoton_edge", "view", *map(str, self._what), "--bind", "127.0.0.1:0"]
        self._process = subprocess.Popen([*command, "--browse"], stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdout is not None
        self.said = (self._process.stdout.read(4096) or b"").decode().strip()  # written in one piece

    def wait(self) -> None:
        """Until Ctrl-C."""
        if self._process is not None:
            with contextlib.suppress(KeyboardInterrupt):
                self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()


@contextmanager
def live_page(*what: str | Path) -> Iterator[LivePage]:
    """Not started yet; stopped at the end, whatever happens."""
    page = LivePage(what)
    try:
        yield page
    finally:
        page.stop()

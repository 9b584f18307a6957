"""A machine with a real systemd for tests: boots in a second, has a loopback network only, leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import lacking

_BOOT = Path(__file__).with_name("machine.sh")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


class Machine:
    """A booted machine; `pid` is its systemd's, seen from here."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def enter(self, *namespaces: str) -> list[str]:
        """The beginning of a command line that runs the rest in some of the machine's namespaces."""
        return ["nsenter", "--target", str(self.pid), *(f"--{name}" for name in namespaces)]

    def run(
        self, *command: str, ok: bool = True, say: str | None = None, timeout_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the machine; `say` is its standard input. `ok`: it must succeed."""
        result = subprocess.run(
            [*self.enter("mount", "uts", "ipc", "net", "pid", "cgroup", "root", "wd"), *command],
            env=_ENVIRONMENT,
            input=say,
            stdin=subprocess.DEVNULL if say is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if ok and result.returncode:
            pytest.fail(f"{' '.join(command)}: {result.returncode}\n{result.stdout}{result.stderr}{self.journal(60)}")
        return result

    def path(self, inside: str) -> Path:
        """A file of the machine, to be read or written from here."""
        return Path(f"/proc/{self.pid}/root") / inside.lstrip("/")

    def changes(self) -> set[str]:
        """Every path that is new or differs from the root folder before the boot, but for logs."""
        there = ["!", "-type", "c", "-printf", "/%P\\n"]  # an overlay notes what is gone as a device
        found = self.run("find", "/run/changes", "-mindepth", "1", *there).stdout.splitlines()
        return {path for path in found if not path.startswith(("/var/log/", "/var/lib/dpkg/", "/var/cache/debconf/"))}

    def journal(self, lines: int) -> str:
        """The journal's end."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", str(lines), ok=False).stdout

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, as systemd prints it."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Wait until a condition holds, and fail with the journal's end where it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"never: {what}\n{self.journal(40)}")
            time.sleep(0.1)


@contextmanager
def booted(folder: Path, root: Path = Path("/")) -> Iterator[Machine]:
    """A machine over an overlay of `root`; skips by name where none can be booted."""
    if os.geteuid() != 0:
        lacking("a machine with systemd can be booted by root only")
    if not Path("/lib/systemd/systemd").exists() or not shutil.which("dbus-daemon"):
        lacking("no systemd to boot: install systemd and dbus")
    boot = subprocess.run([_BOOT, folder, root], capture_output=True, text=True, timeout=60, check=False)
    try:
        if boot.returncode:
            lacking(f"a machine with systemd cannot be booted here: {boot.stderr.strip()}")
        machine = Machine(int(boot.stdout))
        machine.wait(
            lambda: machine.run("systemctl", "is-system-running", ok=False).stdout.strip() in ("running", "degraded"),
            "the machine has booted",
        )
        yield machine
    finally:
        if boot.stdout.strip():
            os.kill(int(boot.stdout), signal.SIGKILL)  # the first process of the namespace: all others go with it
        _remove_cgroups((folder / "cgroups").read_text().split())


def _remove_cgroups(tops: list[str]) -> None:
    """The cgroups of a machine that is gone; the kernel takes a moment to empty them."""
    for top in map(Path, tops):
        for _ in range(100):
            try:
                for folder, _, _ in os.walk(top, topdown=False):
                    Path(folder).rmdir()
            except OSError:
                time.sleep(0.02)
            else:
                break

"""The Debian package on a booted machine: installed, its service run, its messages heard."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from spoton_edge import models
from tests.e2e.harness import lacking
from tests.e2e.machine import Machine

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SITE = "/etc/spoton-edge/site.yaml"
UNIT = "spoton-edge.service"
PYTHON = "/usr/lib/spoton-edge/bin/python3"  # the package's
SYSTEM_PYTHON = "/usr/bin/python3"  # whose version the package is for


def build_package(wheel: Path) -> Path:
    """`make deb` of a wheel, where that is for the system's Python; with the servers and programs of many boxes."""
    if not shutil.which("dpkg-deb"):
        lacking("no dpkg-deb: packages are built on Debian or Ubuntu")
    asked = [SYSTEM_PYTHON, "-c", "import sys; print('-cp%d%d-' % sys.version_info[:2])"]
    tag = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    command = ["make", "deb", "EXTRAS=cpu,systemd,view,site", *([f"WHEEL={wheel}"] if tag in wheel.name else [])]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    (package,) = (ROOT / "dist").glob("*.deb")
    return package


class Installed:
    """A machine with the package on it."""

    def __init__(self, machine: Machine, package: Path) -> None:
        """Installs the package."""
        self.machine = machine
        self.cache = machine.path("/var/cache/spoton-edge")
        self.install(package)
        self.bring_models()

    def bring_models(self) -> None:
        """Prepare models in root's name: those that this host has."""
        prepared = models.cache_dir() / "models"
        if not (prepared / "yolox-nano.onnx").is_file():
            lacking("no yolox-nano in the cache: run spoton-edge models fetch yolox-nano")
        shutil.copytree(prepared, self.cache / "models")

    def install(self, package: Path) -> str:
        """`dpkg --install`; returns what it says."""
        inside = self.machine.path("/run/package.deb")
        shutil.copyfile(package, inside)
        try:
            return self.machine.run("dpkg", "--install", "/run/package.deb").stdout
        finally:
            inside.unlink()

    def site(self, **sections: Any) -> None:
        """Write the site file, with one made-up camera unless `cameras` says otherwise."""
        site = {"cameras": [{"name": "a", "source": "test:160x120@5"}], "detector": {"input": [160, 128]}} | sections
        self.machine.path(SITE).write_text(yaml.safe_dump(site))

    def drop_in(self, *lines: str) -> None:
        """Have the unit differ, in its [Service] section; without lines as it is shipped."""
        folder = self.machine.path(f"/etc/systemd/system/{UNIT}.d")
        shutil.rmtree(folder, ignore_errors=True)
        if lines:
            folder.mkdir(parents=True)
            (folder / "test.conf").write_text("\n".join(["[Service]", *lines, ""]))
        self.machine.run("systemctl", "daemon-reload")

    def afresh(self) -> None:
        """Stop the service and forget drop-ins and failures."""
        self.machine.run("systemctl", "stop", UNIT)
        self.machine.run("systemctl", "reset-failed", ok=False)
        self.drop_in()

    def start(self) -> None:
        """Start the service and wait until it is READY."""
        self.machine.run("systemctl", "start", UNIT)
        assert self.show("ActiveState") == "active"

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.machine.show(UNIT, name)

    def said(self, *match: str) -> str:
        """The journal of this invocation, or of whatever fields match."""
        invocation = [] if match else [f"_SYSTEMD_INVOCATION_ID={self.show('InvocationID')}"]
        self.machine.run("journalctl", "--sync")  # what was said before is there then
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", *invocation, *match).stdout

    def starts(self) -> list[str]:
        """A line for each time that the service became READY."""
        return self.said("_PID=1", f"UNIT={UNIT}", f"--grep=Started {UNIT}").splitlines()

    @contextmanager
    def heard(self) -> Iterator[Hearing]:
        """What the service publishes while the block runs, over restarts too."""
        command = [*self.machine.enter("mount", "net", "root", "wd"), "spoton-edge", "watch", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            hearing = Hearing(self.machine, process)
            try:
                yield hearing
            finally:
                process.terminate()
                hearing.reader.join()


class Hearing:
    """Messages, as they come."""

    def __init__(self, machine: Machine, process: subprocess.Popen[str]) -> None:
        self.machine = machine
        self.messages: list[dict[str, Any]] = []
        self._process = process
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.messages.append(json.loads(line))

    def next(self, count: int) -> list[dict[str, Any]]:
        """The next batches in which somebody is."""
        first = len(self.messages)

        def batches() -> list[dict[str, Any]]:
            return [m for m in self.messages[first:] if m["kind"] == "tracks" and m["tracks"]]

        self.machine.wait(lambda: len(batches()) >= count, f"{count} batches with people")
        return batches()

    def reload(self, *, ok: bool = True) -> dict[str, Any]:
        """Have the service read its site again, and hear what it says of that. `ok`: it takes it."""

        def told() -> list[dict[str, Any]]:
            return [message for message in self.messages if message.get("event") == "reload"]

        before = len(told())
        done = self.machine.run("systemctl", "reload", UNIT, ok=ok)
        assert (done.returncode == 0) is ok
        self.machine.wait(lambda: len(told()) > before, "an event that tells of the reload")
        return told()[-1]

    def views(self, count: int = 1) -> dict[tuple[str, int], int]:
        """Of the next `count` batches with people: the global id of every (camera, track) that was seen."""
        return {
            (view["camera"], view["track_id"]): person["id"]
            for message in self.next(count)
            for person in message["tracks"]
            for view in person["views"]
        }

    def people(self, camera: str | None = None) -> dict[int, dict[str, Any]]:
        """Who is seen now, anywhere or by one camera, by id."""
        return {
            person["id"]: person
            for message in self.next(4)
            for person in message["tracks"]
            if any(camera in (None, view["camera"]) for view in person["views"])
        }

    def until_people(self, cameras: set[str]) -> None:
        """Wait until somebody is seen in each of some cameras."""
        self.machine.wait(
            lambda: cameras <= {camera for camera, _ in self.views(4)}, f"people in {sorted(cameras)}", 90.0
        )

"""The examination as the service would make it: by a transient unit with the properties of the service's own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from spoton_edge.doctor.findings import Finding
from spoton_edge.errors import StateError, UsageError

SITES = Path("/etc/spoton-edge")
# What says how a service runs on, not what it may do.
_LIFE = ("Exec", "Kill", "NotifyAccess", "Restart", "StartLimit", "Timeout", "Type", "WatchdogSec")


def unit_of(site: Path) -> str:
    """The unit that runs a site file.

    Raises:
        UsageError: none does: the file is not where units look.
    """
    path = site.resolve()
    if path.parent != SITES or path.suffix != ".yaml":
        raise UsageError(f"no unit runs {site}; --service is for {SITES}/site.yaml and {SITES}/NAME.yaml")
    return "spoton-edge.service" if path.stem == "site" else f"spoton-edge@{path.stem}.service"


def examine_as_service(site: Path) -> list[Finding]:
    """What `examine` finds under the user, sandbox, limits and credentials of the site's unit, drop-ins too.

    Raises:
        UsageError: this is not root, the unit is not installed, or the site is none of a unit's.
        StateError: systemd does not start it; the text says why.
    """
    unit = unit_of(site)
    if os.geteuid() != 0:
        raise UsageError("doctor --service is for root, who alone may act for the service: put sudo before it")
    text = _call("systemctl", "cat", unit, missing=f"{unit} is not installed: spoton-edge install, or the package")
    properties, program = parse(text)
    options = [part for line in properties for part in ("--property", line)]
    started = [
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        *options,
        program,
        "doctor",
        "--json",
        str(site),
    ]
    result = subprocess.run(started, capture_output=True, text=True, check=False)
    try:
        return [Finding(**found) for found in json.loads(result.stdout)]
    except (ValueError, TypeError):
        lines = (result.stderr or result.stdout).strip().splitlines() or [f"exit code {result.returncode}"]
        raise StateError(f"the service's sandbox does not start: {lines[-1]}; see journalctl -n 20") from None


def parse(text: str) -> tuple[list[str], str]:
    """Of `systemctl cat`: the lines of [Service] that say what the service may do, and the program that it starts."""
    properties: list[str] = []
    section = program = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        if section != "[Service]" or "=" not in line or line.startswith(("#", ";")):
            continue
        key, _, value = line.partition("=")
        if key == "ExecStart" and value:
            program = shlex.split(value)[0].lstrip("-+!@:")
        elif not key.startswith(_LIFE):
            properties.append(line)
    return properties, program


def _call(*command: str, missing: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise UsageError(missing) from None

"""All checks, in the order in which things depend on each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from spoton_edge import config
from spoton_edge.doctor import box
from spoton_edge.doctor.cameras import cameras
from spoton_edge.doctor.findings import Finding, good, not_checked, wrong
from spoton_edge.errors import ConfigError

LEFT_OUT = (
    "whether its own user, in its sandbox, may open GPU, devices, recordings, models and folders, reach the cameras, "
    "and has their logins"
)


def examine(path: Path, cache: Path, state: Path) -> Iterator[Finding]:
    """Look at a site's file and at the box it is for; findings as they come."""
    if problems := config.check(path):
        for problem in problems:
            yield wrong("site file", problem, "correct it; spoton-edge check says the same")
    try:
        site = config.load(path)
    except ConfigError:
        return
    if not problems:
        yield good("site file", str(path))
    yield from box.gpu(site)
    yield from box.libraries()
    yield from box.networks(site, cache)
    yield from box.folders(cache, state)
    yield from box.clock()
    yield from box.endpoints(site)
    yield from cameras(site, running=box.daemon_runs(site))
    if not in_service():
        yield not_checked("the service", LEFT_OUT, "as root: spoton-edge doctor --service")


def in_service() -> bool:
    """Whether this runs as the service does."""
    return "CREDENTIALS_DIRECTORY" in os.environ

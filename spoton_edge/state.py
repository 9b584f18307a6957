"""Where the files lie that outlive the process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from spoton_edge.errors import StateError

SERVICE_STATE = Path("/var/lib/spoton-edge")


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of what outlives the process: $STATE_DIRECTORY (systemd's), as root the service's, else the user's."""
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SERVICE_STATE
    own = environment.get("XDG_STATE_HOME", "")
    return (Path(own) if own.startswith("/") else Path.home() / ".local" / "state") / "spoton-edge"


def people_file(state: Path, site: str) -> Path:
    """Where the people in view of a site stand."""
    return state / f"{site}.people.json"


def ids_file(state: Path, site: str) -> Path:
    """Where a site's reserved ids stand; makes the folder."""
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{state}: cannot be made ({error.strerror}); give another --state DIR") from None
    return state / f"{site}.ids.json"

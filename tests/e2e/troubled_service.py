"""The daemon with a fault that strikes once, in its first run: `troubled_service.py hang|grow run SITE.yaml`.

hang: the engine never answers. grow: memory is taken and never given back. Tests have a drop-in of the unit start it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from spoton_edge.cli import main
from spoton_edge.engine.backends import Backends

SOUND_BATCHES = 10
MIB = 1 << 20
STRUCK = Path("/var/lib/spoton-edge/struck")
load = Backends.load


class Troubled:
    """An engine that works for a while."""

    def __init__(self, engine: Any, fault: str) -> None:
        self._engine = engine
        self._fault = fault
        self._batches = 0
        self._taken: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def submit(self, *arguments: Any) -> Any:
        self._batches += 1
        if self._batches == SOUND_BATCHES and not STRUCK.exists():
            STRUCK.touch()
            while True:
                time.sleep(0.01)
                if self._fault == "grow":
                    self._taken.append(b"x" * 4 * MIB)
        return self._engine.submit(*arguments)


if __name__ == "__main__":
    fault = sys.argv[1]
    Backends.load = lambda self, model, work: Troubled(load(self, model, work), fault)  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))

"""Keys that have a new name. The table is meant to shrink."""

from __future__ import annotations

import logging

from spoton_edge.config.document import Document
from spoton_edge.config.places import Loc, Problem, assign, key_path, lookup, places, printable

log = logging.getLogger(__name__)

# Old key -> new key, both whole, as in {"cameras[].rotation": "cameras[].orientation"}. The old one is taken, with a
# warning, for one minor release.
RENAMED: dict[str, str] = {}


def apply_renames(document: Document) -> list[Problem]:
    """Moves values from old keys to new ones, with a warning each; a fault where both are given."""
    problems = []
    for old, new in RENAMED.items():
        for loc, _ in places(document.data, old):
            target = _like(new, loc)
            section = lookup(document.data, target[:-1])
            if section is None and isinstance(lookup(document.data, target[:-2]), dict):
                section = {}
                assign(document.data, target[:-1], section)
            if not isinstance(section, dict):
                continue  # the new place's own fault is told by the schema
            if target[-1] in section:
                problems.append(
                    Problem(loc, f"is the old name of {key_path(target)[:-2]}, also given; remove this one")
                )
                lookup(document.data, loc[:-1]).pop(loc[-1])
            else:
                where = f"{document.path}:{document.line(loc)}: {key_path(loc)}"
                document.rename(loc, target)
                log.warning("%s", printable(f"{where}has a new name; write {key_path(target)[:-2]}"))
    return problems


def _like(pattern: str, loc: Loc) -> Loc:
    """The place that a pattern names, with the list positions of another."""
    positions = (key for key in loc if isinstance(key, int))
    return tuple(next(positions) if key == "[]" else key for key in pattern.replace("[]", ".[]").split("."))

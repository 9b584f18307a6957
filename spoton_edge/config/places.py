"""Places in plain nested data: how they are named, found, read and written, and the faults found at them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

Loc: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the key it is at, and what is wrong and how to mend it."""

    loc: Loc
    text: str
    line: int | None = None  # where it differs from the key's own: the second of two equal keys


def places(data: Any, pattern: str) -> list[tuple[Loc, Any]]:
    """Every (loc, value) in the data that a pattern such as `cameras[].ground.file` names."""
    found: list[tuple[Loc, Any]] = [((), data)]
    for part in pattern.replace("[]", ".[]").split("."):
        found = [((*loc, key), inner) for loc, value in found for key, inner in _inside(value, part)]
    return found


def _inside(value: Any, part: str) -> Iterator[tuple[str | int, Any]]:
    if part == "[]" and isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, dict) and part in value:
        yield part, value[part]


def lookup(data: Any, loc: Loc) -> Any:
    """The value at a place, None where there is none."""
    for key in loc:
        try:
            data = data[key]
        except (LookupError, TypeError):
            return None
    return data


def assign(data: Any, loc: Loc, value: Any) -> None:
    """Puts a value at a place whose container exists."""
    lookup(data, loc[:-1])[loc[-1]] = value


def key_path(loc: Loc) -> str:
    """`cameras[0].crop: `, and nothing for the top level."""
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in loc)
    return f"{path.removeprefix('.')}: " if path else ""


def printable(text: str) -> str:
    """The text on one line, control characters and broken surrogates escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

"""Changing a few keys of cameras in an operator's site file: every other byte stays, comments, order and spelling.

Only the text of a changed key is replaced. A comment inside it stays with its key, or with the point whose pixel or
place is the same; where that is gone, it moves to the section's head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spoton_edge.config.document import dump
from spoton_edge.errors import MissingExtraError, UsageError

Changes = Mapping[str, Mapping[str, Any]]  # camera -> key -> value as plain data; None: the key goes

_COMMENT = re.compile(r"(?:^|\s)(#.*)$")
_ROW = re.compile(r"^\s*-?\s*\[([^\]#]*)\]")
_KEY = re.compile(r"^\s*([A-Za-z_]+)\s*:")


def changed_text(text: str, changes: Changes) -> str:
    """The text of a site file with keys of cameras set, replaced or removed.

    Raises `UsageError` where a camera or a key is not written where it counts (YAML anchors and merges).
    """
    try:
        from ruamel.yaml import YAML
    except ImportError as error:
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[calibrate]'") from None
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    root = YAML().compose(text)
    listed: list[Any] = next((value.value for key, value in root.value if key.value == "cameras"), [])
    cameras = {}
    for node in listed:
        name = next((value.value for key, value in node.value if key.value == "name"), None)
        cameras[name] = node
    splices: list[_Splice] = []
    for name, keys in changes.items():
        if name not in cameras:
            raise UsageError(f"camera {name} is not written out in the file: its name comes from an anchor or a merge")
        camera = cameras[name]
        for key, value in keys.items():
            splices.append(_in_flow(camera, key, value) if camera.flow_style else _in_block(text, camera, key, value))
    # From the end, so that places before stay; what is added at one place, in the order that it was asked for.
    for _, splice in sorted(enumerate(splices), key=lambda each: (each[1].start, each[0]), reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text.replace("\n", newline)


@dataclass(frozen=True, slots=True)
class _Splice:
    """Characters start to end - 1 become text."""

    start: int
    end: int
    text: str


def _pair(camera: Any, wanted: str) -> tuple[Any, Any] | None:
    for key, value in camera.value:
        if key.value == wanted:
            if value.anchor is not None:  # also of what stands elsewhere, and is meant here by *name
                line = key.start_mark.line + 1
                raise UsageError(f"line {line}: {wanted} is shared by a YAML anchor; write it out, then try again")
            return key, value
    return None


def _in_block(text: str, camera: Any, key: str, value: Any) -> _Splice:
    indent = camera.start_mark.column
    found = _pair(camera, key)
    if found is None:
        at = _line_end(text, _content_end(text, camera.value[-1]))
        return _Splice(at, at, "" if value is None else "\n" + _block(key, value, indent, []))
    start = found[0].start_mark.index
    end = _line_end(text, _content_end(text, found))
    if value is not None:
        return _Splice(start, end, _block(key, value, indent, text[start:end].split("\n")).lstrip(" "))
    if key == camera.value[0][0].value:  # beside the dash
        return _Splice(start, _content_start(text, end), "")
    return _Splice(text.rindex("\n", 0, start), end, "")


def _in_flow(camera: Any, key: str, value: Any) -> _Splice:
    found = _pair(camera, key)
    written = "" if value is None else _flow(key, value)
    if found is not None and value is not None:
        return _Splice(found[0].start_mark.index, found[1].end_mark.index, written)
    keys = [name.value for name, _ in camera.value]
    before = camera.value[(keys.index(key) if found is not None else len(keys)) - 1][1].end_mark.index
    if found is None:
        return _Splice(before, before, written and f", {written}")
    if keys.index(key) == 0:
        return _Splice(found[0].start_mark.index, camera.value[1][0].start_mark.index, "")
    return _Splice(before, found[1].end_mark.index, "")


def _flow(key: str, value: Any) -> str:
    """The pair on one line, without the braces."""
    return dump({key: value}, flow=True).strip().removeprefix("{").removesuffix("}")


def _content_end(text: str, pair: tuple[Any, Any]) -> int:
    """Where a pair's text ends; that of a block reaches up to the next key, over comments that belong there."""
    lines = text[: pair[1].end_mark.index].rstrip().split("\n")
    while lines[-1].lstrip().startswith("#") or not lines[-1].strip():
        lines.pop()
    return max(len("\n".join(lines)), int(pair[0].end_mark.index))


def _content_start(text: str, at: int) -> int:
    """The next character that is no space."""
    return at + len(text[at:]) - len(text[at:].lstrip())


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _block(key: str, value: Any, indent: int, old: Sequence[str]) -> str:
    """The key's lines as a block, with the comments of its old lines."""
    if isinstance(value, Mapping):
        lines = dump({key: value}).rstrip("\n").split("\n")
    elif isinstance(value, list) and isinstance(value[0], Mapping):
        lines = [f"{key}:", *(f"- {dump(dict(entry), flow=True).strip()}" for entry in value)]
    else:
        lines = [_flow(key, value)]
    spare = [found[1] for line in old[1:] if (found := _COMMENT.search(line)) and line.lstrip().startswith("#")]
    for line in old:
        comment = _COMMENT.search(line)
        if comment is None or line.lstrip().startswith("#"):
            continue
        home = next((n for n, new in enumerate(lines) if _same(line, new)), None)
        if home is None:
            spare.append(comment[1])
        else:
            lines[home] += f"  {comment[1]}"
    lines[1:1] = [f"  {comment}" for comment in spare] if len(lines) > 1 else []
    after = [] if len(lines) > 1 or not spare else spare
    return "\n".join(" " * indent + line for line in [*after, *lines])


def _same(old: str, new: str) -> bool:
    """Whether two lines are of the same key, or of rows [u, v, x, y] with the same pixel or place."""
    rows = [_numbers(line) for line in (old, new)]
    if rows[0] and rows[1]:
        return rows[0] == rows[1] or (
            len(rows[0]) == len(rows[1]) == 4 and _halves(rows[0]) & _halves(rows[1]) != set()
        )
    keys = [_KEY.match(line) for line in (old, new)]
    return keys[0] is not None and keys[1] is not None and keys[0][1] == keys[1][1]


def _numbers(line: str) -> tuple[float, ...]:
    row = _ROW.match(line)
    try:
        return tuple(float(number) for number in row[1].split(",")) if row else ()
    except ValueError:
        return ()


def _halves(row: tuple[float, ...]) -> set[tuple[str, tuple[float, ...]]]:
    return {("pixel", row[:2]), ("place", row[2:])}

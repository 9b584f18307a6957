"""A YAML file as plain data that knows the line of every key: the one place that imports yaml.

Two things differ from `yaml.safe_load`, because operators lose days over them: equal keys are a fault instead of the
last one winning, and plain words follow YAML 1.2, so that a camera called `no` is not `False`, `1e-05` is a number
and `12:30` is not 750.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spoton_edge.config.places import Loc, Problem, assign, key_path, lookup, printable
from spoton_edge.errors import ConfigError

MAX_BYTES = 4 << 20
MAX_NODES = 100_000  # aliases of aliases grow exponentially
MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_PLAIN_WORDS = [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own hook


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML would take for something other than text."""


for _name, _pattern, _first in _PLAIN_WORDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(slots=True)
class Document:
    """The data of a file, the line (from 1) of each key and list entry, and the faults found while reading."""

    path: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    included: dict[Loc, Document] = field(default_factory=dict)  # sections that stand in files of their own

    def line(self, loc: Loc) -> int:
        """The line of a key, or of the nearest one around it that is in the file."""
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def rename(self, old: Loc, new: Loc) -> None:
        """Moves a value, and the lines of all that is in it, to another key."""
        assign(self.data, new, lookup(self.data, old[:-1]).pop(old[-1]))
        moved = {loc: line for loc, line in self.lines.items() if loc[: len(old)] == old}
        self.lines.update({(*new, *loc[len(old) :]): line for loc, line in moved.items()})

    def include(self, loc: Loc, other: Document) -> None:
        """Takes another file's data as the section at `loc`; faults in it are told with that file's name and line."""
        assign(self.data, loc, other.data)
        self.included[loc] = other
        self.problems += [Problem((*loc, *p.loc), p.text, p.line) for p in other.problems]

    def describe(self, problems: list[Problem]) -> list[str]:
        """One line for each key with a fault, in the order of the file: `FILE:LINE: key.path: what; remedy`."""
        first: dict[tuple[Loc, int | None], Problem] = {}
        for problem in problems:
            first.setdefault((problem.loc, problem.line), problem)
        placed = sorted((*self._position(p), n, p) for n, p in enumerate(first.values()))
        return [printable(f"{path}:{line}: {key_path(p.loc)}{p.text}") for _, path, line, _, p in placed]

    def _position(self, problem: Problem) -> tuple[int, str, int]:
        """Where a fault stands: the line of this file that leads there, the file, the line in that file."""
        for loc, other in self.included.items():
            inside = problem.loc[len(loc) :]
            if problem.loc[: len(loc)] == loc and inside:
                return self.line(loc), other.path, problem.line or other.line(inside)
        line = problem.line or self.line(problem.loc)
        return line, self.path, line


def read(path: Path, begins: str = "'cameras:', see calibration/example-site.yaml") -> Document:
    """Reads a file whose top level is a mapping.

    Raises `ConfigError` with one line if it cannot be read, is no text, breaks YAML's rules, or is no mapping.
    Lesser faults (equal keys, unknown tags) are in the document's `problems`, so that they are reported with the rest.
    """
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refusal(f"{path}:{line}", f"an unprintable character ({error.character!r}); remove it") from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(path, error) from None
    except RecursionError:
        raise _refusal(path, f"nested deeper than {MAX_DEPTH} levels; no site needs that") from None
    if root is None:
        raise _refusal(path, f"is empty; start with {begins}")
    if not isinstance(root, yaml.MappingNode):
        line = root.start_mark.line + 1
        raise _refusal(f"{path}:{line}", f"the file must be 'key: value' lines at the top; start with {begins}")
    document = Document(str(path))
    document.data = _Builder(document).build(root, ())
    return document


def dump(data: dict[str, Any], *, flow: bool = False) -> str:
    """YAML text in the order of the data, lists of plain values on one line; flow: all on one line, in braces."""
    style, width = (True, 10**6) if flow else (None, 120)
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, default_flow_style=style, width=width, allow_unicode=True
    )
    return text


class _Builder:
    """Nodes to plain data, noting lines and faults."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes_left = MAX_NODES
        self._open: set[yaml.Node] = set()  # a node inside itself never ends

    def build(self, node: yaml.Node, loc: Loc) -> Any:
        self._document.lines.setdefault(loc, node.start_mark.line + 1)
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise _refusal(self._document.path, f"has more than {MAX_NODES} entries (do aliases repeat each other?)")
        if node in self._open or len(loc) > MAX_DEPTH:
            return self._fault(loc, f"is nested deeper than {MAX_DEPTH} levels or contains itself; write it out")
        self._open.add(node)
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
                return self._mapping(node, loc)
            if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
                return [self.build(child, (*loc, n)) for n, child in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, loc)
            return self._fault(loc, f"the tag {node.tag!r} is not used in site files; remove it")
        finally:
            self._open.discard(node)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or _has_control_characters(key_node.value):
                self._fault(loc, "a key must be a plain word followed by ': '", line)
            elif key_node.tag == _TAG + "merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            elif key_node.value in built:
                first = self._document.line((*loc, key_node.value))
                self._fault((*loc, key_node.value), f"is given twice, first on line {first}; remove one", line)
            else:
                self._document.lines[(*loc, key_node.value)] = line
                built[key_node.value] = self.build(value_node, (*loc, key_node.value))
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                self._fault(loc, "'<<' merges a mapping: give it an alias like *name", source.start_mark.line + 1)
                continue
            if source in self._open:
                self._fault(loc, "merges itself; write it out", source.start_mark.line + 1)
                continue
            for key, value in self.build(source, (*loc, "<<")).items():
                if key not in built:
                    built[key] = value
                    self._take_lines((*loc, "<<", key), (*loc, key))
        return built

    def _take_lines(self, old: Loc, new: Loc) -> None:
        lines = self._document.lines
        for loc in [loc for loc in lines if loc[: len(old)] == old]:
            lines.setdefault((*new, *loc[len(old) :]), lines[loc])

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> Any:
        text: str = node.value
        if _has_control_characters(text):
            return self._fault(loc, "has a line break or an unprintable character; keep it on one line")
        try:
            match node.tag.removeprefix(_TAG):
                case "str" | "merge":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float":
                    return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower()))
        except (ValueError, KeyError):
            return self._fault(loc, f"{text[:40]!r} cannot be read as the tag {node.tag!r} says; remove the tag")
        return self._fault(loc, f"the tag {node.tag!r} is not used in site files; remove it")

    def _fault(self, loc: Loc, text: str, line: int | None = None) -> None:
        self._document.problems.append(Problem(loc, text, line))


def _has_control_characters(text: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refusal(path, "no such file; name the site's YAML file") from None
    except IsADirectoryError:
        raise _refusal(path, "is a directory; name the site's YAML file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _refusal(path, f"cannot be read ({reason}); check the path and its permissions") from None
    if b"\0" in content:
        raise _refusal(path, "is a binary file; a site file is YAML text in UTF-8")
    if len(content) > MAX_BYTES:
        raise _refusal(path, f"is larger than {MAX_BYTES >> 20} MiB; a site file is a few KiB of YAML")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refusal(f"{path}:{line}", "is not UTF-8 text; save it as UTF-8") from None


def _syntax(path: Path, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    what = ", ".join(part for part in (error.problem, error.context) if part)
    remedy = "look here and on the line above for a missing quote, bracket or indent"
    if "\\t" in what:
        remedy = "indent with spaces"
    elif "mapping values are not allowed" in what:
        remedy = "put text that has a ':' at its end, or before a space, in quotes, as in 'test:'; or check the indent"
    return _refusal(where, f"not valid YAML: {what}; {remedy}")


def _refusal(where: Path | str, text: str) -> ConfigError:
    return ConfigError([printable(f"{where}: {text}")])

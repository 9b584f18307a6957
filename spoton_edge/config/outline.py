"""The shape of the site file, read off its sections: which key holds what, and the documentation made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from spoton_edge.config.places import Loc
from spoton_edge.config.sections import Section, Site


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a site file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Site.model_json_schema()}


def reference(root: type[Section] = Site) -> str:
    """Every key with its default and meaning, as Markdown tables."""
    parts = []
    for path, section in _sections(root, ""):
        heading = f"**`{path}`** " if path else ""
        fields = [(name, info) for name, info in section.model_fields.items() if not _section_in(info.annotation)]
        rows = [_row(name, info) for name, info in fields]
        table = ["| key | default | meaning |", "|---|---|---|", *rows] if rows else []
        parts.append("\n".join([f"{heading}{(section.__doc__ or '').strip()}", "", *table]))
    return "\n\n".join(parts) + "\n"


def fields_at(loc: Loc, root: type[Section] = Site) -> list[str]:
    """The keys that may stand at a place of the file."""
    section = root
    for key in loc:
        if isinstance(key, str):
            info = section.model_fields.get(key)
            inner = _section_in(info.annotation) if info else None
            if inner is None:
                return []
            section = inner
    return list(section.model_fields)


def sections_with(key: str, root: type[Section] = Site) -> list[str]:
    """The sections that know a key, by path."""
    return [path or "the top level" for path, section in _sections(root, "") if key in section.model_fields]


def _sections(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    yield path, section
    for name, info in section.model_fields.items():
        inner = _section_in(info.annotation)
        if inner:
            many = "[]" if get_origin(info.annotation) is tuple else ""
            yield from _sections(inner, f"{path}.{name}{many}".removeprefix("."))


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that a field holds: one, an optional one, or a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)


def _row(name: str, info: FieldInfo) -> str:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    meaning = f"{', '.join(f'`{choice}`' for choice in choices)}: {info.description}" if choices else info.description
    return f"| `{name}` | {_default(info)} | {meaning} |"


def _default(info: FieldInfo) -> str:
    if isinstance(info.json_schema_extra, dict) and "x-default" in info.json_schema_extra:
        return str(info.json_schema_extra["x-default"])
    if info.default is PydanticUndefined:
        return "required"
    match info.default:
        case None:
            return "`null`"
        case bool():
            return f"`{str(info.default).lower()}`"
        case tuple():
            return f"`[{', '.join(f'{x:g}' if isinstance(x, float) else str(x) for x in info.default)}]`"
        case float():
            return f"`{info.default:g}`"
    return f"`{info.default}`"

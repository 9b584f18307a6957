"""The schema's verdicts in an operator's words: what is wrong with the value, and what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from spoton_edge.config.outline import fields_at, sections_with
from spoton_edge.config.places import Loc, Problem
from spoton_edge.config.sections import Section, Site

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_BOUND_WORDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def problems_of(error: ValidationError, data: dict[str, Any], root: type[Section] = Site) -> list[Problem]:
    """One problem for each fault that the schema `root` found in the data."""
    return [_problem(details, data, root) for details in error.errors(include_url=False)]


def closest(word: object, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def _problem(details: ErrorDetails, data: dict[str, Any], root: type[Section]) -> Problem:
    loc = _place(details["loc"], data)
    return Problem(loc, _text(details["type"], loc, details, root))


def _text(kind: str, loc: Loc, details: ErrorDetails, root: type[Section]) -> str:
    value, context = details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(loc, root)
    if kind == "missing":
        return _missing(loc)
    if kind == "literal_error":
        return _not_one_of(value, re.findall(r"'([^']*)'", context["expected"]))
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} is no name; use 1 to 64 letters, digits, '_' and '-', the first a letter or digit"
    if kind == "string_too_short":
        return "is empty; write a value or remove the line"
    if kind in _BOUNDS:
        bound = _BOUNDS[kind]
        return f"must be {_BOUND_WORDS[bound]} {context[bound]:g}, not {_shown(value)}; correct the value"
    if kind == "finite_number":
        return f"must be a finite number, not {_shown(value)}; correct the value"
    if kind == "value_error":
        return str(context["error"])
    if kind in _EXPECTED:
        return _wrong_type(_EXPECTED[kind], value)
    return f"{details['msg'][0].lower()}{details['msg'][1:]}; correct the value"


def _unknown_key(loc: Loc, root: type[Section]) -> str:
    known = fields_at(loc[:-1], root)
    meant = closest(loc[-1], known)
    if meant:
        return f"unknown key; did you mean '{meant}'?"
    homes = sections_with(str(loc[-1]), root)
    if homes:
        return f"unknown key here; it belongs in {' or '.join(homes)}"
    return f"unknown key; known here: {', '.join(known)}"


def _missing(loc: Loc) -> str:
    examples = {
        "cameras": "add 'cameras:' with a list of cameras",
        "name": "add a line 'name: c1'",
        "source": "add a line 'source: PATH-OR-ADDRESS'",
    }
    return f"is missing; {examples.get(str(loc[-1]), f'add a line with {loc[-1]!r}')}"


def _not_one_of(value: object, choices: list[str]) -> str:
    meant = closest(value, choices) if isinstance(value, str) else None
    hint = f"did you mean '{meant}'?" if meant else "choose one"
    return f"{_shown(value)} is not one of {', '.join(choices)}; {hint}"


def _wrong_type(expected: str, value: object) -> str:
    remedy = "put it in quotes" if expected == "text" and isinstance(value, bool | int | float) else "correct the value"
    if expected in ("a number", "a whole number") and isinstance(value, str):
        remedy = "write it without quotes or units"
    if expected == "a list" and isinstance(value, str | int | float):
        remedy = "write [first, second, ...]"
    return f"must be {expected}, not {_shown(value)}; {remedy}"


def _shown(value: object) -> str:
    """A value as the operator wrote it, shortened; what is nested only by its kind."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 40 else value[:37] + "...")
        case int() if abs(value) >= 10**20:
            return "a number of more than 20 digits"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return "a mapping"
    return type(value).__name__


def _place(loc: Loc, data: Any) -> Loc:
    """A loc of pydantic as a path in the file: without the tags it puts in where there are several forms."""
    place: list[str | int] = []
    for n, key in enumerate(loc):
        if isinstance(data, dict):
            place.append(key)
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int):
            place.append(key)
            data = data[key] if key < len(data) else None
        elif n == len(loc) - 1 and data is None:
            place.append(key)  # a key missing from an empty section
    return tuple(place)

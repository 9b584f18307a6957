"""From a site file to a `Site`, or to all that is wrong with it at once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spoton_edge.config.changes import apply_renames
from spoton_edge.config.document import Document, dump, read
from spoton_edge.config.faults import problems_of
from spoton_edge.config.kinds import is_path, source_kind
from spoton_edge.config.places import Loc, Problem, assign, lookup, places
from spoton_edge.config.rules import broken_rules
from spoton_edge.config.sections import Site
from spoton_edge.errors import ConfigError


def load(path: str | Path, *, with_files: bool = False) -> Site:
    """The site that a YAML file describes: paths absolute, `${NAME}` in sources replaced, defaults filled in.

    with_files: the files that it names must be there, too. Raises `ConfigError` with every fault, one line each:
    `FILE:LINE: key.path: what is wrong; remedy`. Old names of keys are taken and warned of in the log.
    """
    site, document, problems = _examine(Path(path))
    if with_files:
        problems = _with_missing_files(document, problems)
    if site is None or problems:
        raise ConfigError(document.describe(problems))
    return site


def files(path: str | Path) -> list[Path]:
    """The files that a site is read from: itself, and the calibrations and the picture that it names."""
    path = Path(path)
    try:
        document = read(path)
    except ConfigError:
        return [path]
    _resolve_paths(document.data, (Path.cwd() / path).parent)
    named = [value for key in ("ground.map", "cameras[].ground.file") for _, value in places(document.data, key)]
    return [path, *(Path(value) for value in named if isinstance(value, str))]


def check(path: str | Path, unfit: Callable[[Site], Mapping[str, str]] | None = None) -> list[str]:
    """Every fault of a site file, also files that it names and that are not there; empty: nothing is wrong.

    unfit: says of which cameras the calibration cannot be used, and why; asked where the file is otherwise readable.
    """
    try:
        site, document, problems = _examine(Path(path))
    except ConfigError as error:
        return error.problems
    why = unfit(site) if unfit is not None and site is not None else {}
    refused = [
        Problem(("cameras", index, "ground"), why[camera.name])
        for index, camera in enumerate(site.cameras if site is not None else ())
        if camera.name in why
    ]
    return document.describe([*_with_missing_files(document, problems), *refused])


def effective(site: Site) -> str:
    """The site with every default filled in, as YAML; passwords in sources are hidden."""
    data = site.model_dump(mode="json")
    for loc, source in places(data, "cameras[].source"):
        assign(data, loc, without_password(source))
    return dump(data)


def without_password(source: str) -> str:
    """A source with its login and query hidden; a mere reference to a credential stays."""
    match = re.match(r"([a-z][a-z0-9+.-]*://)(?:(.*)@)?([^?]*)(\?)?", source, re.IGNORECASE)
    if match is None:  # a file, or what was meant to be a URL
        return re.sub(r"[^/]*:.*@", "***@", source)
    scheme, login, place, query = match.groups()
    if login is not None and not re.fullmatch(r"\{cred:[^{}]*\}", login):
        login = "***"
    return scheme + (f"{login}@" if login is not None else "") + place + ("?***" if query else "")


def _examine(path: Path) -> tuple[Site | None, Document, list[Problem]]:
    document = read(path)
    problems = [*apply_renames(document), *_expand_sources(document.data)]
    _resolve_paths(document.data, (Path.cwd() / path).parent)
    problems += _include_calibrations(document)
    problems += [*document.problems, *broken_rules(document)]
    try:
        return Site.model_validate(document.data), document, problems
    except ValidationError as error:
        return None, document, problems + problems_of(error, document.data)


def _expand_sources(data: dict[str, Any]) -> list[Problem]:
    """Replaces `${NAME}` in sources by the environment's value."""
    problems = []
    for loc, source in places(data, "cameras[].source"):
        if not isinstance(source, str):
            continue
        for name in re.findall(r"\$\{([^}]*)\}", source):
            if os.environ.get(name):
                source = source.replace(f"${{{name}}}", os.environ[name])
            else:
                problems.append(Problem(loc, f"the environment variable {name} is not set; export {name}=VALUE"))
                break
        assign(data, loc, source)
    return problems


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Makes the paths of a file relative to its folder, not to wherever the command was given."""
    for loc, value in _paths(data):
        if "${" not in value:  # a variable that is not set: a fault of its own
            assign(data, loc, str(folder / value))


def _include_calibrations(document: Document) -> list[Problem]:
    """Puts each camera's `ground.file` in its place; an `image_size` beside `file` comes before the file's own."""
    problems = []
    for loc, path in places(document.data, "cameras[].ground.file"):
        section = lookup(document.data, loc[:-1])
        if not isinstance(path, str) or set(section) - {"file", "image_size"}:
            continue  # refused with the rest
        try:
            other = read(Path(path))
        except ConfigError as error:
            hint = "other formats: spoton-edge calibrate import"
            problems.append(Problem(loc, f"{error.problems[0]} ({hint})"))
            continue
        if "file" in other.data:
            problems.append(Problem(loc, f"{path} names a file again; name that file here"))
            continue
        if "image_size" in section:
            other.data["image_size"] = section["image_size"]
        document.include(loc[:-1], other)
    return problems


def _with_missing_files(document: Document, problems: list[Problem]) -> list[Problem]:
    faulty = {problem.loc for problem in problems}
    return problems + [problem for problem in _missing_files(document.data) if problem.loc not in faulty]


def _missing_files(data: dict[str, Any]) -> Iterator[Problem]:
    for loc, value in _paths(data):
        images = loc[-1] == "source" and source_kind(value) == "images"
        wanted = Path(value).parent if images else Path(value)
        shown = without_password(str(wanted)) if loc[-1] == "source" else wanted
        kind, mode = ("folder", stat.S_ISDIR) if images or loc[-1] == "keys" else ("file", stat.S_ISREG)
        try:
            if not mode(wanted.stat().st_mode):
                yield Problem(loc, f"is not a {kind}: {shown}; correct the path")
            elif not os.access(wanted, os.R_OK):
                yield Problem(loc, f"may not be read: {shown}; give the service's user permission")
        except FileNotFoundError:
            yield Problem(
                loc, f"no such {kind}: {shown}; correct the path (a relative one starts at the site file's folder)"
            )
        except OSError as error:
            yield Problem(loc, f"cannot be read ({error.strerror}): {shown}; correct the path or its permissions")


def _paths(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for loc, source in places(data, "cameras[].source"):
        if isinstance(source, str) and source and source_kind(source) in ("file", "images"):
            yield loc, source
    for key in ("detector.model", "reid.model"):
        yield from ((loc, model) for loc, model in places(data, key) if isinstance(model, str) and is_path(model))
    for key in ("ground.map", "cameras[].ground.file", "publish.keys", "uplink.nkey", "uplink.ca"):
        yield from ((loc, value) for loc, value in places(data, key) if isinstance(value, str) and value)

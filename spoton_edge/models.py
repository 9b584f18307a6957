"""The models that the program knows, and the cache that holds them.

The service calls `resolve`, which never downloads; only `spoton-edge models fetch` and the demo call `fetch`. Beside
each cached file lies a record of what it was made from, so that a damaged or outdated one is noticed.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from spoton_edge.errors import MissingExtraError, ModelError
from spoton_edge.file_sources import GithubHosts
from spoton_edge.manifests import NAME, Manifest, Pinned, manifest, manifests, parse_manifest
from spoton_edge.pinned_files import GITHUB, WrongContent, check_sha256, fetch_file, sha256, write_whole
from spoton_edge.transfers import Log

SERVICE_CACHE = Path("/var/cache/spoton-edge")


def cache_dir(explicit: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that models and engines share.

    `--cache`, else $CACHE_DIRECTORY (systemd's CacheDirectory=), else as root the service's cache, so that what root
    fetches the service finds, else the user's own.
    """
    if explicit is not None:
        return Path(explicit).expanduser().absolute()
    if given := environment.get("CACHE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SERVICE_CACHE
    own = environment.get("XDG_CACHE_HOME", "")
    return (Path(own) if own.startswith("/") else Path.home() / ".cache") / "spoton-edge"


@dataclass(frozen=True, slots=True)
class Record:
    """What a cached file is: its own hash, and the recipe it was made by."""

    sha256: str
    source: str
    source_digest: str
    surgery: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `spoton-edge models list`."""

    name: str
    kind: str
    state: str  # see `state_of`
    size_bytes: int  # 0 where there is none to be seen
    licence: str
    about: str
    path: Path


def cached_path(name: str, cache: Path) -> Path:
    """Where the cache holds (or would hold) the file of a manifest."""
    known = manifest(name)
    return cache / ("clips" if known.kind == "clip" else "models") / known.file_name


def is_name(name_or_path: str) -> bool:
    """Whether a config's `model` is a manifest's name; what has a slash or ends in .onnx is a path."""
    return NAME.fullmatch(name_or_path) is not None and not name_or_path.endswith(".onnx")


def resolve(name_or_path: str | Path, cache: Path) -> Path:
    """The file of a model, named or given by path. Reads only, downloads nothing.

    Raises ModelError with the command to run where the cache lacks it or holds a damaged or outdated one, and where a
    path leads to no whole ONNX model.
    """
    if not is_name(str(name_or_path)):
        path = Path(name_or_path).expanduser()
        graph_surgery().load_graph(path)
        return path
    name = str(name_or_path)
    path = cached_path(name, cache)
    match state_of(manifest(name), path):
        case "cached":
            return path
        case "absent":
            raise ModelError(f"{name} is not in the cache {cache}: run {fetch_command(name, cache)}")
        case "outdated":
            raise ModelError(f"{path} was made for another version of this program: run {fetch_command(name, cache)}")
        case "unreadable":
            raise ModelError(f"{path} may not be read by this user: chmod -R a+rX {shlex.quote(str(cache))}")
        case _:
            raise ModelError(f"{path} is damaged, its sha256 is not the recorded one: run {fetch_command(name, cache)}")


def manifest_for(name_or_path: str | Path, kind: str) -> Manifest:
    """The contract of a model that a config names or gives by path; `kind` is "detector" or "reid".

    A file's contract stands in a manifest of its own beside it (`person.onnx`, `person.toml`; see engines/README.md);
    without one it is that of the known model whose input and output it has. Raises ModelError where there is none.
    """
    if is_name(str(name_or_path)):
        found = manifest(str(name_or_path))
    else:
        found = manifest_of_file(Path(name_or_path).expanduser(), kind)
    if found.kind != kind:
        raise ModelError(f"{name_or_path} is a {found.kind} model, where a {kind} model is wanted")
    return found


def manifest_of_file(path: Path, kind: str) -> Manifest:
    """The contract of a file: what is written beside it, else that of the first known model that it fits."""
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return parse_manifest(beside.read_text(encoding="utf-8"), str(beside))
    surgery = graph_surgery()
    graph = surgery.load_graph(path)
    complaints = []
    for known in manifests().values():
        if known.kind == kind and known.input is not None and known.output is not None:
            try:
                surgery.check_contract(graph, known.input, *known.outputs, fixed_size=True)
            except ModelError as complaint:
                complaints.append(f"{known.name}: {complaint}")
            else:
                return known
    raise ModelError(f"{path} is no {kind} known here ({'; '.join(complaints)}): describe it in {beside}")


def fetch(name: str, cache: Path, log: Log, *, hosts: GithubHosts = GITHUB) -> Path:
    """Bring a model or clip into the cache, unless it is there, and return its path.

    `log` gets a line for each source and every two seconds of a download. Raises ModelError that lists what was tried
    and says where to put the file by hand; what is in the cache then stays as it was.
    """
    known = manifest(name)
    path = cached_path(name, cache)
    if state_of(known, path) == "cached":
        log(f"{name}: already in {path}")
        return path
    if known.suffix == ".onnx":
        graph_surgery()  # a missing extra is better known before the download
    source = fetch_file(
        known.sources,
        path,
        log,
        again=fetch_command(name, cache),
        check=check_content,
        finish=lambda arrival: operate_on(known, arrival),
        hosts=hosts,
    )
    record = Record(sha256(path), str(source), source.digest, list(known.surgery))
    write_whole(record_path(path), json.dumps(asdict(record), indent=1).encode())
    log(f"{name}: {path.stat().st_size / 1e6:.1f} MB in {path}")
    return path


def listing(cache: Path) -> list[Row]:
    """What `spoton-edge models list` shows: every manifest, and whether the cache holds its file."""
    rows = []
    for known in manifests().values():
        path = cached_path(known.name, cache)
        state = state_of(known, path)
        size = 0 if state in ("absent", "unreadable") else path.stat().st_size
        rows.append(Row(known.name, known.kind, state, size, known.licence, known.about, path))
    return rows


def fetch_command(name: str, cache: Path) -> str:
    """The command that brings a model to where it is missed, as a person types it in a shell."""
    shell = {key: value for key, value in os.environ.items() if key != "CACHE_DIRECTORY"}
    where = "" if cache in (SERVICE_CACHE, cache_dir(None, shell)) else f" --cache {shlex.quote(str(cache))}"
    return f"spoton-edge models fetch {name}{where}"


def state_of(known: Manifest, path: Path) -> str:
    """How the cache stands to a manifest.

    "absent", "unreadable" (to this user), "damaged" (not what was recorded), "outdated" (made by another recipe than
    today's) or "cached".
    """
    try:
        if not path.is_file():
            return "absent"
        record = Record(**json.loads(record_path(path).read_bytes()))
        intact = sha256(path) == record.sha256
    except PermissionError:
        return "unreadable"
    except (OSError, ValueError, TypeError):
        return "damaged"
    if not intact:
        return "damaged"
    current = record.surgery == list(known.surgery) and record.source_digest in {s.digest for s in known.sources}
    return "cached" if current else "outdated"


def record_path(path: Path) -> Path:
    """Where the record of a cached file lies."""
    return path.with_name(path.name + ".json")


def check_content(path: Path, source: Pinned) -> None:
    """Raise WrongContent unless the file is the pinned one, by its bytes or, where only they are known, its weights."""
    if source.tensors_sha256 is None:
        check_sha256(path, source)
        return
    surgery = graph_surgery()
    try:
        found = surgery.tensors_sha256(surgery.load_graph(path))
    except ModelError:
        raise WrongContent(f"wrong content: {path.stat().st_size} bytes that are no ONNX model") from None
    if found != source.tensors_sha256:
        raise WrongContent(f"wrong content: weights' sha256 {found} instead of {source.tensors_sha256}")


def operate_on(known: Manifest, path: Path) -> None:
    """Carry out the manifest's surgery on a verified file."""
    if known.input is not None and known.output is not None:
        surgery = graph_surgery()
        graph = surgery.load_graph(path)
        surgery.operate(graph, known.surgery, known.input, *known.outputs)
        path.write_bytes(graph.SerializeToString(deterministic=True))


def graph_surgery() -> ModuleType:
    """The module that needs `onnx`; raises MissingExtraError where that is not installed."""
    try:
        return importlib.import_module("spoton_edge.graph_surgery")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("onnx", "google"):
            raise
        raise MissingExtraError("models need the package onnx: pip install 'spoton-edge[cpu]' (or [gpu])") from error

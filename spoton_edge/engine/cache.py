"""Built engines on disk, each under a key of everything that decides it, with a manifest beside it that says so.

An engine is whole once its manifest is there and names its hash: the engine is written first, the manifest last, each
to a temporary file that is synced and renamed. What a killed build leaves is found by its missing manifest or its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spoton_edge.engine import Workload
from spoton_edge.errors import EngineError
from spoton_edge.ownership import give_to_owner
from spoton_edge.pinned_files import disk_trouble, move_in, scratch_folder, sha256, sweep, write_whole

RECIPE = 1  # of the builder; another number makes every engine stale
ENGINE, MANIFEST, JIT = ".engine", ".json", ".jit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Everything that decides what an engine is. Two equal keys may share an engine, others may not."""

    model: str  # the file's name, for people
    model_sha256: str
    precision: str  # "fp16", "fp32"
    size: tuple[int, int]  # width, height
    typical: int  # batch sizes that it is optimised for and allows
    largest: int
    library: str  # "tensorrt", "tensorrt_rtx"
    library_version: str
    gpu: str
    compute_capability: tuple[int, int]
    driver: str
    recipe: int = RECIPE

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """What the engine's files are called."""
        return f"{Path(self.model).stem}-{self.precision}-{self.digest}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `spoton-edge engines list`."""

    path: Path
    state: str  # "good", "damaged", "unfinished"
    size_bytes: int
    key: dict[str, Any]  # as in Key; empty where the manifest cannot be read
    build_s: float
    input_dtype: str
    used_s: float  # Unix time

    def serves(self, model_sha256: str, work: Workload) -> bool:
        """Whether the engine is one of this network for this work, for whatever GPU and library."""
        named = ("model_sha256", "size", "typical", "largest")
        return [self.key.get(name) for name in named] == [model_sha256, list(work.size), work.typical, work.largest]


class EngineCache:
    """The folder of engines, mode 0700."""

    def __init__(self, cache: Path) -> None:
        """cache: the folder that models and engines share. Raises EngineError where it cannot be written."""
        self.folder = cache / "engines"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            give_to_owner(self.folder)
        except OSError as error:
            raise EngineError(f"engines cannot be kept: {disk_trouble(error, self.folder)}") from error

    def path(self, key: Key) -> Path:
        """Where the engine of a key lies, or would lie."""
        return self.folder / (key.stem + ENGINE)

    def jit_path(self, key: Key) -> Path:
        """Where what TensorRT-RTX compiled for the GPU itself is kept, beside the engine."""
        return self.folder / (key.stem + JIT)

    def find(self, key: Key) -> Path | None:
        """The engine of a key; None where there is none, or what is there is not whole."""
        path = self.path(key)
        if state_of(path) != "good":
            return None
        with contextlib.suppress(OSError):
            os.utime(beside(path, MANIFEST))
        return path

    @contextlib.contextmanager
    def building(self, key: Key) -> Iterator[Path]:
        """A path to build an engine at, while no other process builds one; `keep` it before the block ends.

        Sweeps what killed builds left. Raises EngineError where the disk refuses.
        """
        try:
            lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                give_to_owner(self.folder / ".lock")
                fcntl.flock(lock, fcntl.LOCK_EX)
                sweep(self.folder)
                with scratch_folder(self.folder) as scratch:
                    yield scratch / (key.stem + ENGINE)
            finally:
                os.close(lock)
        except OSError as error:
            raise EngineError(f"{key.model}: no engine was built: {disk_trouble(error, self.folder)}") from error

    def keep(self, key: Key, built: Path, *, build_s: float, input_dtype: str) -> Path:
        """Swap a finished engine in, and then its manifest."""
        path = self.path(key)
        record = {
            "key": asdict(key),
            "sha256": sha256(built),
            "build_s": round(build_s, 2),
            "input_dtype": input_dtype,
            "built": int(time.time()),
        }
        beside(path, MANIFEST).unlink(missing_ok=True)  # the old one does not vouch for the new engine
        self.jit_path(key).unlink(missing_ok=True)
        move_in(built, path)
        write_whole(beside(path, MANIFEST), json.dumps(record, indent=1).encode())
        return path

    def drop(self, key: Key) -> None:
        """Forget an engine that its library refuses."""
        for suffix in (MANIFEST, ENGINE, JIT):
            beside(self.path(key), suffix).unlink(missing_ok=True)

    def rows(self) -> list[Row]:
        """Every engine, whatever its state, most recently used first."""
        rows = []
        for path in self.folder.glob(f"*{ENGINE}"):
            manifest, state = beside(path, MANIFEST), state_of(path)
            record: dict[str, Any] = (
                json.loads(manifest.read_bytes()) if state == "good" else {"key": {}, "build_s": 0.0}
            )
            used = (manifest if state == "good" else path).stat().st_mtime
            dtype = record.get("input_dtype", "?")
            rows.append(Row(path, state, path.stat().st_size, record["key"], record["build_s"], dtype, used))
        return sorted(rows, key=lambda row: -row.used_s)

    def last_build_s(self, model: str, library: str) -> float | None:
        """How long an engine of this model took to build last time; None where that is not known."""
        times = [
            row.build_s for row in self.rows() if row.key.get("model") == model and row.key.get("library") == library
        ]
        return times[0] if times and times[0] > 0 else None

    def prune(self, keep: set[Path]) -> list[Path]:
        """Remove every engine but these, and what killed builds left; the paths removed."""
        sweep(self.folder)
        removed = []
        for row in self.rows():
            if row.path not in keep:
                for suffix in (MANIFEST, ENGINE, JIT):
                    beside(row.path, suffix).unlink(missing_ok=True)
                removed.append(row.path)
        return removed


def beside(engine: Path, suffix: str) -> Path:
    """The file of another kind that belongs to an engine."""
    return engine.with_name(engine.name.removesuffix(ENGINE) + suffix)


def state_of(path: Path) -> str:
    """How an engine stands to its manifest: "absent", "unfinished" (has none), "damaged", "good"."""
    try:
        if not path.is_file():
            return "absent"
        manifest = beside(path, MANIFEST)
        if not manifest.is_file():
            return "unfinished"
        return "good" if json.loads(manifest.read_bytes())["sha256"] == sha256(path) else "damaged"
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged"

"""Brings one pinned file from the first source that has it, whole and verified or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spoton_edge.errors import ModelError
from spoton_edge.file_sources import GithubHosts, take
from spoton_edge.manifests import LocalFile, Pinned
from spoton_edge.ownership import give_to_owner
from spoton_edge.transfers import Log, SourceUnavailable

SCRATCH = ".partial-"
YOUNG_S = 10.0
GITHUB = GithubHosts()


class WrongContent(Exception):  # noqa: N818 - caught here, never shown as such
    """The file arrived, but is not the pinned one."""


def check_sha256(path: Path, source: Pinned) -> None:
    """Raise WrongContent unless the file at `path` has the source's sha256."""
    found = sha256(path)
    if found != source.sha256:
        raise WrongContent(f"wrong content: sha256 {found} instead of {source.sha256}")


def fetch_file(
    sources: Sequence[Pinned],
    target: Path,
    log: Log,
    *,
    again: str,
    check: Callable[[Path, Pinned], None] = check_sha256,
    finish: Callable[[Path], None] | None = None,
    hosts: GithubHosts = GITHUB,
) -> Pinned:
    """Put the file at `target` from the first of `sources` that has it, and say which one that was.

    Each file is checked with its own source's hash; `finish` then may rewrite it. `target` appears whole, synced to
    disk, or stays as it was. A file that somebody has laid at `by_hand_path(target)` is tried before all sources.
    `again` is the command that the user repeats. Raises ModelError that lists what was tried.
    """
    by_hand = by_hand_path(target)
    tried: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        give_to_owner(target.parent)
        sweep(target.parent)
        with scratch_folder(target.parent) as scratch:
            laid = [laid_file(by_hand, source) for source in sources]
            for number, source in enumerate([*(laid if by_hand.is_file() else []), *sources]):
                log(f"{target.name}: taking {source}")
                arrival = scratch / str(number) / "arrival"
                arrival.parent.mkdir()
                try:
                    take(source, arrival, log, hosts)
                    check(arrival, source)
                except (SourceUnavailable, WrongContent) as failure:
                    log(f"  {failure}")
                    tried.append(f"{source}: {failure}")
                    continue
                if finish is not None:
                    finish(arrival)
                move_in(arrival, target)
                return source
    except OSError as error:
        raise ModelError(f"{target.name} cannot be written: {disk_trouble(error, target.parent)}") from error
    lines = [f"{target.name} could not be fetched. Tried:", *(f"  - {line}" for line in tried)]
    if any("No space left" in line for line in tried):
        lines.append(f"Free some space at {target.parent}, or choose another folder with --cache.")
    digests = " or ".join(dict.fromkeys(source.digest for source in sources))
    lines += [f"By hand: bring the file ({digests})", f"  to {by_hand}", f"  and say: {again}"]
    raise ModelError("\n".join(lines))


def by_hand_path(target: Path) -> Path:
    """Where a person who brings the published file lays it, so that it is checked and finished like any other."""
    return target.parent / "by-hand" / target.name


def laid_file(path: Path, source: Pinned) -> LocalFile:
    """A file brought by hand, which is to be what `source` would have given."""
    return LocalFile(kind="file", path=str(path), sha256=source.sha256, tensors_sha256=source.tensors_sha256)


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(target: Path, content: bytes) -> None:
    """Write a small file so that it is there whole, or not at all."""
    with scratch_folder(target.parent) as scratch:
        arrival = scratch / "arrival"
        arrival.write_bytes(content)
        move_in(arrival, target)


def move_in(arrival: Path, target: Path) -> None:
    """Swap a finished file in; it is on the disk before it has its name, and its folder's entry after."""
    arrival.chmod(0o644)  # what is pinned is public, and the service runs as another user
    with arrival.open("rb") as file:
        os.fsync(file.fileno())
    arrival.replace(target)
    give_to_owner(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder on the target's own disk that is gone at the end; its lock tells `sweep` that it is still in use."""
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=parent))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path) -> None:
    """Remove what fetches that were killed have left: scratch folders that nobody holds locked."""
    for folder in parent.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < YOUNG_S:
                continue  # perhaps made a moment ago, by another fetch that has not locked it yet
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def disk_trouble(error: OSError, folder: Path) -> str:
    """What the operating system refused, and what the user can do about it."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            remedy = "free some space, or choose another folder with --cache"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            remedy = "run as a user who may write there, or choose another folder with --cache"
        case _:
            remedy = "choose another folder with --cache"
    return f"{folder}: {error.strerror or error}; {remedy}"

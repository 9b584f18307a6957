"""Writing calibrations: whole or not at all, and never over what somebody else wrote in the meantime."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spoton_edge.config.document import dump
from spoton_edge.errors import UsageError


class ChangedError(UsageError):
    """A file that is not what it was when it was read."""


def write_new(path: Path, text: str) -> None:
    """Creates a file; raises `UsageError` where there is one already, or none can be made."""
    if path.exists():
        raise UsageError(f"{path}: is there already; name a new file")
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
        try:
            os.link(file.name, path)  # unlike a rename, this never replaces a file made in the meantime
            path.chmod(0o644)
        finally:
            Path(file.name).unlink()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None


def ground_text(ground: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """A camera's `ground` as a file of its own, for `ground: {file: ...}`."""
    return remarks_text(remarks) + dump(dict(ground))


def site_text(site: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """A whole site file."""
    return remarks_text(remarks) + dump(dict(site))


def replace_unless_changed(path: Path, text: str, read: bytes) -> Path:
    """Puts text in a file's place if the file still holds what was `read`, and that beside it; returns where.

    Whoever reads the file finds the old or the new one whole. Raises `ChangedError`, and `UsageError` where it cannot
    be written.
    """
    path = path.resolve()  # not the link to it
    backup = path.with_name(path.name + ".bak")
    with beside(path, text.encode()) as new, beside(path, read) as old:
        if path.read_bytes() != read:
            raise ChangedError(f"{path} was changed by somebody else since it was read: nothing is written")
        old.replace(backup)
        new.replace(path)
    return backup


@contextmanager
def beside(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside another, with its permissions and owner; gone at the end unless it was moved. Raises `UsageError`
    where there can be none."""
    made: Path | None = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            made = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        kept = path.stat()
        made.chmod(kept.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(made, kept.st_uid, kept.st_gid)
        yield made
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}); see to its permissions") from None
    finally:
        if made is not None:
            made.unlink(missing_ok=True)


def remarks_text(lines: Sequence[str]) -> str:
    """Comment lines at the head of a file."""
    return "".join(f"# {line}\n" for line in lines)

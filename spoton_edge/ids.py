"""Ids that are never given twice, also not after a kill -9: blocks are reserved on disk before their first is used.

Where the state file is lost, counting starts at 1 again, and only (run, id) is unique.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from pathlib import Path

from spoton_edge.errors import StateError
from spoton_edge.ownership import give_to_owner

log = logging.getLogger(__name__)

BLOCK = 1000


class Ids:
    """Counts up. `take` may be called from one thread.

    Args:
        path: the state file, kept by one process at a time; None: nothing is kept (replays, tests).
        block: how many ids are reserved at once; at most two blocks are skipped by a restart.

    Raises:
        StateError: another process keeps the file, or it cannot be written; one line with the remedy.
    """

    def __init__(self, path: Path | None = None, *, block: int = BLOCK) -> None:
        self._path = path
        self._block = block
        self._lock_file = None if path is None else _lock(path)
        self._next = 1 if path is None else _read(path)
        self.first = self._next  # ids below it may have been given before
        self._reserved = self._next  # ids below are ours to give
        self._reserving: threading.Thread | None = None
        self._failure: OSError | None = None
        self._reserve()
        self._check()

    def take(self) -> int:
        """The next id.

        Raises:
            StateError: the next block cannot be reserved.
        """
        left = self._reserved - self._next
        if left <= self._block // 2 and self._reserving is None:
            # The disk may take its time: the next block is reserved while the last half of this one is used.
            self._reserving = threading.Thread(target=self._reserve, name="ids")
            self._reserving.start()
        if self._reserving is not None and (left == 0 or not self._reserving.is_alive()):
            self._reserving.join()
            self._reserving = None
            if left == 0:
                self._check()
        number = self._next
        self._next += 1
        return number

    def close(self) -> None:
        """Gives back what was reserved and not used."""
        if self._reserving is not None:
            self._reserving.join()
            self._reserving = None
        if self._lock_file is not None and self._path is not None:
            _write(self._path, self._next)
            os.close(self._lock_file)
            self._lock_file = None

    def _reserve(self) -> None:
        reserved = self._reserved + self._block
        try:
            if self._path is not None:
                _write(self._path, reserved)
        except OSError as error:
            self._failure = error
        else:
            self._failure = None
            self._reserved = reserved

    def _check(self) -> None:
        if self._failure is not None:
            raise _refusal(self._path, self._failure)


def _lock(path: Path) -> int:
    """Beside the file, which is replaced and cannot carry a lock itself."""
    try:
        lock = path.with_name(path.name + ".lock")
        number = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        give_to_owner(lock)
    except OSError as error:
        raise _refusal(path, error) from None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise StateError(f"{path}: another spoton-edge keeps this file; give each site its own") from None
    return number


def _read(path: Path) -> int:
    try:
        state = json.loads(path.read_bytes())
        first = state["next_id"]
        if type(first) is not int or not 1 <= first < 2**53:
            raise ValueError
    except FileNotFoundError:
        return 1
    except OSError as error:
        raise _refusal(path, error) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        log.warning("%s is damaged: ids start at 1 again, and only together with the run they are unique", path)
        return 1
    return int(first)


def _write(path: Path, next_id: int) -> None:
    """Replaces the file: whenever the power fails, either the old or the new one is there, whole."""
    fresh = path.with_name(path.name + ".new")
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(number, "w") as file:
        json.dump({"next_id": next_id}, file)
        file.flush()
        os.fsync(file.fileno())
    give_to_owner(fresh)
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refusal(path: Path | None, error: OSError) -> StateError:
    reason = (error.strerror or str(error)).lower()
    return StateError(f"{path}: {reason}; ids could be given twice; make its folder writable, or give it another place")

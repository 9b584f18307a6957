"""Where the people in view are noted once a second, so that a restart gives nobody a new id who is still there.

Times are of the monotonic clock, which goes on over a restart of the process; the file names the boot it belongs to.
It never holds what somebody looks like.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spoton_edge.ownership import give_to_owner
from spoton_edge.resumption import Known

log = logging.getLogger(__name__)

VERSION = 1
MOST_PEOPLE = 1024
BOOT = Path("/proc/sys/kernel/random/boot_id")


class PeopleFile:
    """Written by a thread of its own, so that a slow disk holds nobody up: the newest note wins."""

    def __init__(self, path: Path, *, boot: str | None = None) -> None:
        """boot: what tells this start of the machine from others."""
        self._path = path
        self._boot = BOOT.read_text().strip() if boot is None else boot
        self._note: tuple[Sequence[Known], Sequence[str]] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="people", daemon=True)
        self._thread.start()

    def read(self, cameras: Sequence[str]) -> list[Known]:
        """Who was in view when the file was last written; cameras: names by number. A file that cannot be understood is
        set aside as `.bad`, and told."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s: %s; everybody gets a new id", self._path, (error.strerror or "").lower())
            return []
        try:
            return self._parse(json.loads(text), cameras)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            aside = self._path.with_name(self._path.name + ".bad")
            log.warning("%s is not understood (%s), and is now %s; everybody gets a new id", self._path, error, aside)
            try:
                self._path.replace(aside)
            except OSError as failure:
                log.warning("%s: %s", aside, (failure.strerror or "").lower())
            return []

    def keep(self, people: Sequence[Known], cameras: Sequence[str]) -> None:
        """Note who is in view; cameras: names by number. Never blocks."""
        with self._changed:
            self._note = (people, cameras)
            self._changed.notify()

    def close(self) -> None:
        """Write what is still to be written."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._note is not None)
                note, self._note = self._note, None
            if note is None:
                return
            try:
                self._write(*note)
            except OSError as error:
                if not self._failing:
                    log.warning("%s: %s; after a restart everybody gets a new id", self._path, error.strerror)
                self._failing = True
            else:
                self._failing = False

    def _write(self, people: Sequence[Known], cameras: Sequence[str]) -> None:
        """Replaces the file whole. Not forced to the disk: what it says is of no use after a failure of power."""
        newest = sorted(people, key=lambda known: -known.seen_ns)[:MOST_PEOPLE]
        rows = [{**asdict(known), "camera": cameras[known.camera] if known.camera >= 0 else None} for known in newest]
        fresh = self._path.with_name(self._path.name + ".new")
        number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "w") as file:
            json.dump({"version": VERSION, "boot": self._boot, "people": rows}, file)
        give_to_owner(fresh)
        fresh.replace(self._path)

    def _parse(self, data: Any, cameras: Sequence[str]) -> list[Known]:
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']!r}, not {VERSION}")
        if data["boot"] != self._boot:
            return []  # the machine was started since, and its clock with it
        if len(data["people"]) > MOST_PEOPLE:
            raise ValueError(f"more than {MOST_PEOPLE} people")
        return [_known(row, cameras) for row in data["people"]]


def _known(row: dict[str, Any], cameras: Sequence[str]) -> Known:
    """A person as written. Raises ValueError, KeyError or TypeError where it is none."""
    camera = row["camera"]
    return Known(
        global_id=_whole(row["global_id"]),
        born_ns=_whole(row["born_ns"]),
        seen_ns=_whole(row["seen_ns"]),
        xy=None if row["xy"] is None else _pair(row["xy"]),
        velocity=_pair(row["velocity"]),
        sd_m=_finite(row["sd_m"]),
        camera=cameras.index(camera) if camera in cameras else -1,
        foot=_pair(row["foot"]),
        height_px=_finite(row["height_px"]),
    )


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**63:
        raise ValueError(f"{value!r} is no number or time")
    return value


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e9:
        raise ValueError(f"{value!r} is no measure")
    return float(value)


def _pair(value: Any) -> tuple[float, float]:
    first, second = value
    return _finite(first), _finite(second)

"""Whether files have been written anew, by looking at them once in a while."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Look = tuple[int, int, int] | None  # when written, size, inode; None: not there


class FileWatch:
    """Looking, and not inotify, finds a change on any file system and however an editor replaces the file."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.renew(paths)

    def renew(self, paths: Sequence[Path]) -> None:
        """Watch these from now on, as they are now."""
        self._paths = list(paths)
        self._known = self._seen = self._look()

    def changed(self) -> bool:
        """Whether they have changed since this was last true, and not since the last call: then the writer is done."""
        seen = self._look()
        settled, self._seen = seen == self._seen, seen
        if not settled or seen == self._known:
            return False
        self._known = seen
        return True

    def _look(self) -> list[Look]:
        looks: list[Look] = []
        for path in self._paths:
            try:
                found = path.stat()
            except OSError:
                looks.append(None)
            else:
                looks.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return looks

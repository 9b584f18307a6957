"""A disk of a few megabytes for tests, which is filled up and emptied at will."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from tests.e2e.harness import lacking


class SmallDisk:
    """Mounted at `folder` until it is closed; skips by name where none can be."""

    def __init__(self, folder: Path, *, megabytes: int = 4) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "none", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lacking(f"no small disk can be mounted: run as root ({done.stderr.strip()})")
        self.folder = folder

    @property
    def room(self) -> int:
        """Bytes."""
        free = os.statvfs(self.folder)
        return free.f_bavail * free.f_frsize

    def fill(self) -> None:
        """As by another program, to the last byte."""
        with (self.folder / "of another program").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """The other program's file is deleted."""
        (self.folder / "of another program").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

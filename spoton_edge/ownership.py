"""Whose the files are that root's shell leaves in a folder of the service."""

from __future__ import annotations

import os
from pathlib import Path


def give_to_owner(path: Path) -> None:
    """What root makes in somebody's folder is that one's: the service renews what root's shell has prepared or run."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

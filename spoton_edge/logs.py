"""Where log lines go: to the journal with fields under systemd, to stderr elsewhere.

A line about a camera or a person carries SPOTON_CAMERA, SPOTON_EVENT or SPOTON_GLOBAL_ID (given as `extra=`), so that
`journalctl SPOTON_CAMERA=c09` finds it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

PEOPLE = "spoton_edge.people"  # the logger of what happens to persons
LINE = "%(levelname)-7s %(name)s: %(message)s"
# Priorities of sd-daemon(3), with which a plain line tells the journal how grave it is.
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class PlainJournal(logging.Formatter):
    """For a journal that can only be reached through stderr: every line after its priority."""

    def format(self, record: logging.LogRecord) -> str:
        priority = PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up(level: int) -> None:
    """Send this process's log where it is read."""
    logging.basicConfig(level=level, handlers=[handler()])
    if level > logging.DEBUG and not to_journal(os.environ, sys.stderr):
        logging.getLogger(PEOPLE).setLevel(logging.WARNING)  # who came and went: for a log that can be filtered
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # its notes on fonts concern nobody here


def handler(environment: Mapping[str, str] = os.environ, stream: TextIO | None = None) -> logging.Handler:
    """The journal where stderr is connected to it, else stderr."""
    stream = sys.stderr if stream is None else stream
    plain = logging.StreamHandler(stream)
    if not to_journal(environment, stream):
        plain.setFormatter(logging.Formatter(LINE))
        return plain
    try:
        from systemd.journal import JournalHandler
    except ImportError:  # the extra [systemd] is not installed: no fields, all else as well
        plain.setFormatter(PlainJournal("%(name)s: %(message)s"))
        return plain
    journal: logging.Handler = JournalHandler(SYSLOG_IDENTIFIER="spoton-edge")
    journal.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    return journal


def complaint(text: str) -> str:
    """Why a command ends, for stderr; where that is the journal, `journalctl --priority=err` finds it."""
    if not to_journal(os.environ, sys.stderr):
        return text
    return "\n".join(f"<{PRIORITIES[logging.ERROR]}>{line}" for line in text.splitlines())


def to_journal(environment: Mapping[str, str], stream: TextIO) -> bool:
    """Whether a stream is the one that systemd connected to the journal, by device and inode (systemd.exec(5))."""
    try:
        of_stream = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file
        return False
    return environment.get("JOURNAL_STREAM") == f"{of_stream.st_dev}:{of_stream.st_ino}"

"""What a check gives: one line each, with the remedy where there is something to mend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["good", "note", "wrong", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. wrong: the service cannot do its work as the site file says; note: it can, but
    the operator should know."""

    verdict: Verdict
    what: str
    text: str
    remedy: str = ""

    def line(self) -> str:
        """As the command prints it."""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.verdict:11} {self.what}: {self.text}{remedy}"


def good(what: str, text: str) -> Finding:
    """Nothing to mend."""
    return Finding("good", what, text)


def note(what: str, text: str, remedy: str = "") -> Finding:
    """Nothing is broken, and yet."""
    return Finding("note", what, text, remedy)


def wrong(what: str, text: str, remedy: str) -> Finding:
    """Something to mend."""
    return Finding("wrong", what, text, remedy)


def not_checked(what: str, text: str, remedy: str = "") -> Finding:
    """Something that cannot be known from here."""
    return Finding("not checked", what, text, remedy)

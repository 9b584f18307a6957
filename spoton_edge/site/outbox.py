"""What a box has to tell its site, until its leaf node has written it down.

Nothing here waits for the site: the leaf node's streams are on this machine. Where even that one cannot write (it is
down, its disk is full), messages wait here; beyond a bound positions go first, then looks, then events. Every message
keeps the number it got, so that what went is seen by whoever reads on; and it is told as a `gap`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from spoton_edge.site.streams import Errors

log = logging.getLogger(__name__)

ROOM_BYTES = 8 << 20
GO_FIRST = ("tracks", "looks", "events")
AGAIN_S = 0.5
WRITE_S = 5.0
RECORD_BYTES = 61  # of a message in a stream, besides: its header, checksum, name and length of the number


class Letter(NamedTuple):
    kind: str
    subject: str
    payload: bytes
    number: str  # Nats-Msg-Id: the same message twice is kept once


class Outbox:
    """Writes letters in order, each until it is written. `put` never waits.

    Attributes:
        lost: by kind, how many had to go unwritten, at most: one that nobody answered may have been written.
        written: how many were.
        written_bytes: by kind, how much that is where it is kept.
        failing: why nothing can be written, if so.
        unanswered: whether that is because nobody says that it was.
    """

    def __init__(self, js: JetStreamContext, *, room_bytes: int = ROOM_BYTES) -> None:
        self.lost: Counter[str] = Counter()
        self.written = 0
        self.written_bytes: Counter[str] = Counter()
        self.failing = ""
        self.unanswered = False
        self._failing_since = 0.0  # monotonic
        self._js = js
        self._room_bytes = room_bytes
        self._bytes = 0
        self._letters: deque[Letter] = deque()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def failing_s(self) -> float:
        """For how long nothing could be written."""
        return time.monotonic() - self._failing_since if self.failing else 0.0

    def put(self, letter: Letter) -> None:
        """Take a letter to be written."""
        self._letters.append(letter)
        self._bytes += len(letter.payload)
        self._some.set()
        for kind in GO_FIRST:
            if self._bytes <= self._room_bytes:
                return
            self._let_go(kind)

    async def run(self, on_gap: Callable[[int], None]) -> None:
        """Write until cancelled; `on_gap` is called with how many letters were lost, once writing works again."""
        told = 0
        while True:
            if not self._letters:
                self._some.clear()
                await self._some.wait()
            letter = self._letters[0]
            try:
                await self._js.publish(
                    letter.subject, letter.payload, timeout=WRITE_S, headers={"Nats-Msg-Id": letter.number}
                )
            except (*Errors, JetStreamError) as error:
                self.unanswered = isinstance(error, TimeoutError)
                self._mind(str(error) or type(error).__name__)
                await asyncio.sleep(AGAIN_S)
                continue
            self._mind("")
            self.written += 1
            kept = len(letter.payload) + len(letter.subject) + len(letter.number) + RECORD_BYTES
            self.written_bytes[letter.kind] += kept
            if self._letters and self._letters[0] is letter:
                self._letters.popleft()
                self._bytes -= len(letter.payload)
            else:  # it was let go while it was being written
                self.lost[letter.kind] -= 1
            if self.lost.total() > told:
                told, lost = self.lost.total(), self.lost.total() - told
                on_gap(lost)

    def _mind(self, why: str) -> None:
        """Log a change for the worse or the better, once."""
        if why and not self.failing:
            log.warning("the leaf node does not write: %s; messages wait here", why)
            self._failing_since = time.monotonic()
        elif self.failing and not why:
            log.info("the leaf node writes again; %s lost meanwhile", dict(self.lost) or "nothing")
        self.failing = why

    def _let_go(self, kind: str) -> None:
        """The oldest of a kind, until there is room for a while."""
        kept: deque[Letter] = deque()
        for letter in self._letters:
            if letter.kind == kind and self._bytes > 0.9 * self._room_bytes:
                self._bytes -= len(letter.payload)
                self.lost[kind] += 1
            else:
                kept.append(letter)
        self._letters = kept

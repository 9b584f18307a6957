"""What a subscriber has heard and what it misses, by sequence numbers, gaps and snapshots. Standard library only."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator

from spoton_edge.messages import Json, Message, Missed, parse

KINDS = ("tracks", "events", "site", "status")
STATE_KINDS = ("site", "tracks", "status")  # what a snapshot holds: one message of these is the whole state of its kind
FIRST_ASK_S = 0.25
RETRY_S = 1.0
MAX_RETRY_S = 10.0


class Feed:
    """Delivers messages in order, each at most once, counts what was lost and says when to ask for a snapshot.

    Args:
        kinds: those to deliver.
        now_s: a monotonic clock.
    """

    def __init__(self, kinds: Collection[str] = KINDS, now_s: Callable[[], float] = time.monotonic) -> None:
        self.latest: dict[str, Message] = {}  # by kind
        self.missed: Counter[str] = Counter()  # by topic
        self._kinds = frozenset(kinds)
        self._now_s = now_s
        self._run: str | None = None
        self._gone: deque[str] = deque(maxlen=16)  # runs that ended
        self._accounted: dict[str, int] = {}  # by topic, the last number that was delivered or reported as missed
        self._held: dict[str, int] = {}  # by topic, the last number that was delivered
        self._joined: dict[str, int] | None = None  # by topic, where the run stood when its first snapshot came
        self._subscribed = False
        self._retry_s = RETRY_S
        # A snapshot asked for before the subscription stands would leave a hole, so the first waits for a message.
        self._ask_at_s: float | None = now_s() + FIRST_ASK_S

    @property
    def whole(self) -> bool:
        """Whether the state held is the daemon's, as far as can be known."""
        return self._ask_at_s is None

    def wait_s(self) -> float | None:
        """Seconds until a snapshot should be asked for; None: no need."""
        return None if self._ask_at_s is None else max(0.0, self._ask_at_s - self._now_s())

    def asked(self) -> None:
        """A snapshot was asked for: ask again in a while if nothing comes."""
        self._ask_at_s = self._now_s() + self._retry_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    def hear(self, topic: str, payload: Json) -> Iterator[Message | Missed]:
        """Takes a message in; yields what there is to deliver."""
        run, seq = payload["run"], payload["seq"]
        if run in self._gone:
            return
        if run != self._run:
            self._begin(run)
        if not self._subscribed:
            self._subscribed = True
            self._ask_at_s = self._now_s()
        if payload["kind"] in self._kinds:
            yield from self._account(topic, seq - 1)
            if seq > self._accounted.get(topic, 0):
                self._accounted[topic] = seq
                yield from self._deliver(topic, seq, payload)
        if payload["kind"] == "status":
            # A loss at the end of a topic shows in no later number of that topic, but here.
            for kind, count in payload["publish"]["sent"].items():
                if kind in self._kinds:
                    yield from self._account(f"{topic.rpartition('/')[0]}/{kind}", count)

    def mend(self, snapshot: Json) -> Iterator[Message | Missed]:
        """Takes a snapshot in; yields those parts that were never heard, or whose last message was lost."""
        if snapshot["run"] in self._gone:
            return
        if snapshot["run"] != self._run:
            self._begin(snapshot["run"])
        for topic, seq in snapshot["seq"].items():
            kind = topic.rpartition("/")[2]
            held = self._held.get(topic, 0)
            # A topic that lost nothing since its last message has the rest on its way: a part of the snapshot would
            # only overtake it.
            torn = held == 0 or self._accounted[topic] > held
            if kind in STATE_KINDS and kind in self._kinds and torn and seq > held:
                yield from self._account(topic, seq - 1)
                self._accounted[topic] = max(seq, self._accounted.get(topic, 0))
                yield from self._deliver(topic, seq, snapshot[kind])
        if self._joined is None:
            self._joined = dict(snapshot["seq"])
        self._ask_at_s = None
        self._retry_s = RETRY_S

    def _begin(self, run: str) -> None:
        if self._run is not None:
            self._gone.append(self._run)
        self._run = run
        self._accounted.clear()
        self._held.clear()
        self._joined = None
        self._want()

    def _account(self, topic: str, last: int) -> Iterator[Missed]:
        """Everything up to `last` was sent before now: what of it was not heard is lost."""
        known = self._accounted.get(topic)
        if known is None:
            # Of a topic not heard before we are owed what came after we joined, and nothing before the first snapshot.
            known = last if self._joined is None else min(last, self._joined.get(topic, 0))
        if last > known:
            self.missed[topic] += last - known
            self._accounted[topic] = last
            self._want()
            yield Missed(topic, last - known)

    def _want(self) -> None:
        if self._ask_at_s is None:
            self._ask_at_s = self._now_s()

    def _deliver(self, topic: str, seq: int, payload: Json) -> Iterator[Message]:
        self._held[topic] = seq
        message = parse(payload)
        if message is not None:
            self.latest[message.kind] = message
            yield message

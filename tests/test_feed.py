"""The bookkeeping of a subscriber, with a clock of its own and no sockets."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.feed import FIRST_ASK_S, RETRY_S, Feed
from spoton_edge.messages import Missed, Tracks
from spoton_edge.types import Delivery
from spoton_edge.wire import topic
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, handoff, people, site, status

BY = encoder()
TOPIC = "spoton/1/lobby/tracks"


class World:
    """A daemon and a subscriber; what the network does between them is the test's to say."""

    def __init__(self, run: str = "aa") -> None:
        self.now_s = 100.0
        self.feed = Feed(now_s=lambda: self.now_s)
        self.start(run)

    def start(self, run: str) -> None:
        self.run = run
        self.counts: dict[str, int] = {}
        self.last: dict[str, bytes] = {}

    def send(self, kind: str) -> tuple[str, dict[str, Any]]:
        message = {
            "tracks": lambda: BY.tracks(people(2), CAMERA_NUMBERS, CAPTURED_NS, 1.0),
            "events": lambda: BY.event(handoff()),
            "site": lambda: BY.site(site()),
            "status": lambda: BY.status(status(), Delivery(sent=dict(self.counts))),
        }[kind]()
        self.counts[kind] = self.counts.get(kind, 0) + 1
        payload = {**json.loads(message.payload(self.counts[kind])), "run": self.run}
        self.last[kind] = json.dumps(payload).encode()
        return topic("lobby", kind).decode(), payload

    def hear(self, kind: str = "tracks") -> list[Any]:
        return list(self.feed.hear(*self.send(kind)))

    def snapshot(self) -> dict[str, Any]:
        seq = {topic("lobby", kind).decode(): count for kind, count in self.counts.items()}
        snapshot: dict[str, Any] = json.loads(BY.snapshot(seq, self.last))
        return {**snapshot, "run": self.run}

    def mend(self) -> list[Any]:
        return list(self.feed.mend(self.snapshot()))


def seqs(messages: list[Any]) -> list[tuple[str, int]]:
    return [(message.kind, message.count if isinstance(message, Missed) else message.seq) for message in messages]


def test_a_late_joiner_gets_the_snapshot_and_then_what_follows() -> None:
    world = World()
    for kind in ("site", "tracks", "tracks", "events", "status"):
        world.send(kind)
    assert seqs(world.mend()) == [("site", 1), ("tracks", 2), ("status", 1)]
    assert world.feed.whole
    assert seqs(world.hear()) == [("tracks", 3)]
    assert seqs(world.hear("events")) == [("events", 2)]
    assert not world.feed.missed


def test_the_first_request_waits_for_the_first_message() -> None:
    world = World()
    assert world.feed.wait_s() == FIRST_ASK_S
    world.hear()
    assert world.feed.wait_s() == 0


def test_without_an_answer_it_asks_again_and_again_but_less_often() -> None:
    world = World()
    world.hear()
    for wait_s in (RETRY_S, 2 * RETRY_S, 4 * RETRY_S):
        world.feed.asked()
        assert world.feed.wait_s() == wait_s
        world.now_s += wait_s
        assert world.feed.wait_s() == 0


def test_a_gap_is_counted_and_mended() -> None:
    world = World()
    world.hear("site")
    world.hear()
    world.mend()
    world.send("tracks")
    world.send("tracks")
    assert seqs(world.hear()) == [("missed", 2), ("tracks", 4)]
    assert world.feed.missed == {TOPIC: 2}
    assert not world.feed.whole
    assert world.mend() == []  # the last tracks are the state already
    assert world.feed.whole


def test_messages_on_their_way_are_not_overtaken_by_the_snapshot() -> None:
    world = World()
    world.hear()
    second = world.send("tracks")
    assert seqs(world.mend()) == []
    assert seqs(list(world.feed.hear(*second))) == [("tracks", 2)]
    assert not world.feed.missed


def test_a_message_older_than_the_snapshot_is_not_delivered_twice() -> None:
    world = World()
    first = world.send("tracks")
    assert seqs(world.mend()) == [("tracks", 1)]
    assert list(world.feed.hear(*first)) == []


def test_an_event_before_joining_is_a_gift_and_one_after_is_owed() -> None:
    world = World()
    early = [world.send("events") for _ in range(3)]
    world.mend()
    assert seqs(list(world.feed.hear(*early[2]))) == [("events", 3)]
    world.send("events")
    assert seqs(world.hear("events")) == [("missed", 1), ("events", 5)]


def test_the_first_event_ever_being_lost_is_noticed() -> None:
    world = World()
    world.hear()
    world.mend()
    world.send("events")
    assert seqs(world.hear("events")) == [("missed", 1), ("events", 2)]


def test_a_loss_at_the_end_of_a_topic_shows_in_the_status() -> None:
    world = World()
    world.hear("site")
    world.hear("tracks")
    world.mend()
    world.send("site")  # lost, and no later one will tell
    assert seqs(world.hear("status")) == [("status", 1), ("missed", 1)]
    assert not world.feed.whole
    assert seqs(world.mend()) == [("site", 2)]
    assert world.feed.whole


def test_a_restarted_daemon_begins_anew_and_its_past_is_ignored() -> None:
    world = World("aa")
    world.hear()
    world.mend()
    late = world.send("tracks")
    late_snapshot = world.snapshot()
    world.start("bb")
    assert seqs(world.hear()) == [("tracks", 1)]
    assert not world.feed.whole
    assert list(world.feed.hear(*late)) == []
    assert list(world.feed.mend(late_snapshot)) == []
    assert not world.feed.whole
    world.mend()
    assert world.feed.whole
    assert not world.feed.missed


def test_what_is_not_wanted_is_neither_delivered_nor_missed() -> None:
    world = World()
    world.feed = Feed(["events"], now_s=lambda: world.now_s)
    assert world.hear("tracks") == []
    world.mend()
    world.send("tracks")
    assert world.hear("tracks") == []
    assert seqs(world.hear("events")) == [("events", 1)]
    assert not world.feed.missed


def test_a_kind_of_a_later_version_is_ignored() -> None:
    world = World()
    name, payload = world.send("tracks")
    assert list(world.feed.hear(name, {**payload, "v": 2})) == []
    name, payload = world.send("tracks")
    assert isinstance(next(world.feed.hear(name, {**payload, "new": 1})), Tracks)


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(KeyError):
        list(World().feed.hear(TOPIC, {"v": 1}))


STEPS = ["tracks", "events", "site", "status", "drop", "mend", "snapshot", "restart"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=60))
def test_nothing_is_missed_silently_and_nothing_comes_twice(script: list[str]) -> None:
    """Whatever is lost and whenever snapshots come: at the end, every message is delivered, reported, or its newer
    state is held; and after a last status and snapshot the state is the daemon's."""
    world = World()
    delivered: list[tuple[str, str, int]] = []
    old_snapshot: dict[str, Any] | None = None
    lose = False

    def take(messages: Iterator[Any]) -> None:
        for message in messages:
            if not isinstance(message, Missed):
                delivered.append((message.run, message.kind, message.seq))

    for number, step in enumerate(script):
        if step == "drop":
            lose = True
        elif step == "mend":
            take(world.feed.mend(old_snapshot or world.snapshot()))
            old_snapshot = None
        elif step == "snapshot":
            old_snapshot = world.snapshot()
        elif step == "restart":
            world.start(f"{number:x}")
            old_snapshot = None
        else:
            name, payload = world.send(step)
            if not lose:
                take(world.feed.hear(name, payload))
            lose = False
    take(world.feed.hear(*world.send("status")))
    take(world.feed.mend(world.snapshot()))
    assert world.feed.whole
    assert len(delivered) == len(set(delivered))
    for kind in ("tracks", "site", "status"):
        if kind in world.counts:
            assert (world.run, kind, world.counts[kind]) in delivered
            assert world.feed.latest[kind].seq == world.counts[kind]

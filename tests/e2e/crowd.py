"""The processes of the crowd test: one that publishes, some that read carefully, some that come, stall and die.

python -m tests.e2e.crowd publish ALONE_S HIGH_WATER   prints its endpoints, then when more may come; publishes until
                                                       it gets a line, prints at the end of input what it measured
python -m tests.e2e.crowd check ENDPOINT SNAPSHOT      reads until 3 s of silence, prints what it heard and missed
python -m tests.e2e.crowd raw ENDPOINT SOCKETS SEED    sockets that join, stop reading and leave at random, for ever

Each reader prints a line once it stands.
"""

from __future__ import annotations

import hashlib
import json
import random
import select
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
import zmq

from spoton_edge.client import Missed, Subscriber
from spoton_edge.publisher import Publisher
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, handoff, people, site, status
from tests.process import resident_bytes

RATE_HZ = 30.0
SILENCE_S = 3.0
STANDING = 10  # messages heard by a reader that stands


def publish(alone_s: float, high_water: int) -> None:
    """4 cameras x 40 people at 30 Hz, events and status between; first for a while to one subscriber, to compare with.

    Keeps its endpoints until standard input ends.
    """
    by = encoder()
    ways = [people(40, 4, seed=seed) for seed in range(20)]
    endpoint = "tcp://127.0.0.1:0"
    with Publisher(by, [endpoint], snapshot=endpoint, high_water=high_water) as publisher:
        say({"endpoint": publisher.endpoints[0], "snapshot": publisher.snapshot_endpoint})
        clock = time.pthread_getcpuclockid(publisher._thread.ident or 0)
        publisher.publish(by.site(site()))
        while not publisher.delivery().subscriptions:
            time.sleep(0.01)
        rows = []
        alone = int(alone_s * RATE_HZ)
        start_s = time.monotonic()
        for number in count():
            if number == alone:
                say({"alone": False})
            if select.select([sys.stdin], [], [], 0)[0]:
                sys.stdin.readline()
                break
            time.sleep(max(0.0, start_s + number / RATE_HZ - time.monotonic()))
            own_ns, thread_ns, wall_ns = time.thread_time_ns(), time.clock_gettime_ns(clock), time.perf_counter_ns()
            publisher.publish(by.tracks(ways[number % len(ways)], CAMERA_NUMBERS, CAPTURED_NS, 20.0))
            own_ns, wall_ns = time.thread_time_ns() - own_ns, time.perf_counter_ns() - wall_ns
            rows.append((own_ns, thread_ns, wall_ns, resident_bytes()))
            if number % 15 == 7:
                publisher.publish(by.event(handoff()))
            if number % 30 == 29:
                publisher.publish(by.status(status(number), publisher.delivery()))
        publisher.publish(by.status(status(len(rows)), publisher.delivery()))
        sys.stdin.read()
        say({**figures(np.array(rows, np.int64), alone), **state(publisher)})


def figures(rows: np.ndarray[Any, np.dtype[np.int64]], cut: int) -> dict[str, Any]:
    """Milliseconds and bytes: for the part with one subscriber, which ends at `cut`, and for the part with all."""
    thread_ns = np.diff(rows[:, 1], append=rows[-1, 1])
    cpu_ms, wall_ms = (rows[:, 0] + thread_ns) / 1e6, rows[:, 2] / 1e6
    return {
        "cpu_ms": [np.percentile(part, [50, 99]).tolist() for part in (cpu_ms[:cut], cpu_ms[cut:])],
        "wall_ms": [np.percentile(part, [50, 99]).tolist() for part in (wall_ms[:cut], wall_ms[cut:])],
        "resident_bytes": [int(rows[cut, 3]), int(rows[cut:, 3].max())],
    }


def state(publisher: Publisher) -> dict[str, Any]:
    """What the daemon holds, and how it fared."""
    delivery = publisher.delivery()
    latest = {
        kind: [outgoing.seq, digest(json.loads(outgoing.payload))] for kind, outgoing in publisher._latest.items()
    }
    counters = {name: getattr(delivery, name) for name in ("late", "overflowed", "refused", "snapshots")}
    return {"latest": latest, "sent": dict(delivery.sent), **counters}


class Narrow(zmq.Context[Any]):
    """Sockets with a small buffer in the kernel, so that a stall of seconds is enough to lose messages."""

    def socket(self, *args: Any, **settings: Any) -> Any:
        made = super().socket(*args, **settings)
        made.setsockopt(zmq.RCVBUF, 1 << 16)
        return made


def check(endpoint: str, snapshot: str) -> None:
    """Reads everything and keeps its own account of it, which must come out even with the subscriber's."""
    zmq.Context = Narrow  # type: ignore[misc, assignment]
    heard: dict[str, list[int]] = defaultdict(list)
    gaps = count_heard = 0
    # Where the first snapshot is there before the subscription, what was sent between is owned up to as missed.
    missed_joining: dict[str, int] = {}
    missed_before: dict[str, int] = {}  # the first that was heard
    longest_s = 0.0
    with Subscriber(endpoint, snapshot=snapshot) as subscriber:
        last_s = time.monotonic()
        silences = 0
        while True:
            whole = subscriber.whole
            message = subscriber.receive(SILENCE_S)
            longest_s = max(longest_s, time.monotonic() - last_s)
            last_s = time.monotonic()
            # A reader that was stopped wakes to a time-out that ran out in its sleep: silence counts the second time.
            silences = silences + 1 if message is None else 0
            if silences == 2 and heard:
                break
            if isinstance(message, Missed):
                gaps += whole and not subscriber.whole
            elif message is not None:
                if message.kind not in heard:
                    missed_before[message.kind] = by_kind(subscriber.missed).get(message.kind, 0)
                heard[message.kind].append(message.seq)
                count_heard += 1
                if count_heard == STANDING:
                    missed_joining = by_kind(subscriber.missed)
                    say({"stands": True})
        say(
            {
                "heard": heard,
                "missed": by_kind(subscriber.missed),
                "missed_joining": missed_joining,
                "missed_before": missed_before,
                "gaps": gaps,
                "whole": subscriber.whole,
                "unreadable": subscriber.unreadable,
                "latest": {kind: [last.seq, digest(last.raw)] for kind, last in subscriber.latest.items()},
                "longest_pause_s": longest_s,
            }
        )


def by_kind(missed: Mapping[str, int]) -> dict[str, int]:
    return {topic.rpartition("/")[2]: number for topic, number in missed.items()}


def raw(endpoint: str, sockets: int, seed: int) -> None:
    """Readers without manners. A stalled one is not read for seconds; a dying one is closed with its queue full."""
    chance = random.Random(seed)
    context = zmq.Context()

    def join() -> zmq.Socket[bytes]:
        reader = context.socket(zmq.SUB)
        reader.setsockopt(zmq.RCVHWM, chance.choice([1, 10, 1000]))
        reader.setsockopt(zmq.RCVBUF, chance.choice([8192, 1 << 20]))
        reader.setsockopt(zmq.LINGER, 0)
        reader.connect(endpoint)
        reader.subscribe(chance.choice([b"", b"spoton/1/", b"spoton/1/lobby/tracks"]))
        return reader

    readers = [join() for _ in range(sockets)]
    say({"stands": True})
    stalled_until_s = [0.0] * sockets
    while True:
        now_s = time.monotonic()
        at = chance.randrange(sockets)
        if chance.random() < 0.1:
            readers[at].close()
            readers[at] = join()
        elif chance.random() < 0.1:
            stalled_until_s[at] = now_s + chance.uniform(0.1, 20)
        for reader, until_s in zip(readers, stalled_until_s, strict=True):
            if now_s >= until_s:
                for _ in range(4):
                    try:
                        reader.recv_multipart(zmq.DONTWAIT)
                    except zmq.Again:
                        break
        time.sleep(0.03)


def digest(payload: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "publish":
        publish(float(arguments[0]), int(arguments[1]))
    elif role == "check":
        check(*arguments)
    else:
        raw(arguments[0], int(arguments[1]), int(arguments[2]))

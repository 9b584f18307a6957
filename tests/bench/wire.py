"""What a message costs: arrays to bytes, bytes to a raw reader, bytes to typed messages. One core, CPU time.

python -m tests.bench.wire
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from spoton_edge.messages import decoder, parse
from spoton_edge.publisher import Publisher
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, people, status

ROUNDS = 41
CALLS = 50
MESSAGES = 20_000
READER = """
import sys, time, zmq
reader = zmq.Context().socket(zmq.SUB)
reader.setsockopt(zmq.RCVHWM, 0)
reader.connect(sys.argv[1])
reader.subscribe(b"spoton/1/")
count = first = 0
while True:
    name, payload = reader.recv_multipart()
    if name.endswith(b"/status"):
        print(count, last - first, flush=True)
        break
    last = time.monotonic()
    first = first or last
    count += 1
"""


def alternating(*calls: Callable[[], Any]) -> list[float]:
    """Median microseconds of CPU a call, measured in turns so that a noisy neighbour hits all alike."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, spent, strict=True):
            start_ns = time.thread_time_ns()
            for _ in range(CALLS):
                call()
            times.append((time.thread_time_ns() - start_ns) / CALLS / 1e3)
    return [float(np.median(times)) for times in spent]


def main() -> None:
    """Print the figures."""
    crowd = people(40, 4)
    by, by_msgpack = encoder(), encoder(encoding="msgpack")

    def encode() -> bytes:
        return by.tracks(crowd, CAMERA_NUMBERS, CAPTURED_NS, 12.3).payload(1)

    ready = orjson.loads(encode())
    ours, theirs, packed = alternating(
        encode,
        lambda: orjson.dumps(ready),
        lambda: by_msgpack.tracks(crowd, CAMERA_NUMBERS, CAPTURED_NS, 12.3).payload(1),
    )
    print(f"40 tracks, 160 views, {len(encode())} bytes: arrays to JSON {ours:.1f} us, to msgpack {packed:.1f} us")
    print(f"  orjson.dumps of the ready map {theirs:.1f} us; ratio {ours / theirs:.2f} (reach: at most 3)")

    decode = decoder()
    single = by.tracks(people(40), CAMERA_NUMBERS, CAPTURED_NS, 12.3).payload(1)
    full = encode()
    typed, typed_full, plain = alternating(
        lambda: parse(decode(single)), lambda: parse(decode(full)), lambda: orjson.loads(single)
    )
    print(f"reading 40 one-view tracks: typed {typed:.1f} us ({1e6 / typed:.0f}/s), orjson.loads {plain:.1f} us")
    print(f"reading 40 four-view tracks: typed {typed_full:.1f} us ({1e6 / typed_full:.0f}/s)")
    deliver()


def deliver() -> None:
    """Send 40 one-view tracks to one raw reader in another process, as fast as it takes them."""
    by = encoder()
    crowd = people(40)
    with Publisher(by, ["tcp://127.0.0.1:0"]) as publisher:
        with subprocess.Popen(
            [sys.executable, "-c", READER, publisher.endpoints[0]], stdout=subprocess.PIPE, text=True
        ) as reader:
            while not publisher.delivery().subscriptions:
                time.sleep(0.01)
            start_s, cpu_ns = time.monotonic(), time.thread_time_ns()
            for number in range(MESSAGES):
                publisher.publish(by.tracks(crowd, CAMERA_NUMBERS, CAPTURED_NS, 1.0))
                # 5,000 a second: faster than the reach of 4,000.
                time.sleep(max(0.0, start_s + number / 5000 - time.monotonic()))
            sent_s = time.monotonic() - start_s
            cpu_us = (time.thread_time_ns() - cpu_ns) / MESSAGES / 1e3
            time.sleep(0.5)
            publisher.publish(by.status(status(), publisher.delivery()))
            assert reader.stdout is not None
            count, wall_s = reader.stdout.read().split()
        delivery = publisher.delivery()
    rate = int(count) / float(wall_s)
    print(f"one raw reader: {MESSAGES} sent in {sent_s:.2f} s, {count} read at {rate:.0f}/s (reach: 4000)")
    print(f"  lost to the backlog {delivery.overflowed}, queue full {delivery.late} times")
    print(f"  encode and publish in the caller's thread: {cpu_us:.1f} us of CPU a message")


if __name__ == "__main__":
    main()

"""Sends random and mutated messages to every endpoint of a daemon, and fails if anything comes of it.

    python -m tests.e2e.fuzz [MESSAGES [SEED]]

Some go through ZeroMQ sockets, as messages; the rest through plain TCP, as bytes of the protocol below (ZMTP 3.1).
"""

from __future__ import annotations

import gc
import json
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from spoton_edge import keys
from spoton_edge.client import Missed, Subscriber
from spoton_edge.control import ControlServer, ask
from spoton_edge.preview import Preview
from spoton_edge.publisher import Publisher
from spoton_edge.types import FrameBatch
from tests.messages import CAMERA_NUMBERS, CAMERAS, CAPTURED_NS, encoder, people, site
from tests.process import descriptors, resident_bytes
from tests.waiting import until

EACH = 40  # messages by one connection; more would only be refused
GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x01%s" + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(192)
SEEDS = [
    b'["snapshot", 1]',
    b'["picture", 1]',
    b'{"verb": "status"}',
    b'{"verb": "explain", "id": 7}',
    b"\x01spoton/1/",
    b"\x00spoton/1/lobby/tracks",
    b"",
]


def mutated(chance: random.Random, seed: bytes) -> bytes:
    """A seed that was cut, repeated, overwritten or extended, a few times."""
    message = bytearray(seed)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(5):
            case 0:
                del message[at : at + chance.randrange(8)]
            case 1:
                message[at:at] = chance.randbytes(chance.randrange(16))
            case 2:
                message[at:at] = message[:at] * chance.randrange(3)
            case 3 if at < len(message):
                message[at] = chance.randrange(256)
            case 4:
                message[at:at] = chance.choice([b"[", b"{", b'"', b"\\u0000", b"1e999", b"\xff"]) * chance.randrange(50)
    if chance.random() < 0.01:
        message *= chance.randrange(200)
    return bytes(message)


def by_zeromq(chance: random.Random, endpoint: str, kind: int) -> int:
    """Whole messages, as a client would send them that has lost its mind."""
    context = zmq.Context()
    sender = context.socket(kind)
    sender.setsockopt(zmq.SNDTIMEO, 1000)
    sender.setsockopt(zmq.LINGER, 200)
    sender.connect(endpoint)
    sent = 0
    try:
        for _ in range(EACH):
            frames = [mutated(chance, chance.choice(SEEDS)) for _ in range(chance.choice([1, 1, 1, 2, 3, 9]))]
            sender.send_multipart(frames)
            sent += 1
    except zmq.Again:
        pass
    finally:
        context.destroy(linger=200)
    return sent


def by_tcp(chance: random.Random, endpoint: str) -> int:
    """The bytes of a handshake and of a few frames, mutated at any place; sometimes left unfinished and open."""
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    mechanism = chance.choice([b"NULL", b"CURVE", b"PLAIN"]).ljust(20, b"\0")
    parts = [GREETING % mechanism, READY if mechanism[:4] == b"NULL" else HELLO]
    for _ in range(EACH):
        body = mutated(chance, chance.choice(SEEDS))
        flags = chance.choice([0, 0, 0, 1, 4, chance.randrange(256)])
        size = len(body) if chance.random() < 0.9 else chance.randrange(256)
        long = chance.random() < 0.05
        parts.append(bytes([flags | 2]) + chance.randbytes(8) if long else bytes([flags, size & 255]) + body)
    if chance.random() < 0.5:
        at = chance.randrange(len(parts))
        parts[at] = mutated(chance, parts[at])
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(1)
        try:
            for at, part in enumerate(parts):
                connection.sendall(part)
                if at == 1:
                    connection.recv(4096)  # libzmq bears no frames before its own part of the handshake is sent
        except OSError:
            pass  # shown the door
    return EACH


def endpoints(publishers: list[Publisher], preview: str, control: str) -> Iterator[tuple[str, int]]:
    """Every endpoint, and a kind of socket that may talk to it."""
    for publisher in publishers:
        for endpoint in publisher.endpoints:
            yield endpoint, zmq.XSUB
        yield str(publisher.snapshot_endpoint), zmq.DEALER
    yield preview, zmq.XSUB
    yield control, zmq.DEALER


def run(messages: int, seed: int = 0) -> dict[str, Any]:
    """Sends at least so many messages, all endpoints in turn, while good subscribers read and one looks at a camera.

    Returns what was sent by endpoint, and memory and descriptors before and after.
    """
    chance = random.Random(seed)
    by = encoder()
    local = "tcp://127.0.0.1:0"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        key = keys.new(Path(folder) / "keys", "good", Path(folder) / "good.key")
        plain = stack.enter_context(Publisher(by, [local, f"ipc://{folder}/messages"], snapshot=local))
        closed = stack.enter_context(Publisher(by, [local], snapshot=local, keys=keys.load(Path(folder) / "keys")))
        handlers = {"status": lambda: "good", "explain": lambda id: [str(id)]}  # noqa: A006
        control = stack.enter_context(ControlServer(f"ipc://{folder}/control.sock", handlers))
        readers = [
            stack.enter_context(Subscriber(plain.endpoints[0], snapshot=plain.snapshot_endpoint)),
            stack.enter_context(Subscriber(closed.endpoints[0], snapshot=closed.snapshot_endpoint, key=key)),
        ]
        pictures = stack.enter_context(Preview(by, CAMERAS, local))
        context = stack.enter_context(zmq.Context())
        onlooker = stack.enter_context(context.socket(zmq.SUB))
        onlooker.connect(pictures.endpoint)
        onlooker.subscribe(f"spoton/1/lobby/preview/{CAMERAS[0]}")
        until(lambda: pictures.wanted, "the onlooker is known")
        seqs = [0, 0]
        image = np.zeros((90, 160, 3), np.uint8)
        numbers = np.zeros(1, np.int64)

        def publish_and_read() -> None:
            for publisher, reader, at in zip((plain, closed), readers, range(2), strict=True):
                seq = publisher.publish(by.tracks(people(5), CAMERA_NUMBERS, CAPTURED_NS, 1.0))
                while seqs[at] < seq:
                    message = reader.receive(30)
                    assert message is not None, "a good subscriber hears nothing any more"
                    assert not isinstance(message, Missed), "a good subscriber missed something"
                    seqs[at] = message.seq if message.kind == "tracks" else seqs[at]
            numbers[:] += 1
            pictures.offer(FrameBatch(np.zeros(1, np.int16), numbers, numbers * 10**9, [image]))
            assert onlooker.poll(30_000), "a good onlooker sees nothing any more"
            onlooker.recv_multipart()

        for publisher, reader in zip((plain, closed), readers, strict=True):
            publisher.publish(by.site(site()))
            while not reader.whole:
                reader.receive(0.05)
        sent: Counter[str] = Counter()
        targets = list(endpoints([plain, closed], pictures.endpoint, control.endpoint))
        # What every kind of attack leaves behind once (thread stacks, arenas) is no leak.
        for warm_up in range(2 * len(targets)):
            attack(chance, targets[warm_up % len(targets)], sent)
        publish_and_read()
        before = {"resident_bytes": resident_bytes(), "descriptors": descriptors()}
        turn = 0
        while sent.total() < messages:
            attack(chance, targets[turn % len(targets)], sent)
            turn += 1
            if turn % 10 == 0:
                publish_and_read()
        publish_and_read()
        for publisher, reader in zip((plain, closed), readers, strict=True):
            deadline_s = time.monotonic() + 30
            while publisher.delivery().connections > 2:  # the reader's; until the last of the attackers is gone
                assert time.monotonic() < deadline_s, f"connections that nobody has: {publisher.delivery()}"
                reader.receive(0.05)
        assert ask(control.endpoint, "explain", id=5) == ["5"]
        gc.collect()
        return {
            "sent": dict(sent),
            "refused": plain.delivery().refused + closed.delivery().refused,
            "before": before,
            "after": {"resident_bytes": resident_bytes(), "descriptors": descriptors()},
        }


def attack(chance: random.Random, target: tuple[str, int], sent: Counter[str]) -> None:
    endpoint, kind = target
    if endpoint.startswith("tcp://") and chance.random() < 0.5:
        sent[endpoint] += by_tcp(chance, endpoint)
    else:
        sent[endpoint] += by_zeromq(chance, endpoint, kind)


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:3])) if sys.argv[1:] else run(100_000), indent=2))

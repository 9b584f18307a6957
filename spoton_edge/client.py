"""Reads what a SpotOn Edge daemon publishes. Needs pyzmq and the standard library only.

    from spoton_edge.client import Subscriber

    with Subscriber("tcp://127.0.0.1:5591") as subscriber:
        for message in subscriber:
            if message.kind == "tracks":
                for person in message.tracks:
                    print(person.id, person.x, person.y)

A subscriber asks the snapshot endpoint for the state when it joins, when it sees a gap in the sequence numbers and when
the daemon was restarted, so that it is whole again; what it lost it says (`Missed`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import zmq

from spoton_edge.feed import KINDS, Feed
from spoton_edge.messages import (
    Event,
    Identities,
    Json,
    Message,
    Missed,
    Site,
    Status,
    Track,
    Tracks,
    View,
    decoder,
    parse,
)

__all__ = [
    "AsyncSubscriber",
    "Event",
    "Identities",
    "Message",
    "Missed",
    "Site",
    "Status",
    "Subscriber",
    "Track",
    "Tracks",
    "View",
]

HIGH_WATER = 1000  # messages read ahead of the program; beyond, they wait in the daemon, and then are lost
ASK_SNAPSHOT = b'["snapshot", 1]'


def snapshot_endpoint(endpoint: str) -> str:
    """Where snapshots are served by convention: the next port, or the same path with `-snapshot`."""
    host, _, port = endpoint.rpartition(":")
    return f"{host}:{int(port) + 1}" if port.isdecimal() else f"{endpoint}-snapshot"


def read_key_file(path: str | Path, names: Collection[str] = ("server", "public", "secret")) -> dict[str, str]:
    """The keys in a file made by `spoton-edge keys new`, by name.

    Raises:
        OSError: the file cannot be read.
        ValueError: a key is not in it.
    """
    lines = Path(path).read_text(errors="replace").splitlines()
    keys = {name.strip(): value.strip() for name, equals, value in (line.partition(" = ") for line in lines) if equals}
    for name in names:
        if len(keys.get(name, "").encode()) != 40:
            raise ValueError(f"{path}: no {name} key of 40 characters; make a new file with: spoton-edge keys new")
    return {name: keys[name] for name in names}


class _Reader:
    """What both subscribers have in common: two sockets and a feed."""

    def __init__(
        self,
        endpoint: str,
        *,
        snapshot: str | None = None,
        kinds: Collection[str] = KINDS,
        site: str | None = None,
        key: str | Path | None = None,
        identities: str | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.unreadable = 0
        self._site_id: dict[tuple[str, int], int] = {}  # by run and id
        self._keys = None if key is None else read_key_file(key)
        self._feed = Feed(kinds)
        self._decode = decoder()
        self._ready: deque[Message | Missed] = deque()
        self._context = zmq.Context()
        try:
            self._sub = self._connect(zmq.SUB, endpoint)
            # Status is read even where it is not wanted: it says how far the other topics are.
            for prefix in ["spoton/1/"] if site is None else [f"spoton/1/{site}/{kind}" for kind in {*kinds, "status"}]:
                self._sub.setsockopt_string(zmq.SUBSCRIBE, prefix)
            self._dealer = self._connect(zmq.DEALER, snapshot or snapshot_endpoint(endpoint))
            self._identities = None if identities is None else self._connect(zmq.SUB, identities, keyed=False)
            if self._identities is not None:
                name = "spoton/1/" if site is None else f"spoton/1/{site}/identities"
                self._identities.setsockopt_string(zmq.SUBSCRIBE, name)
        except zmq.ZMQError as error:
            self.close()
            raise ValueError(f"cannot connect to {endpoint}: {error.strerror}; write tcp://ADDRESS:PORT") from None

    @property
    def latest(self) -> dict[str, Message]:
        """The newest message of each kind."""
        return self._feed.latest

    @property
    def missed(self) -> Counter[str]:
        """By topic, how many messages were lost."""
        return self._feed.missed

    @property
    def whole(self) -> bool:
        """Whether the state held is the daemon's: false between a loss and the snapshot that mends it."""
        return self._feed.whole

    def close(self) -> None:
        """Disconnects."""
        self._context.destroy(linger=0)

    @property
    def _sockets(self) -> list[zmq.Socket[bytes]]:
        return [found for found in (self._sub, self._dealer, self._identities) if found is not None]

    def _connect(self, kind: int, endpoint: str, *, keyed: bool = True) -> zmq.Socket[bytes]:
        connected = self._context.socket(kind)
        if self._keys is not None and keyed:
            connected.setsockopt_string(zmq.CURVE_SERVERKEY, self._keys["server"])
            connected.setsockopt_string(zmq.CURVE_PUBLICKEY, self._keys["public"])
            connected.setsockopt_string(zmq.CURVE_SECRETKEY, self._keys["secret"])
        connected.setsockopt(zmq.RCVHWM, HIGH_WATER)
        if kind == zmq.DEALER:  # subscriptions count as sent, too: beyond a high-water mark libzmq drops them silently
            connected.setsockopt(zmq.SNDHWM, 2)
        connected.setsockopt(zmq.RECONNECT_IVL, 100)
        connected.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        connected.connect(endpoint)
        return connected

    def _read(self) -> bool:
        """Takes in what has come, until there is something to deliver; asks for a snapshot when it is time."""
        while not self._ready:
            if self._feed.wait_s() == 0:
                with contextlib.suppress(zmq.Again):  # requests wait for the connection already
                    self._dealer.send(ASK_SNAPSHOT, zmq.DONTWAIT)
                self._feed.asked()
            frames = None if self._identities is None else _receive(self._identities)
            if frames is not None:
                self._take(frames, self._hear_identities, [])
                continue
            frames = _receive(self._sub)
            if frames is not None:
                self._take(frames, self._feed.hear, [frames[0].decode(errors="replace")])
                continue
            frames = _receive(self._dealer)
            if frames is None:
                return False
            self._take(frames, self._feed.mend, [])
        return True

    def _take(self, frames: list[bytes], feed: Callable[..., Iterator[Message | Missed]], names: list[str]) -> None:
        try:
            for message in feed(*names, self._decode(frames[-1])):
                self._ready.append(self._joined(message) if self._site_id else message)
        except (AttributeError, KeyError, TypeError, ValueError):
            self.unreadable += 1

    def _hear_identities(self, payload: Json) -> Iterator[Message | Missed]:
        """The whole state each time, so that nothing of it can be missed for long."""
        message = parse(payload)
        if isinstance(message, Identities):
            self._site_id = {(row.run, row.id): row.site_id for row in message.identities}
            self._feed.latest[message.kind] = message
            yield message

    def _joined(self, message: Message | Missed) -> Message | Missed:
        """Tracks with the ids that people have on the site."""
        if not isinstance(message, Tracks):
            return message
        known = [replace(track, site_id=self._site_id.get((message.run, track.id))) for track in message.tracks]
        message = replace(message, tracks=tuple(known))
        self._feed.latest[message.kind] = message
        return message

    def _wait_s(self, deadline_s: float | None) -> float | None:
        """Seconds until something is due; negative: the deadline has passed; None: nothing ever is."""
        left_s = None if deadline_s is None else deadline_s - time.monotonic()
        if left_s is not None and left_s < 0:
            return left_s
        return min((wait for wait in (left_s, self._feed.wait_s()) if wait is not None), default=None)


def _receive(zmq_socket: zmq.Socket[bytes]) -> list[bytes] | None:
    try:
        return zmq_socket.recv_multipart(zmq.DONTWAIT)
    except zmq.Again:
        return None


class Subscriber(_Reader):
    """An endless iterator of messages.

    Args:
        endpoint: one of the daemon's `publish.bind`.
        snapshot: its `publish.snapshot`; default: the port after the endpoint's.
        kinds: the kinds of message wanted.
        site: only this site's, where the endpoint carries several.
        key: the key file, where the daemon asks for one.
        identities: where the box's uplink tells who is whom on the site (`uplink.identities`): tracks have `site_id`
            then, and `Identities` are delivered as well.

    Attributes:
        unreadable: payloads that were no message of version 1.

    Raises:
        ValueError: not an endpoint, or no keys in the key file.
        OSError: the key file cannot be read.
    """

    def receive(self, timeout_s: float | None = None) -> Message | Missed | None:
        """The next message, or None if there is none within `timeout_s` (None: wait for ever)."""
        poller = zmq.Poller()
        for zmq_socket in self._sockets:
            poller.register(zmq_socket, zmq.POLLIN)
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._read():
            wait_s = self._wait_s(deadline_s)
            if wait_s is not None and wait_s < 0:
                return None
            poller.poll(None if wait_s is None else int(wait_s * 1000) + 1)
        return self._ready.popleft()

    def __iter__(self) -> Iterator[Message | Missed]:
        while True:
            message = self.receive()
            if message is not None:
                yield message

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSubscriber(_Reader):
    """The same for asyncio: `async for message in AsyncSubscriber(...)`. Needs a loop that watches file descriptors."""

    async def receive(self, timeout_s: float | None = None) -> Message | Missed | None:
        """The next message, or None if there is none within `timeout_s` (None: wait for ever)."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._read():
            wait_s = self._wait_s(deadline_s)
            if wait_s is not None and wait_s < 0:
                return None
            await self._readable(wait_s)
        return self._ready.popleft()

    async def __aiter__(self) -> AsyncIterator[Message | Missed]:
        while True:
            message = await self.receive()
            if message is not None:
                yield message

    async def __aenter__(self) -> AsyncSubscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _readable(self, timeout_s: float | None) -> None:
        # A ZeroMQ descriptor stays readable until the socket is read, and _read() reads both to the end.
        loop = asyncio.get_running_loop()
        signal = asyncio.Event()
        numbers = [int(zmq_socket.getsockopt(zmq.FD)) for zmq_socket in self._sockets]
        for number in numbers:
            loop.add_reader(number, signal.set)
        try:
            async with asyncio.timeout(timeout_s):
                await signal.wait()
        except TimeoutError:
            pass
        finally:
            for number in numbers:
                loop.remove_reader(number)

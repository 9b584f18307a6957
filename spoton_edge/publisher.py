"""Sends messages and serves snapshots, in a thread of its own: whatever subscribers do, the pipeline never waits.

A message goes through a short queue to the thread and from there to a queue for each subscriber inside libzmq, bounded
by the high-water mark. A subscriber that reads too slowly loses the newest messages once its queue is full (`late`),
until it has read half of it; the sequence numbers tell it what it lost, and a snapshot makes it whole. The others
notice nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

import zmq

from spoton_edge.door import Door, Limits, caller
from spoton_edge.endpoints import bind as bind_endpoint
from spoton_edge.endpoints import remove_file
from spoton_edge.endpoints import unbind as unbind_endpoint
from spoton_edge.errors import PublishError
from spoton_edge.keys import Judge, Keys
from spoton_edge.types import Delivery
from spoton_edge.wire import Encoder, Message, topic

HIGH_WATER = 300  # messages queued for one subscriber: ten seconds at 30 Hz; all queues share the same bytes
BACKLOG = 200  # messages on their way to the thread: fewer, so that a burst does not fill the queue of a good reader
SEND_BUFFER_BYTES = 1 << 19  # the kernel's, for one subscriber: left to itself it would grow to megabytes for each
# Who came, who left and who sends too much can wait, and every waking costs more than what there is to do: housekeeping
# follows a message, though not every one of a burst, and wakes the thread by itself only where no message comes.
HOUSEKEEPING_S = 0.02
LONGEST_WAIT_S = 0.05
SWEPT = 32  # connections looked at each time, so that none delays a message: even of 256 each has its turn in 0.4 s
REBIND_S = 5.0
REQUEST_BYTES = 65536  # a reply costs one request, and one more for each so many bytes


class _Outgoing(NamedTuple):
    kind: str
    topic: bytes
    seq: int
    payload: bytes


class _Rebinding(NamedTuple):
    bind: list[str]
    snapshot: list[str]
    done: Future[None]


class Publisher:
    """Binds at once, sends until closed. `publish` and `delivery` may be called from any thread.

    Args:
        encoder: of this run; used for the snapshot's envelope.
        bind: endpoints of the messages, tcp or ipc; port 0 or * takes any.
        snapshot: endpoint of the snapshots, or none.
        picture: the floor picture's file, as it is.
        keys: encrypt the tcp endpoints, and let in those on the list only; ipc is guarded by its file's permissions.
        limits: what subscribers may send.
        high_water: messages queued for one subscriber; it loses those beyond.

    Raises:
        PublishError: an endpoint cannot be bound; nothing stays bound then.
    """

    def __init__(
        self,
        encoder: Encoder,
        bind: Sequence[str],
        *,
        snapshot: str | None = None,
        picture: bytes | None = None,
        keys: Keys | None = None,
        limits: Limits | None = None,
        high_water: int = HIGH_WATER,
    ) -> None:
        self._limits = limits or Limits()
        self.encoder = encoder
        self.picture = picture
        self._context = zmq.Context()
        self._bound: tuple[dict[str, str], dict[str, str]] = ({}, {})  # real by given, of messages and of snapshots
        try:
            self._judge = Judge(self._context, keys)
            self._xpub = self._context.socket(zmq.XPUB)
            self._xpub_door = Door(self._xpub, self._limits)
            self._xpub.setsockopt(zmq.SNDHWM, high_water)
            self._xpub.setsockopt(zmq.SNDBUF, SEND_BUFFER_BYTES)
            self._xpub.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription is told, not only the first
            self._xpub.setsockopt(zmq.XPUB_NODROP, 1)  # a full queue is reported, and counted
            self._router = self._context.socket(zmq.ROUTER)
            self._router_door = Door(self._router, self._limits)
            self._router.setsockopt(zmq.SNDHWM, 4)
            snapshots = [snapshot] if snapshot else []
            self._bound[0].update(self._bind(self._xpub, self._xpub_door, bind, "publish.bind"))
            self._bound[1].update(self._bind(self._router, self._router_door, snapshots, "publish.snapshot"))
        except BaseException:
            self._release(linger_ms=0)
            raise
        self._lock = threading.Lock()
        self._queue: deque[_Outgoing] = deque()
        self._counts: Counter[str] = Counter()  # by kind, under the lock
        self._latest: dict[str, _Outgoing] = {}  # by kind, the thread's
        self._snapshot: bytes | None = None  # of _latest, until it changes
        self._delivery = Delivery()
        self._late = self._overflowed = self._snapshots = 0
        self._admitting: Keys | None = None  # a list that the thread has yet to take
        self.tracks_sent = 0  # messages of that kind that the thread has handed to the socket
        self._rebinding: _Rebinding | None = None  # endpoints that the thread has yet to take
        self._stopping = False
        self._failure: BaseException | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    @property
    def endpoints(self) -> list[str]:
        """Where messages can be had; a port 0 or * is the one that was chosen."""
        return list(self._bound[0].values())

    @property
    def snapshot_endpoint(self) -> str | None:
        """Where snapshots can be had."""
        return next(iter(self._bound[1].values()), None)

    def publish(self, message: Message) -> int:
        """Queues a message and returns the sequence number it got. Never blocks.

        Raises:
            RuntimeError: the publisher is closed, or its thread failed.
        """
        with self._lock:
            if self._stopping or self._failure is not None:
                raise RuntimeError("the publisher has stopped") from self._failure
            self._counts[message.kind] += 1
            seq = self._counts[message.kind]
            name = topic(self.encoder.site_name, message.kind)
            if len(self._queue) >= BACKLOG:
                self._queue.popleft()
                self._overflowed += 1
            self._queue.append(_Outgoing(message.kind, name, seq, message.payload(seq)))
        with contextlib.suppress(OSError):  # closed meanwhile
            os.eventfd_write(self._wake, 1)
        return seq

    def admit(self, keys: Keys) -> None:
        """Takes a new list of subscribers; those no longer on it lose their connections. Without `keys` at the start
        there is no encryption to add."""
        with self._lock:
            self._admitting = keys
            os.eventfd_write(self._wake, 1)

    def rebind(self, bind: Sequence[str], snapshot: str | None) -> None:
        """Listen on other endpoints; connections to those that stay go on, the others end. Waits until it is done.

        Raises:
            PublishError: one cannot be bound; everything is as it was then.
            RuntimeError: the publisher is closed, or its thread failed.
        """
        asked = _Rebinding(list(bind), [snapshot] if snapshot else [], Future())
        with self._lock:
            if self._stopping or self._failure is not None:
                raise RuntimeError("the publisher has stopped") from self._failure
            self._rebinding = asked
            os.eventfd_write(self._wake, 1)
        asked.done.result(timeout=REBIND_S)

    def delivery(self) -> Delivery:
        """How it fares, as of a moment ago; `sent` as of now."""
        with self._lock:
            return replace(self._delivery, sent=dict(self._counts))

    def close(self) -> None:
        """Sends what is queued, at most for a quarter of a second, and releases the endpoints."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bind(self, zmq_socket: zmq.Socket[bytes], door: Door, endpoints: Sequence[str], key: str) -> dict[str, str]:
        """The real endpoints by those given. Raises PublishError, with none of them bound."""
        real: dict[str, str] = {}
        try:
            for endpoint in dict.fromkeys(endpoints):
                self._judge.guard(zmq_socket, endpoint)  # an endpoint keeps the options of when it was bound
                real[endpoint] = bind_endpoint(zmq_socket, endpoint, key)
        except PublishError:
            for bound in real.values():
                unbind_endpoint(zmq_socket, bound)
            raise
        for bound in real.values():
            door.opened(bound)
        return real

    def _rebind(self) -> None:
        """Take the endpoints that were asked for: first those that are new, which can fail."""
        with self._lock:
            asked, self._rebinding = self._rebinding, None
        if asked is None:
            return
        wanted = (
            (self._xpub, self._xpub_door, self._bound[0], asked.bind, "publish.bind"),
            (self._router, self._router_door, self._bound[1], asked.snapshot, "publish.snapshot"),
        )
        fresh: list[dict[str, str]] = []
        try:
            for zmq_socket, door, bound, given, key in wanted:
                fresh.append(self._bind(zmq_socket, door, [name for name in given if name not in bound], key))
        except PublishError as error:
            for (zmq_socket, *_), new in zip(wanted, fresh, strict=False):
                for endpoint in new.values():
                    unbind_endpoint(zmq_socket, endpoint)
            asked.done.set_exception(error)
            return
        for (zmq_socket, _, bound, given, _), new in zip(wanted, fresh, strict=True):
            for name in [name for name in bound if name not in given]:
                unbind_endpoint(zmq_socket, bound.pop(name))
            bound |= new
        asked.done.set_result(None)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # publish() reports it
            self._failure = error
        finally:
            self._xpub_door.close()
            self._router_door.close()
            self._release(linger_ms=250)

    def _release(self, linger_ms: int) -> None:
        for bound in self._bound:
            for endpoint in bound.values():
                remove_file(endpoint)
        self._context.destroy(linger=linger_ms)

    def _serve(self) -> None:
        urgent, everything = zmq.Poller(), zmq.Poller()
        for waited_for in (self._wake, self._judge.socket, self._router):
            urgent.register(waited_for, zmq.POLLIN)
            everything.register(waited_for, zmq.POLLIN)
        for door in (self._xpub_door, self._router_door):
            everything.register(door.monitor, zmq.POLLIN)
        kept_s = 0.0  # when the house was kept last
        while not self._stopping or self._queue:
            if self._connections() or self._delivery.connections:
                left_s = max(0.0, kept_s + LONGEST_WAIT_S - time.monotonic())
                ready = dict(urgent.poll(math.ceil(1000 * left_s)))
            else:
                ready = dict(everything.poll())  # nobody to look after: the first who comes is told by a monitor
            if self._wake in ready:
                os.eventfd_read(self._wake)
                self._send_queued()
                self._take_list()
                self._rebind()
            if self._judge.socket in ready:
                self._judge.answer()
            if self._router in ready:
                self._answer_requests()
            somebody_came = self._xpub_door.monitor in ready or self._router_door.monitor in ready
            if somebody_came or time.monotonic() >= kept_s + HOUSEKEEPING_S:
                # What is left over comes after another look at the messages, and not a moment later.
                kept_s = time.monotonic() if self._keep_house() else 0.0

    def _keep_house(self) -> bool:
        """Whether all is done."""
        self._xpub_door.watch()
        self._router_door.watch()
        all_heard = self._hear_subscriptions()
        self._xpub_door.sweep(SWEPT)
        self._router_door.sweep(SWEPT)
        self._account()
        return all_heard

    def _take_list(self) -> None:
        with self._lock:
            keys, self._admitting = self._admitting, None
        if keys is not None:
            self._judge.keys = keys
            for door in (self._xpub_door, self._router_door):
                door.admit_only({None, *keys.allowed})

    def _send_queued(self) -> None:
        while self._queue:
            with self._lock:
                outgoing = self._queue.popleft()
            self._send(outgoing.topic, outgoing.payload)
            self.tracks_sent += outgoing.kind == "tracks"
            self._latest[outgoing.kind] = outgoing
            self._snapshot = None

    def _send(self, name: bytes, payload: bytes) -> None:
        try:
            self._xpub.send(name, zmq.DONTWAIT | zmq.SNDMORE)
        except zmq.Again:
            # A queue is full. Now without asking: those that have room get it, the full ones are passed over.
            self._late += 1
            self._xpub.setsockopt(zmq.XPUB_NODROP, 0)
            self._xpub.send(name, zmq.DONTWAIT | zmq.SNDMORE)
            self._xpub.send(payload, zmq.DONTWAIT)
            self._xpub.setsockopt(zmq.XPUB_NODROP, 1)
        else:
            self._xpub.send(payload, zmq.DONTWAIT)

    def _hear_subscriptions(self) -> bool:
        """Whether that was all of them."""
        for _ in range(64):  # then messages come first again
            try:
                frame = self._xpub.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return True
            who = caller(frame, keyed=self._judge.keys is not None)
            if who is not None:
                self._xpub_door.subscribe(who, frame.bytes)
        return False

    def _answer_requests(self) -> None:
        self._router_door.watch()  # a number may be another's by now
        for _ in range(8):  # then messages come first again
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            reply = self._reply(frames[-1].bytes)
            who = caller(frames[-1], keyed=self._judge.keys is not None)
            if who is not None and self._router_door.ask(who, 1 + len(reply) // REQUEST_BYTES):
                # Identity and, from a REQ socket, the empty delimiter go back as they came.
                self._router.send_multipart([*(frame.bytes for frame in frames[:2][: len(frames) - 1]), reply])

    def _reply(self, request: bytes) -> bytes:
        """The snapshot, the picture (empty: there is none) or, to what is neither, an error that says what to ask."""
        try:
            wanted = json.loads(request)
        except (ValueError, RecursionError):
            wanted = None
        if wanted == ["snapshot", 1]:
            self._snapshots += 1
            if self._snapshot is None:
                latest = self._latest
                self._snapshot = self.encoder.snapshot(
                    {outgoing.topic.decode(): outgoing.seq for outgoing in latest.values()},
                    {kind: outgoing.payload for kind, outgoing in latest.items()},
                )
            return self._snapshot
        if wanted == ["picture", 1]:
            return self.picture or b""
        return b'{"error":"ask [\\"snapshot\\", 1] or [\\"picture\\", 1]"}'

    def _connections(self) -> int:
        return self._xpub_door.connections + self._router_door.connections

    def _account(self) -> None:
        doors = (self._xpub_door, self._router_door)
        self._delivery = Delivery(
            connections=self._connections(),
            subscriptions=self._xpub_door.subscriptions,
            late=self._late,
            overflowed=self._overflowed,
            refused=sum(door.refused for door in doors),
            snapshots=self._snapshots,
        )

"""Who may stay connected: bounds on what subscribers send, since libzmq has none of its own.

A connection is known by its file descriptor, which libzmq tells of in its monitor events and with every frame received.
Closing it from outside (shutdown) is safe: libzmq sees the end of a stream, and an honest client connects again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

import zmq

_EVENT = struct.Struct("=HI")
_ACCEPTED = int(zmq.Event.ACCEPTED)
_TCP_INFO_RECEIVED = struct.Struct("=128xQ")  # tcpi_bytes_received, Linux 4.1 and later


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket bears from its peers; beyond it the connection is closed and counted."""

    connections: int = 256
    frame_bytes: int = 1024  # a topic or a request; a CURVE handshake has 300
    topic_bytes: int = 4096  # subscriptions that a connection holds
    requests: float = 64.0  # subscriptions and snapshot requests of a connection, at once
    requests_per_s: float = 8.0  # and lastingly
    sent_bytes: float = 65536.0  # of a TCP connection, whatever they are, at once
    sent_bytes_per_s: float = 16384.0  # and lastingly
    handshake_s: float = 5.0


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float

    def take(self, amount: float, size: float, rate: float, now_s: float) -> bool:
        self.level = min(size, self.level + (now_s - self.at_s) * rate) - amount
        self.at_s = now_s
        return self.level >= 0


@dataclass(slots=True)
class _Visitor:
    connection: socket.socket | None  # our duplicate: it stays this connection even when libzmq's number is reused
    is_tcp: bool
    requests: _Bucket
    sent: _Bucket
    sent_bytes: int = 0
    user: str | None = None  # public key, by CURVE
    topics: set[bytes] = field(default_factory=set)
    topic_bytes: int = 0


class Caller(NamedTuple):
    """Whom a frame came from: the descriptor of the connection, and the public key of its user where there is one."""

    number: int
    user: str | None


def caller(frame: zmq.Frame, *, keyed: bool) -> Caller | None:
    """Whom a frame came from; None for what libzmq says in the name of a connection that has ended.

    keyed: some endpoint is encrypted. Where none is there are no users, and asking for one costs an exception.
    """
    try:
        number = int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None
    if not keyed:
        return Caller(number, None)
    try:
        return Caller(number, str(frame.get("User-Id")) or None)
    except zmq.ZMQError:
        return Caller(number, None)


class Door:
    """Watches the connections of one bound socket. Used from the thread that owns the socket.

    Args:
        zmq_socket: not bound yet.
        limits: what each connection may do.
    """

    def __init__(self, zmq_socket: zmq.Socket[bytes], limits: Limits) -> None:
        self._limits = limits
        self._visitors: dict[int, _Visitor] = {}
        self._addresses: set[int | str] = set()
        self._unswept: list[int] = []
        self._users: Container[str | None] | None = None  # None: everybody
        self._socket = zmq_socket
        zmq_socket.setsockopt(zmq.MAXMSGSIZE, limits.frame_bytes)
        zmq_socket.setsockopt(zmq.HANDSHAKE_IVL, int(limits.handshake_s * 1000))
        # A flood fills this queue faster than it empties; kept short, reading it comes to an end between two fills.
        zmq_socket.setsockopt(zmq.RCVHWM, 16)
        # Peers that vanished without a word are found after a minute.
        zmq_socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 10)
        zmq_socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
        self.monitor = zmq_socket.get_monitor_socket(zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED)
        self.refused = 0
        self.subscriptions = 0

    def opened(self, endpoint: str) -> None:
        """Takes note of an endpoint that the socket is bound to."""
        scheme, _, address = endpoint.partition("://")
        self._addresses.add(int(address.rpartition(":")[2]) if scheme == "tcp" else address)

    @property
    def connections(self) -> int:
        return len(self._visitors)

    @property
    def topics(self) -> set[bytes]:
        """What is subscribed to, whoever does."""
        return {topic for visitor in self._visitors.values() for topic in visitor.topics}

    def admit_only(self, users: Container[str | None]) -> None:
        """Closes the connections of everybody else, now and later; None stands for endpoints without encryption."""
        self._users = users
        for number, visitor in list(self._visitors.items()):
            if visitor.user not in users:
                self._refuse(number)

    def watch(self) -> None:
        """Takes in who came and who left."""
        while True:
            try:
                event = self.monitor.recv(zmq.DONTWAIT)
            except zmq.Again:
                return
            self.monitor.recv()  # the address, which comes with every event
            kind, number = _EVENT.unpack(event)
            if kind == _ACCEPTED:
                self._welcome(number)
            else:
                self._leave(number)

    def ask(self, caller: Caller, cost: float = 1.0) -> bool:
        """Whether a caller may have what costs so many requests; if not, its connection is closed."""
        number, user = caller
        visitor = self._known(number)
        if visitor is None:
            return False
        # The handshake was judged by the list of its time; a caller that is heard of only now may be off it since.
        visitor.user = user
        rate = self._limits.requests_per_s
        if (self._users is None or user in self._users) and visitor.requests.take(
            cost, self._limits.requests, rate, time.monotonic()
        ):
            return True
        self._refuse(number)
        return False

    def subscribe(self, caller: Caller, message: bytes) -> None:
        """Accounts for what an XPUB received: 1 and a topic, or 0 and a topic. Anything else is an abuse."""
        visitor = self._known(caller.number)
        if visitor is None or visitor.connection is None:  # refused, but libzmq has more of its words in store
            return
        topic = message[1:]
        if message[:1] == b"\1" and topic not in visitor.topics:
            visitor.topics.add(topic)
            visitor.topic_bytes += len(topic)
            self.subscriptions += 1
        elif message[:1] == b"\0" and topic in visitor.topics:
            visitor.topics.remove(topic)
            visitor.topic_bytes -= len(topic)
            self.subscriptions -= 1
        if message[:1] not in (b"\0", b"\1") or visitor.topic_bytes > self._limits.topic_bytes:
            self._refuse(caller.number)
        else:
            self.ask(caller)

    def sweep(self, most: int) -> None:
        """Looks at some connections, in turn, and closes those that send more than anyone needs to, whatever it is."""
        limits = self._limits
        now_s = time.monotonic()
        if not self._unswept:
            self._unswept = list(self._visitors)
        turn, self._unswept = self._unswept[:most], self._unswept[most:]
        for number in turn:
            visitor = self._visitors.get(number)
            if visitor is None or visitor.connection is None or not visitor.is_tcp:
                continue
            sent = _received(visitor.connection)
            fresh, visitor.sent_bytes = sent - visitor.sent_bytes, sent
            if not visitor.sent.take(fresh, limits.sent_bytes, limits.sent_bytes_per_s, now_s):
                self._refuse(number)

    def close(self) -> None:
        """Forgets everybody. The socket itself is its owner's to close."""
        self._socket.disable_monitor()
        for number in list(self._visitors):
            self._leave(number)

    def _welcome(self, number: int) -> None:
        self._leave(number)
        now_s = time.monotonic()
        requests, sent = _Bucket(self._limits.requests, now_s), _Bucket(self._limits.sent_bytes, now_s)
        connection = self._connection(number)
        is_tcp = connection is not None and connection.family != socket.AF_UNIX
        self._visitors[number] = _Visitor(connection, is_tcp, requests, sent)
        if len(self._visitors) > self._limits.connections:
            self._refuse(number)

    def _known(self, number: int) -> _Visitor | None:
        """Who has this number; None: somebody who has left, and whose last words are read only now."""
        if number not in self._visitors:
            self.watch()  # a newcomer's words may come to our ears before the news of it
        return self._visitors.get(number)

    def _connection(self, number: int) -> socket.socket | None:
        """A duplicate of the descriptor, if it is still a connection to this very endpoint."""
        duplicate = -1
        try:
            duplicate = os.dup(number)
            connection = socket.socket(fileno=duplicate)
        except OSError:  # closed meanwhile, and the number may be a file's by now
            if duplicate >= 0:
                os.close(duplicate)
            return None
        try:
            name = connection.getsockname()
        except OSError:
            name = None
        if (name[1] if isinstance(name, tuple) else name) in self._addresses:
            return connection
        connection.close()
        return None

    def _refuse(self, number: int) -> None:
        visitor = self._visitors[number]
        if visitor.connection is not None:
            self.refused += 1
            with contextlib.suppress(OSError):
                visitor.connection.shutdown(socket.SHUT_RDWR)
            visitor.connection.close()
            visitor.connection = None

    def _leave(self, number: int) -> None:
        visitor = self._visitors.pop(number, None)
        if visitor is None:
            return
        self.subscriptions -= len(visitor.topics)
        if visitor.connection is not None:
            visitor.connection.close()


def _received(connection: socket.socket) -> int:
    """Bytes that came in by a TCP connection; 0 where the kernel does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RECEIVED.size)
    except OSError:
        return 0
    return int(_TCP_INFO_RECEIVED.unpack(info)[0]) if len(info) == _TCP_INFO_RECEIVED.size else 0

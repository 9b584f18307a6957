import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from spoton_edge import publisher as module
from spoton_edge.client import Subscriber
from spoton_edge.door import Limits
from spoton_edge.errors import ExitCode, PublishError
from spoton_edge.publisher import Publisher
from spoton_edge.types import Delivery
from spoton_edge.wire import Message
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, handoff, people, site, status
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)

BY = encoder()
ANY = "tcp://127.0.0.1:0"


def tracks(count: int = 2) -> Message:
    return BY.tracks(people(count), CAMERA_NUMBERS, CAPTURED_NS, 1.0)


@pytest.fixture
def published() -> Iterator[Publisher]:
    with Publisher(BY, [ANY], snapshot=ANY) as publisher:
        yield publisher


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


def subscribe(context: zmq.Context[Any], endpoint: str, prefix: bytes = b"spoton/1/") -> zmq.Socket[bytes]:
    reader = context.socket(zmq.SUB)
    reader.setsockopt(zmq.RCVTIMEO, 10_000)
    reader.connect(endpoint)
    reader.subscribe(prefix)
    return reader


def delivered(publisher: Publisher, **wanted: int) -> Delivery:
    """The counters, as soon as these have reached at least these values."""

    def reached() -> bool:
        return all(getattr(publisher.delivery(), name) >= value for name, value in wanted.items())

    until(reached, lambda: f"{wanted} of {publisher.delivery()}")
    return publisher.delivery()


def ask(context: zmq.Context[Any], publisher: Publisher, request: bytes, kind: int = zmq.REQ) -> bytes:
    asker = context.socket(kind)
    asker.setsockopt(zmq.RCVTIMEO, 10_000)
    assert publisher.snapshot_endpoint is not None
    asker.connect(publisher.snapshot_endpoint)
    asker.send(request)
    return asker.recv_multipart()[-1]


def test_each_topic_is_numbered_from_one(published: Publisher, context: zmq.Context[Any]) -> None:
    reader = subscribe(context, published.endpoints[0])
    delivered(published, subscriptions=1)
    sent = [published.publish(message) for message in (tracks(), BY.event(handoff()), tracks(), BY.status(status()))]
    assert sent == [1, 1, 2, 1]
    for name, seq in [("tracks", 1), ("events", 1), ("tracks", 2), ("status", 1)]:
        topic, payload = reader.recv_multipart()
        assert topic == f"spoton/1/lobby/{name}".encode()
        assert json.loads(payload)["seq"] == seq


def test_several_endpoints_carry_the_same(context: zmq.Context[Any], tmp_path: Path) -> None:
    with Publisher(BY, [ANY, f"ipc://{tmp_path}/messages"]) as publisher:
        readers = [subscribe(context, endpoint) for endpoint in publisher.endpoints]
        delivered(publisher, subscriptions=2)
        publisher.publish(tracks())
        first, second = (reader.recv_multipart() for reader in readers)
        assert first == second


def test_what_was_published_before_closing_still_arrives(context: zmq.Context[Any]) -> None:
    with Publisher(BY, [ANY]) as publisher:
        reader = subscribe(context, publisher.endpoints[0])
        delivered(publisher, subscriptions=1)
        for _ in range(20):
            publisher.publish(tracks())
    assert [json.loads(reader.recv_multipart()[1])["seq"] for _ in range(20)] == list(range(1, 21))


def test_a_closed_publisher_says_so() -> None:
    publisher = Publisher(BY, [ANY])
    publisher.close()
    publisher.close()
    with pytest.raises(RuntimeError, match="stopped"):
        publisher.publish(tracks())


def test_a_port_in_use_is_one_line_with_a_remedy(published: Publisher) -> None:
    with pytest.raises(PublishError) as caught:
        Publisher(BY, [published.endpoints[0]])
    text = str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    assert published.endpoints[0] in text
    assert "publish.bind" in text
    assert "\n" not in text


def test_an_endpoint_that_fails_leaves_the_others_unbound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
        free = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        with pytest.raises(PublishError):
            Publisher(BY, [free], snapshot=f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        Publisher(BY, [free]).close()


@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        ("tcp://192.0.2.1:5591", "no such address"),
        ("tcp://127.0.0.1", "write tcp://"),
        ("tcp://127.0.0.1:99999", "write tcp://"),
        ("udp://127.0.0.1:1", "write tcp://"),
        ("nonsense", "write tcp://"),
        ("ipc:///nowhere/at/all", "folder does not exist"),
        ("ipc:///tmp/" + "x" * 200, "107"),
    ],
)
def test_an_impossible_endpoint_is_one_line_with_a_remedy(endpoint: str, remedy: str) -> None:
    with pytest.raises(PublishError, match=remedy) as caught:
        Publisher(BY, [endpoint])
    assert endpoint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_the_way_of_an_ipc_endpoint_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(PublishError, match="no socket"):
        Publisher(BY, [f"ipc://{tmp_path}/notes"])
    assert (tmp_path / "notes").read_text() == "mine"


def test_an_ipc_endpoint_in_use_is_not_taken_over(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/messages"
    with Publisher(BY, [endpoint]), pytest.raises(PublishError, match="another program"):
        Publisher(BY, [endpoint])


def test_an_ipc_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "messages"))
    Publisher(BY, [f"ipc://{tmp_path}/messages"]).close()


def test_ipc_endpoints_leave_no_file_behind(tmp_path: Path) -> None:
    with Publisher(BY, [ANY, f"ipc://{tmp_path}/messages"], snapshot=f"ipc://{tmp_path}/snapshot"):
        assert len(list(tmp_path.iterdir())) == 2
    assert not list(tmp_path.iterdir())


def test_ipc_endpoints_bound_before_one_that_fails_leave_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(PublishError):
        Publisher(BY, [f"ipc://{tmp_path}/messages"], snapshot=f"ipc://{tmp_path}/no/such/folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_the_snapshot_is_the_state_and_its_number(published: Publisher, context: zmq.Context[Any], kind: int) -> None:
    published.publish(BY.site(site()))
    for _ in range(3):
        published.publish(tracks())
    published.publish(BY.event(handoff()))
    snapshot = json.loads(ask(context, published, b'["snapshot", 1]', kind))
    assert snapshot["seq"] == {
        f"spoton/1/lobby/{name}": seq for name, seq in [("site", 1), ("tracks", 3), ("events", 1)]
    }
    assert snapshot["tracks"]["seq"] == 3
    assert snapshot["status"] is None


def test_the_snapshot_endpoint_serves_the_floor_picture(context: zmq.Context[Any]) -> None:
    picture = os.urandom(200_000)
    with Publisher(BY, [ANY], snapshot=ANY, picture=picture) as publisher:
        assert ask(context, publisher, b'["picture", 1]') == picture
    with Publisher(BY, [ANY], snapshot=ANY) as publisher:
        assert ask(context, publisher, b'["picture", 1]') == b""


@pytest.mark.parametrize("request_", [b"", b"hello", b"[" * 1000, b"\xff\xfe", b'["snapshot", 2]', b"null"])
def test_a_request_that_is_none_is_told_what_to_ask(
    published: Publisher, context: zmq.Context[Any], request_: bytes
) -> None:
    assert "snapshot" in json.loads(ask(context, published, request_))["error"]


def test_a_stalled_reader_loses_messages_and_the_others_none(
    published: Publisher, context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled = context.socket(zmq.SUB)
    stalled.setsockopt(zmq.RCVHWM, 1)
    stalled.setsockopt(zmq.RCVBUF, 4096)
    stalled.connect(published.endpoints[0])
    stalled.subscribe(b"")
    healthy = subscribe(context, published.endpoints[0])
    delivered(published, subscriptions=2)
    heard = []
    while published.delivery().late == 0:  # the queue in front of the stalled one fills up
        published.publish(tracks(40))
        heard.append(json.loads(healthy.recv_multipart()[1])["seq"])
        assert len(heard) < 20_000
    for _ in range(200):
        published.publish(tracks(40))
        heard.append(json.loads(healthy.recv_multipart()[1])["seq"])
    assert heard == list(range(1, len(heard) + 1))
    late: list[int] = []
    stalled.setsockopt(zmq.RCVTIMEO, 500)
    with contextlib.suppress(zmq.Again):
        while True:
            late.append(json.loads(stalled.recv_multipart()[1])["seq"])
    assert late == sorted(set(late))
    assert len(late) < len(heard)


def test_more_than_can_be_sent_is_lost_oldest_first_and_counted(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    send = Publisher._send
    monkeypatch.setattr(Publisher, "_send", lambda *args: gate.wait(10) and send(*args))
    with Publisher(BY, [ANY]) as publisher:
        reader = subscribe(context, publisher.endpoints[0])
        delivered(publisher, subscriptions=1)
        publisher.publish(tracks())
        until(lambda: not publisher._queue, "the thread holds the first one at the gate")
        for _ in range(module.BACKLOG + 10):
            publisher.publish(tracks())
        gate.set()
        heard = [json.loads(reader.recv_multipart()[1])["seq"] for _ in range(module.BACKLOG + 1)]
        assert heard == [1, *range(12, module.BACKLOG + 12)]
        assert delivered(publisher, overflowed=10).overflowed == 10


def test_a_topic_flood_costs_the_flooder_its_connection(published: Publisher, context: zmq.Context[Any]) -> None:
    healthy = subscribe(context, published.endpoints[0])
    flooder = context.socket(zmq.SUB)
    flooder.setsockopt(zmq.SNDHWM, 0)
    flooder.setsockopt(zmq.RECONNECT_IVL, -1)
    flooder.connect(published.endpoints[0])
    for number in range(20_000):
        flooder.subscribe(b"flood/%d" % number)
    delivery = delivered(published, refused=1)
    published.publish(tracks())
    assert json.loads(healthy.recv_multipart()[1])["seq"] == 1
    delivered(published, connections=1)
    assert delivery.subscriptions <= 1 + Limits().requests + 60 * Limits().requests_per_s


def test_subscriptions_are_counted_as_readers_come_change_their_minds_and_go(
    published: Publisher, context: zmq.Context[Any]
) -> None:
    def counted(subscriptions: int) -> None:
        until(lambda: published.delivery().subscriptions == subscriptions, published.delivery)

    readers = [subscribe(context, published.endpoints[0]) for _ in range(30)]
    counted(30)
    for reader in readers[:20]:
        reader.subscribe(b"spoton/1/lobby/events")
    counted(50)
    for reader in readers[10:]:
        reader.unsubscribe(b"spoton/1/")
    counted(30)
    for reader in readers:
        reader.close()
    counted(0)
    assert published.delivery().connections == 0


def test_too_many_connections_are_turned_away(context: zmq.Context[Any]) -> None:
    with Publisher(BY, [ANY], limits=Limits(connections=3)) as publisher:
        readers = [subscribe(context, publisher.endpoints[0]) for _ in range(3)]
        delivered(publisher, subscriptions=3)
        port = int(publisher.endpoints[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as fourth:
            fourth.settimeout(10)
            while fourth.recv(4096):
                pass
        publisher.publish(tracks())
        for reader in readers:
            assert json.loads(reader.recv_multipart()[1])["seq"] == 1


def test_a_subscriber_heals_by_itself(published: Publisher) -> None:
    published.publish(BY.site(site()))
    published.publish(tracks())
    until(lambda: published.tracks_sent, "all is in the snapshot, and nothing on its way")
    with Subscriber(published.endpoints[0], snapshot=published.snapshot_endpoint) as subscriber:
        first, second = subscriber.receive(10), subscriber.receive(10)
        assert first is not None
        assert second is not None
        assert {first.kind, second.kind} == {"site", "tracks"}
        assert subscriber.whole


GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB"


def connect(endpoint: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
    connection.settimeout(10)
    return connection


def shaken(endpoint: str, kind: bytes = b"SUB") -> socket.socket:
    """A connection after the handshake; libzmq bears nothing more before its own part of it is sent."""
    connection = connect(endpoint)
    connection.sendall(GREETING + READY.replace(b"SUB", kind))
    heard = b""
    while b"Socket-Type" not in heard:
        heard += connection.recv(4096)
    return connection


def drained(connection: socket.socket) -> None:
    """Reads until the other side closes."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4096):
            pass


def test_handshakes_that_never_end_are_cut_and_hinder_nobody(context: zmq.Context[Any]) -> None:
    with Publisher(BY, [ANY], limits=Limits(handshake_s=1.0)) as publisher:
        slow = [connect(publisher.endpoints[0]) for _ in range(50)]
        for connection in slow[:25]:
            connection.send(GREETING[:13])
        reader = subscribe(context, publisher.endpoints[0])
        delivered(publisher, subscriptions=1)
        publisher.publish(tracks())
        assert json.loads(reader.recv_multipart()[1])["seq"] == 1
        for connection in slow:
            drained(connection)
            connection.close()
        until(lambda: publisher.delivery().connections <= 1, publisher.delivery)


def test_a_frame_larger_than_any_request_ends_its_connection(published: Publisher, context: zmq.Context[Any]) -> None:
    reader = subscribe(context, published.endpoints[0])
    for size in (1025, 1 << 20, 1 << 62):
        with shaken(published.endpoints[0]) as huge:
            huge.sendall(b"\x02" + size.to_bytes(8, "big") + bytes(2000))
            drained(huge)
    delivered(published, subscriptions=1)
    published.publish(tracks())
    assert json.loads(reader.recv_multipart()[1])["seq"] == 1


def test_a_flood_of_bytes_ends_its_connection_whatever_they_are(
    published: Publisher, context: zmq.Context[Any]
) -> None:
    reader = subscribe(context, published.endpoints[0])
    delivered(published, subscriptions=1)
    # One message of frames without end: no frame is too large, and libzmq would keep them all.
    endless = b"\x01\x40" + bytes(64)
    assert published.snapshot_endpoint is not None
    for turn, endpoint in enumerate((published.endpoints[0], published.snapshot_endpoint), 1):
        with shaken(endpoint, b"REQ" if endpoint == published.snapshot_endpoint else b"SUB") as flood:
            flood.settimeout(1)
            with contextlib.suppress(OSError):
                while True:
                    flood.sendall(endless * 100)
            delivered(published, refused=turn)
    until(lambda: published.delivery().connections <= 1, published.delivery)
    published.publish(tracks())
    assert json.loads(reader.recv_multipart()[1])["seq"] == 1

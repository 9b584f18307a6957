import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from spoton_edge.client import AsyncSubscriber, Event, Missed, Site, Status, Subscriber, Tracks, snapshot_endpoint
from spoton_edge.publisher import Publisher
from spoton_edge.wire import Encoder, Message
from tests.messages import CAMERA_NUMBERS, CAMERAS, CAPTURED_NS, encoder, handoff, people, site, status
from tests.test_publisher import delivered

pytestmark = pytest.mark.timeout(60)

BY = encoder()
ANY = "tcp://127.0.0.1:0"
HEARD_S = 10.0


def tracks(by: Encoder = BY, count: int = 2) -> Message:
    return by.tracks(people(count, 2), CAMERA_NUMBERS, CAPTURED_NS, 1.0)


@pytest.fixture(params=["json", "msgpack"])
def published(request: pytest.FixtureRequest) -> Iterator[Publisher]:
    with Publisher(encoder(encoding=request.param), [ANY], snapshot=ANY) as publisher:
        yield publisher


def joined(publisher: Publisher, **settings: object) -> Subscriber:
    return Subscriber(publisher.endpoints[0], snapshot=publisher.snapshot_endpoint, **settings)  # type: ignore[arg-type]


def test_messages_arrive_typed(published: Publisher) -> None:
    by = published.encoder
    with joined(published) as subscriber:
        delivered(published, subscriptions=1)
        sent = [tracks(by), by.event(handoff()), by.site(site()), by.status(status(), published.delivery())]
        for message in sent:
            published.publish(message)
        crowd, event, place, health = (subscriber.receive(HEARD_S) for _ in sent)
        assert isinstance(crowd, Tracks)
        assert (crowd.site, crowd.box, crowd.run, crowd.seq) == ("lobby", "box-1", "00ff00ff", 1)
        assert [person.id for person in crowd.tracks] == [1, 2]
        assert crowd.tracks[1].views[1].camera == CAMERAS[1]
        box = crowd.tracks[1].views[1].box
        assert box is not None
        assert box[0] < box[2]
        assert isinstance(event, Event)
        assert (event.event, event.id, event.from_camera) == ("handed_off", 7, "c1")
        assert isinstance(place, Site)
        assert place.cameras[0]["name"] == "c1"
        assert isinstance(health, Status)
        assert health.people == 3
        assert subscriber.latest == {"tracks": crowd, "events": event, "site": place, "status": health}


def test_a_late_joiner_gets_the_snapshot(published: Publisher) -> None:
    by = published.encoder
    published.publish(by.site(site()))
    for _ in range(5):
        published.publish(tracks(by))
    published.publish(by.status(status(), published.delivery()))
    with joined(published) as subscriber:
        while not (subscriber.whole and len(subscriber.latest) == 3):
            assert not isinstance(subscriber.receive(0.05), Missed)
        assert {kind: message.seq for kind, message in subscriber.latest.items()} == {
            "site": 1,
            "tracks": 5,
            "status": 1,
        }
        assert not subscriber.missed


def test_only_the_kinds_and_the_site_asked_for_are_delivered(published: Publisher) -> None:
    by = published.encoder
    with joined(published, kinds=["events"], site="lobby") as subscriber:
        delivered(published, subscriptions=2)
        for message in (tracks(by), by.status(status(), published.delivery()), by.event(handoff())):
            published.publish(message)
        heard = subscriber.receive(HEARD_S)
        assert isinstance(heard, Event)
        assert subscriber.receive(0.05) is None


def test_every_subscription_reaches_a_daemon_that_starts_after_its_subscriber(tmp_path: Path) -> None:
    endpoints = {"bind": [f"ipc://{tmp_path}/bus"], "snapshot": f"ipc://{tmp_path}/snapshot"}
    kinds = ["tracks", "events", "site"]
    with (
        Subscriber(endpoints["bind"][0], snapshot=endpoints["snapshot"], kinds=kinds, site="lobby") as subscriber,
        Publisher(BY, **endpoints) as publisher,
    ):
        delivered(publisher, subscriptions=4)  # and status, which says how far the others are
        assert subscriber.receive(0.05) is None


def test_without_a_daemon_receiving_ends_in_time() -> None:
    with Subscriber("tcp://127.0.0.1:9") as subscriber:
        assert subscriber.receive(0.05) is None
        assert not subscriber.whole


def test_a_daemon_that_comes_back_is_followed(published: Publisher) -> None:
    endpoints, snapshot = published.endpoints, published.snapshot_endpoint
    with joined(published) as subscriber:
        delivered(published, subscriptions=1)
        for _ in range(3):
            published.publish(tracks(published.encoder))
            assert isinstance(subscriber.receive(HEARD_S), Tracks)
        published.close()
        again = Encoder("lobby", "box-1", "0badcafe", CAMERAS)
        with Publisher(again, endpoints, snapshot=snapshot) as restarted:
            restarted.publish(again.site(site()))
            restarted.publish(tracks(again))
            while restarted.delivery().subscriptions == 0:
                assert subscriber.receive(0.01) is None  # libzmq subscribes anew only while it is being read
            restarted.publish(tracks(again))
            heard: set[tuple[str, int]] = set()
            while heard < {("site", 1), ("tracks", 2)}:
                message = subscriber.receive(HEARD_S)
                assert message is not None
                assert not isinstance(message, Missed)
                assert message.run == "0badcafe"
                heard.add((message.kind, message.seq))
            assert subscriber.whole


def test_garbage_is_counted_and_passed_over() -> None:
    context = zmq.Context()
    hoax = context.socket(zmq.PUB)
    port = hoax.bind_to_random_port("tcp://127.0.0.1")
    with Subscriber(f"tcp://127.0.0.1:{port}", snapshot="tcp://127.0.0.1:9") as subscriber:
        good = [b"spoton/1/lobby/tracks", tracks().payload(1)]
        name = b"spoton/1/lobby/tracks"
        bad = [[b"spoton/1/\xff", b"{}"], [b"spoton/1/"], [name, b"[1]"], [name, b'{"run":1}'], [name, b""]]
        while subscriber.receive(0.01) is None:  # until the subscription stands
            hoax.send_multipart(good)
        for frames in bad:
            hoax.send_multipart(frames)
        hoax.send_multipart([b"spoton/1/lobby/tracks", tracks().payload(1000)])
        last = None
        while last != 1000:
            message = subscriber.receive(HEARD_S)
            assert message is not None
            last = getattr(message, "seq", None)
        assert subscriber.unreadable == len(bad)
    context.destroy(linger=0)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://host", "tcp://127.0.0.1:x"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="write tcp://"):
        Subscriber(endpoint)


def test_the_snapshot_endpoint_is_the_next_port_or_a_path_beside() -> None:
    assert snapshot_endpoint("tcp://10.0.0.1:5591") == "tcp://10.0.0.1:5592"
    assert snapshot_endpoint("tcp://[::1]:5591") == "tcp://[::1]:5592"
    assert snapshot_endpoint("ipc:///run/spoton") == "ipc:///run/spoton-snapshot"


def test_asyncio_reads_the_same(published: Publisher) -> None:
    async def read() -> list[int]:
        seqs = []
        async with AsyncSubscriber(published.endpoints[0], snapshot=published.snapshot_endpoint) as subscriber:
            assert await subscriber.receive(0.01) is None
            await asyncio.to_thread(delivered, published, subscriptions=1)
            for _ in range(50):
                published.publish(tracks(published.encoder))
            async for message in subscriber:
                assert isinstance(message, Tracks)
                seqs.append(message.seq)
                if message.seq == 50:
                    break
        return seqs

    assert asyncio.run(asyncio.wait_for(read(), HEARD_S)) == list(range(1, 51))


def test_the_client_imports_pyzmq_and_the_standard_library_only() -> None:
    script = (
        "import sys; before = set(sys.modules); import spoton_edge.client\n"
        "files = {name for name in set(sys.modules) - before if getattr(sys.modules[name], '__file__', None)}\n"
        "print(*sorted({name.partition('.')[0] for name in files} - set(sys.stdlib_module_names)))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["spoton_edge", "zmq"]


def test_it_reads_where_nothing_but_pyzmq_is_installed(tmp_path: Path) -> None:
    """An interpreter without site-packages, that sees this package and zmq only."""
    home = Path(zmq.__file__).parent
    for part in (home, home.with_name("pyzmq.libs")):
        if part.exists():
            (tmp_path / part.name).symlink_to(part)
    root = Path(__file__).parents[1]
    (tmp_path / "spoton_edge").symlink_to(root / "spoton_edge")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from spoton_edge.client import Subscriber\n"
        "with Subscriber(sys.argv[2], snapshot=sys.argv[3]) as subscriber:\n"
        "    message = subscriber.receive(10); print(message.kind, message.seq, len(message.tracks))\n"
        "try:\n    import numpy\nexcept ImportError:\n    print('bare')"
    )
    with Publisher(BY, [ANY], snapshot=ANY) as publisher:
        publisher.publish(tracks(count=3))
        arguments = [str(tmp_path), publisher.endpoints[0], str(publisher.snapshot_endpoint)]
        command = [sys.executable, "-I", "-S", "-c", script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines() == ["tracks 1 3", "bare"]

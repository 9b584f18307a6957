from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from spoton_edge import keys
from spoton_edge.client import Subscriber, Tracks
from spoton_edge.errors import ExitCode, KeysError, UsageError
from spoton_edge.publisher import Publisher
from tests.test_client import joined, tracks
from tests.test_publisher import ANY, BY, delivered

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    keys.new(folder, "alice", tmp_path / "alice.key")
    keys.new(folder, "bob", tmp_path / "bob.key")
    return folder


@pytest.fixture
def published(folder: Path, tmp_path: Path) -> Iterator[Publisher]:
    endpoints = [ANY, f"ipc://{tmp_path}/messages"]
    with Publisher(BY, endpoints, snapshot=ANY, keys=keys.load(folder)) as publisher:
        yield publisher


def test_secret_files_are_nobody_elses(folder: Path, tmp_path: Path) -> None:
    assert (folder / "server.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "alice.key").stat().st_mode & 0o777 == 0o600
    assert "secret" not in (folder / "subscribers" / "alice.key").read_text()


def test_the_list_has_the_names_and_public_keys(folder: Path) -> None:
    loaded = keys.load(folder)
    assert [name for name, _ in keys.listing(folder)] == ["alice", "bob"]
    assert set(loaded.allowed.values()) == {"alice", "bob"}
    keys.revoke(folder, "alice")
    assert set(keys.load(folder).allowed.values()) == {"bob"}


def test_a_name_is_given_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="revoke alice"):
        keys.new(folder, "alice", tmp_path / "again.key")
    with pytest.raises(UsageError, match=r"bob\.key exists"):
        keys.new(folder, "carol", tmp_path / "bob.key")
    assert [name for name, _ in keys.listing(folder)] == ["alice", "bob"]


@pytest.mark.parametrize("name", ["", "../server", "a/b", "-x", "x" * 65, "ä"])
def test_a_name_that_is_none_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name"):
        keys.new(folder, name, tmp_path / "x.key")
    with pytest.raises(UsageError, match="not on the list"):
        keys.revoke(folder, name)
    assert (folder / "server.key").exists()


def test_a_missing_pair_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"spoton-edge keys new .* NAME") as caught:
        keys.load(tmp_path)
    assert caught.value.exit_code == ExitCode.MISSING


def test_a_secret_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "server.key").chmod(0o644)
    with pytest.raises(KeysError, match="chmod 600"):
        keys.load(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\x00" * 50, b"public = short\n", "public = ä".encode() + b"x" * 39])
def test_a_damaged_key_names_its_file(folder: Path, content: bytes) -> None:
    path = folder / "subscribers" / "alice.key"
    path.write_bytes(content)
    with pytest.raises(KeysError, match=str(path)):
        keys.load(folder)


def test_a_subscriber_on_the_list_hears_and_heals(published: Publisher, tmp_path: Path) -> None:
    published.publish(tracks())
    with joined(published, key=tmp_path / "alice.key") as subscriber:
        message = subscriber.receive(10)
        assert isinstance(message, Tracks)
        assert subscriber.whole
        published.publish(tracks())
        message = subscriber.receive(10)
        assert isinstance(message, Tracks)
        assert message.seq == 2


def test_without_a_key_or_with_a_wrong_one_nothing_is_heard(published: Publisher, tmp_path: Path) -> None:
    keys.new(tmp_path / "elsewhere", "mallory", tmp_path / "mallory.key")
    forged = (tmp_path / "mallory.key").read_text().splitlines()
    server = next(line for line in (tmp_path / "alice.key").read_text().splitlines() if line.startswith("server"))
    (tmp_path / "forged.key").write_text("\n".join([server, *(line for line in forged if "server" not in line)]))
    readers: list[Subscriber] = [
        joined(published),
        joined(published, key=tmp_path / "mallory.key"),  # does not know the daemon's key
        joined(published, key=tmp_path / "forged.key"),  # knows it, but is not on the list
    ]
    with joined(published, key=tmp_path / "bob.key") as welcome:
        for seq in range(1, 21):
            published.publish(tracks())
            message = welcome.receive(10)
            assert isinstance(message, Tracks)
            assert message.seq <= seq
            assert [reader.receive(0.01) for reader in readers] == [None] * 3
        assert published.delivery().subscriptions == 1
    for reader in readers:
        reader.close()


def test_ipc_needs_no_key(published: Publisher) -> None:
    with Subscriber(published.endpoints[1], snapshot=published.snapshot_endpoint) as subscriber:
        delivered(published, subscriptions=1)
        published.publish(tracks())
        assert isinstance(subscriber.receive(10), Tracks)


def test_a_key_revoked_while_connected_hears_nothing_more(published: Publisher, folder: Path, tmp_path: Path) -> None:
    with (
        joined(published, key=tmp_path / "alice.key") as alice,
        joined(published, key=tmp_path / "bob.key") as bob,
        Subscriber(published.endpoints[1], snapshot="ipc://nowhere") as local,
    ):
        delivered(published, subscriptions=3)
        published.publish(tracks())
        for reader in (alice, bob, local):
            assert isinstance(reader.receive(10), Tracks)
        while not (alice.whole and bob.whole):
            assert alice.receive(0.01) is None
            assert bob.receive(0.01) is None
        keys.revoke(folder, "alice")
        published.admit(keys.load(folder))
        delivered(published, refused=2)  # the messages and the snapshots
        for seq in range(2, 40):
            published.publish(tracks())
            for reader in (bob, local):
                message = reader.receive(10)
                assert isinstance(message, Tracks)
                assert message.seq == seq
            assert alice.receive(0.01) is None
        assert not bob.missed
        assert not local.missed


def test_a_key_added_is_let_in_on_reload(published: Publisher, folder: Path, tmp_path: Path) -> None:
    keys.new(folder, "carol", tmp_path / "carol.key")
    with joined(published, key=tmp_path / "carol.key") as carol:
        published.publish(tracks())
        assert carol.receive(0.3) is None
        published.admit(keys.load(folder))
        while (message := carol.receive(0.05)) is None:
            published.publish(tracks())
        assert isinstance(message, Tracks)


def test_a_raw_socket_that_speaks_no_zmtp_hears_nothing(published: Publisher, tmp_path: Path) -> None:
    context: zmq.Context[Any] = zmq.Context()
    plain = context.socket(zmq.SUB)
    plain.connect(published.endpoints[0])
    plain.subscribe(b"")
    with joined(published, key=tmp_path / "bob.key") as bob:
        delivered(published, subscriptions=1)
        published.publish(tracks())
        assert isinstance(bob.receive(10), Tracks)
        assert plain.poll(100) == 0
    context.destroy(linger=0)


def test_endpoints_that_come_while_it_runs_are_guarded_as_those_before(published: Publisher, tmp_path: Path) -> None:
    more = f"ipc://{tmp_path}/more"
    first = published.endpoints
    published.rebind([ANY, "tcp://127.0.0.1:*", more, f"ipc://{tmp_path}/messages"], ANY)
    assert set(first) < set(published.endpoints)
    (other,) = [endpoint for endpoint in published.endpoints if endpoint.startswith("tcp") and endpoint not in first]
    with (
        Subscriber(other, snapshot=published.snapshot_endpoint, key=tmp_path / "alice.key") as alice,
        Subscriber(other, snapshot="ipc://nowhere") as stranger,
        Subscriber(more, snapshot="ipc://nowhere") as local,
    ):
        delivered(published, subscriptions=2)
        published.publish(tracks())
        assert isinstance(alice.receive(10), Tracks)
        assert isinstance(local.receive(10), Tracks)
        assert stranger.receive(0.5) is None

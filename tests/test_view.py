"""The live map's server: what a page is sent, and how little a slow one is."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from spoton_edge.cli import main
from spoton_edge.control import ControlServer
from spoton_edge.endpoints import control_endpoint, preview_endpoint
from spoton_edge.errors import ConfigError, UsageError
from spoton_edge.preview import Preview
from spoton_edge.publisher import Publisher
from spoton_edge.view.command import daemon_of
from spoton_edge.view.viewer import AHEAD
from spoton_edge.wire import Encoder
from tests.messages import CAMERA_NUMBERS, CAMERAS, CAPTURED_NS, encoder, handoff, people, site, status
from tests.test_preview import batch
from tests.waiting import until
from tests.web import Served, serving

pytestmark = pytest.mark.timeout(90)

ANY = "tcp://127.0.0.1:0"
BY = encoder()
# A server that takes half a second for silence, so that a test need not wait for three.
IMPATIENT = "from spoton_edge import cli; from spoton_edge.view import hub; hub.SILENCE_S = 0.5; cli.main()"
PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(BY, [ANY], snapshot=ANY) as published:
        yield published


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Publisher, Served]]:
    """For those tests that leave everything as it was: a start takes seconds on a busy machine."""
    with Publisher(BY, [ANY], snapshot=ANY, picture=PNG) as published, viewing(published) as served:
        until(lambda: published.delivery().subscriptions > 0)
        yield published, served


@contextmanager
def viewing(publisher: Publisher, *more: str, program: Sequence[str] = ("-m", "spoton_edge")) -> Iterator[Served]:
    assert publisher.snapshot_endpoint is not None
    command = ["view", publisher.endpoints[0], "--snapshot", publisher.snapshot_endpoint]
    with serving(*program, *command, "--bind", "127.0.0.1:0", *more) as served:
        yield served


class Page:
    """A page's end of the websocket, which says what it has taken in when it is told to."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.taken = 0

    def next(self, timeout_s: float = 10.0) -> Any:
        """The next frame: what JSON says, or the bytes of a picture."""
        frame = self.websocket.recv(timeout=timeout_s)
        return frame if isinstance(frame, bytes) else json.loads(frame)

    def take(self) -> Any:
        """The next frame, taken in."""
        frame = self.next()
        self.taken += 1
        self.say(taken=self.taken)
        return frame

    def until(self, kind: str, **wanted: Any) -> Any:
        """The next message of a kind that says this."""
        while True:
            message = self.take()
            if isinstance(message, bytes) or message["kind"] != kind:
                continue
            if all(message[name] == value for name, value in wanted.items()):
                return message

    def read_on(self) -> None:
        """Takes in whatever comes, for as long as the server sends."""
        while True:
            self.take()

    def say(self, **what: Any) -> None:
        self.websocket.send(json.dumps(what))


@contextmanager
def opened(served: Served) -> Iterator[Page]:
    with connect(f"ws://{served.host}/live", proxy=None, max_size=None) as websocket:
        yield Page(websocket)


def publish_tracks(publisher: Publisher, by: Encoder = BY, count: int = 2) -> int:
    return publisher.publish(by.tracks(people(count, 2), CAMERA_NUMBERS, CAPTURED_NS, 31.0))


def test_a_page_that_opens_learns_what_is_known_and_then_what_is_new(publisher: Publisher) -> None:
    publisher.publish(BY.site(site()))
    publish_tracks(publisher)
    publisher.publish(BY.status(status(), publisher.delivery()))
    with viewing(publisher) as served:
        with opened(served) as page:
            hello = page.until("hello")
            assert hello["endpoint"] == publisher.endpoints[0]
            assert (hello["explain"], hello["pictures"]) == (False, False)
            page.until("link", silent=False, run="00ff00ff")
            publisher.publish(BY.event(handoff()))
            (event,) = page.until("events")["events"]
            assert (event["event"], event["id"]) == ("handed_off", 7)
            seq = publish_tracks(publisher, count=5)
            assert len(page.until("tracks", seq=seq)["tracks"]) == 5
        with opened(served) as page:
            known: dict[str, Any] = {}
            while not {"hello", "site", "status", "tracks", "link", "events"} <= set(known):
                message = page.take()
                known[message["kind"]] = message
            assert known["site"]["cameras"][0]["name"] == "c1"
            assert known["tracks"]["seq"] == seq
            assert known["events"]["events"] == [event]


def test_a_page_that_does_not_keep_up_is_sent_the_newest_and_every_event(shared: tuple[Publisher, Served]) -> None:
    publisher, served = shared
    with opened(served) as slow, opened(served) as quick:
        publish_tracks(publisher)
        quick.until("tracks")
        for number in range(60):
            last = publish_tracks(publisher)
            if number % 20 == 0:
                publisher.publish(BY.event(handoff()))
        quick.until("tracks", seq=last)
        unasked = [slow.next() for _ in range(AHEAD)]
        with pytest.raises(TimeoutError):
            slow.next(timeout_s=0.5)
        slow.say(taken=AHEAD)
        slow.taken = AHEAD
        caught_up: list[Any] = []
        while not any(message["kind"] == "tracks" and message["seq"] == last for message in caught_up):
            caught_up.append(slow.take())
        sent = [message for message in [*unasked, *caught_up] if message["kind"] == "tracks"]
        assert len(sent) <= AHEAD + 1
        events = [event for message in [*unasked, *caught_up] for event in message.get("events", [])]
        assert len(events) == 3


def test_silence_and_a_new_run_are_told(publisher: Publisher) -> None:
    endpoints = publisher.endpoints, publisher.snapshot_endpoint
    with viewing(publisher, program=("-c", IMPATIENT)) as served, opened(served) as page:
        publish_tracks(publisher)
        page.until("link", silent=False)
        publisher.close()
        page.until("link", silent=True, run="00ff00ff")
        other = Encoder("lobby", "box-1", "11aa11aa", CAMERAS)
        with Publisher(other, endpoints[0], snapshot=endpoints[1]) as again:
            until(lambda: again.delivery().subscriptions > 0)
            publish_tracks(again, other)
            page.until("link", silent=False, run="11aa11aa")
            assert page.until("tracks")["run"] == "11aa11aa"


@pytest.mark.parametrize("said", ["x", "[1]", '{"look": 3}', '{"taken": "many"}', '{"look": ["' + "x" * 5000 + '"]}'])
def test_a_page_that_talks_nonsense_is_shut_out_and_the_others_are_not(
    shared: tuple[Publisher, Served], said: str
) -> None:
    publisher, served = shared
    with opened(served) as good:
        with opened(served) as bad:
            bad.websocket.send(said)
            with pytest.raises(ConnectionClosed):
                bad.read_on()
        publish_tracks(publisher)
        good.until("tracks")


def test_the_page_can_tell_the_clocks_apart(shared: tuple[Publisher, Served]) -> None:
    with opened(shared[1]) as page:
        page.say(ping=12.5)
        pong = page.until("pong")
        assert pong["ping"] == 12.5
        assert abs(pong["time"] - time.time()) < 60


def test_pictures_come_of_those_cameras_that_a_page_shows(publisher: Publisher, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/preview"
    with Preview(BY, CAMERAS, endpoint) as pictures, viewing(publisher, "--preview", endpoint) as served:
        with opened(served) as page:
            publisher.publish(BY.site(site()))
            page.until("site")
            page.say(look=["c2"])
            until(lambda: pictures.wanted == {1})
            pictures.offer(batch())
            while not isinstance(frame := page.take(), bytes):
                pass
            size = int.from_bytes(frame[:4], "little")
            assert json.loads(frame[4 : 4 + size])["camera"] == "c2"
            assert frame[4 + size :].startswith(b"\xff\xd8\xff")
            page.say(look=[])
            until(lambda: not pictures.wanted)
            page.say(look=["c1", "c2"])
            until(lambda: pictures.wanted == {0, 1})
        until(lambda: not pictures.wanted)  # the page was closed


def test_the_floor_plan_is_served_as_the_picture_it_is(shared: tuple[Publisher, Served]) -> None:
    publisher, served = shared
    answer = served.ask("/floor")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, PNG, "image/png")
    publisher.picture = b"<svg onload=alert(1)>"
    assert served.ask("/floor").status == 404


def test_why_an_id_is_asked_of_the_daemon_by_its_control_socket(publisher: Publisher, tmp_path: Path) -> None:
    def explain(id: int) -> list[str]:  # noqa: A002
        if id != 7:
            raise UsageError(f"there is no person {id}")
        return ["person 7", "  1.0 s ago  appeared in c1"]

    (tmp_path / "a.mp4").touch()
    file = tmp_path / "site.yaml"
    file.write_text(
        f"site: lobby\ncameras: [{{name: c1, source: a.mp4}}]\nruntime: {{control: 'ipc://{tmp_path}/control'}}\n"
    )
    with (
        ControlServer(f"ipc://{tmp_path}/control", {"explain": explain}),
        viewing(publisher, "--site", str(file)) as served,
    ):
        assert json.loads(served.ask("/explain/7").body)["lines"][1].strip() == "1.0 s ago  appeared in c1"
        answer = served.ask("/explain/8")
        assert (answer.status, json.loads(answer.body)) == (400, {"error": "there is no person 8"})
        assert served.ask("/explain/x").status == 404


def test_a_daemon_that_is_only_heard_is_not_asked_why(shared: tuple[Publisher, Served]) -> None:
    assert shared[1].ask("/explain/7").status == 404


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "cannot connect to nonsense"),
        (("tcp://127.0.0.1:x",), "write tcp://ADDRESS:PORT"),
        (("--key", "absent.key"), "--key absent.key: no such file or directory"),
    ],
)
def test_what_cannot_be_heard_is_one_line_and_no_address(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["view", *arguments, "--bind", "127.0.0.1:0"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert said in told.err
    assert told.err.count("\n") == 1


def test_the_site_file_says_where_everything_is(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    file = tmp_path / "site.yaml"
    file.write_text(
        "site: lobby\ncameras: [{name: a, source: a.mp4}]\n"
        "publish: {bind: ['tcp://127.0.0.1:7001'], snapshot: 'tcp://127.0.0.1:7009', preview: true}\n"
    )
    told = daemon_of(None, file, snapshot=None, preview=None, key=None)
    assert (told.endpoint, told.snapshot) == ("tcp://127.0.0.1:7001", "tcp://127.0.0.1:7009")
    assert told.control == control_endpoint("auto", "lobby") == "ipc:///run/spoton-edge/lobby.sock"
    assert told.preview == preview_endpoint(True, "lobby") == "ipc:///run/spoton-edge/lobby.preview"
    elsewhere = daemon_of("tcp://10.0.0.1:5", file, snapshot=None, preview="ipc:///p", key=None)
    assert (elsewhere.snapshot, elsewhere.preview) == ("tcp://10.0.0.1:6", "ipc:///p")
    bare = daemon_of(None, None, snapshot=None, preview=None, key=None)
    assert (bare.endpoint, bare.control, bare.preview) == ("tcp://127.0.0.1:5591", None, None)
    file.write_text("cameras: []")
    with pytest.raises(ConfigError):
        daemon_of(None, file, snapshot=None, preview=None, key=None)

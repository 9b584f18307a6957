import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoton_edge import watch
from spoton_edge.errors import UsageError
from spoton_edge.publisher import Publisher
from spoton_edge.watch import board
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, people, site, status
from tests.test_client import joined
from tests.test_publisher import delivered

BY = encoder()
ANY = "tcp://127.0.0.1:0"
SCRIPT = """
import sys
from spoton_edge.watch import run
endpoint, snapshot, *json = sys.argv[1:]
sys.exit(run(endpoint, snapshot=snapshot, as_json=bool(json)))
"""


@pytest.fixture
def published() -> Iterator[Publisher]:
    with Publisher(BY, [ANY], snapshot=ANY) as publisher:
        yield publisher


def start(publisher: Publisher, *arguments: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, publisher.endpoints[0], str(publisher.snapshot_endpoint), *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "COLUMNS": "120", "LINES": "40", "TERM": "xterm"},
    )


def publish_all(publisher: Publisher) -> None:
    publisher.publish(BY.site(site()))
    publisher.publish(BY.tracks(people(2, 2), CAMERA_NUMBERS, CAPTURED_NS, 31.0))
    publisher.publish(BY.status(status(), publisher.delivery()))


def test_json_prints_one_message_a_line_and_ends_with_zero_on_interrupt(published: Publisher) -> None:
    publish_all(published)
    with start(published, "json") as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert sorted(line["kind"] for line in lines) == ["site", "status", "tracks"]
        assert next(line for line in lines if line["kind"] == "tracks")["tracks"][0]["id"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_closed_pipe_ends_it_quietly(published: Publisher) -> None:
    publish_all(published)
    with start(published, "json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            publish_all(published)
            time.sleep(0.01)
        assert process.returncode == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_silence_is_said_once_and_names_the_endpoint(published: Publisher) -> None:
    with start(published, "json") as process:
        assert process.stderr is not None
        assert published.endpoints[0] in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_the_table_shows_people_and_cameras_and_ends_with_zero_on_interrupt(published: Publisher) -> None:
    terminal, end = os.openpty()
    with start(published, output=end) as process, os.fdopen(terminal, "rb", buffering=0) as screen:
        os.close(end)
        delivered(published, subscriptions=1)
        publish_all(published)
        shown = b""
        while not all(words in shown for words in (b"lobby: 2 people", b"c1 c2", b"live")):
            shown += screen.read(4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # of a terminal that nobody writes to any more
            while screen.read(4096):
                pass
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_table_can_be_shown_by_others_too(published: Publisher) -> None:
    from rich.console import Console

    with joined(published) as subscriber:
        delivered(published, subscriptions=1)
        publish_all(published)
        for _ in range(3):
            assert subscriber.receive(10) is not None
        console = Console(file=io.StringIO(), width=120)
        console.print(board(subscriber.latest, "all is well"))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "visible" in shown
    assert "all is well" in shown


def test_before_the_first_message_the_table_says_that_it_waits() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    console.print(board({}))
    assert "waiting" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_wrong_endpoint_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        watch.run("nonsense", as_json=True)

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spoton_edge import play
from spoton_edge.client import Missed, Subscriber
from spoton_edge.errors import UsageError
from spoton_edge.publisher import Publisher
from spoton_edge.types import Delivery
from spoton_edge.wire import Clock
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, RUN, encoder, handoff, people, site, status

pytestmark = pytest.mark.timeout(60)
ANY = "tcp://127.0.0.1:0"


def recording(batches: int, step_s: float = 0.01) -> list[dict[str, Any]]:
    """What `watch --json` prints of so many batches; the first sequence numbers are long gone."""
    lines = []
    for batch in range(batches):
        at_ns = int(batch * step_s * 1e9)
        by = encoder(clock=Clock(lambda at_ns=at_ns: 10**9 + at_ns, lambda at_ns=at_ns: 10**12 + at_ns))  # type: ignore[misc]
        captured_ns = CAPTURED_NS * 0 + at_ns
        seq = 1000 + batch
        lines.append(by.tracks(people(2, 2, seed=batch), CAMERA_NUMBERS, captured_ns, 1.0).payload(seq))
        if batch % 10 == 0:
            lines.append(by.status(status(batch), Delivery(sent={"tracks": seq})).payload(seq))
            lines.append(by.event(replace(handoff(), captured_ns=at_ns)).payload(seq))
    lines.insert(0, encoder().site(site()).payload(1))
    return [json.loads(line) for line in lines]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_recording_is_published_as_it_was_but_as_a_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = recording(30)
    bound = threading.Event()
    publishers: list[Publisher] = []

    class Watched(Publisher):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **settings)
            publishers.append(self)
            bound.set()

    monkeypatch.setattr(play, "Publisher", Watched)
    file = str(write(tmp_path / "lobby.jsonl", lines))
    player = threading.Thread(target=lambda: play.run(file, bind=[ANY], snapshot=ANY, wait_for_subscriber_s=20))
    player.start()
    assert bound.wait(10)
    heard: list[dict[str, Any]] = []
    with Subscriber(publishers[0].endpoints[0], snapshot=publishers[0].snapshot_endpoint) as subscriber:
        while len(heard) < len(lines):
            message = subscriber.receive(10)
            assert message is not None
            assert not isinstance(message, Missed)
            heard.append(message.raw)
    player.join()
    runs = {payload["run"] for payload in heard}
    assert len(runs) == 1
    assert RUN not in runs
    varying = {"run", "seq", "publish"}
    assert [{name: payload[name] for name in payload if name not in varying} for payload in heard] == [
        {name: payload[name] for name in payload if name not in varying} for payload in lines
    ]
    tracks = [payload["seq"] for payload in heard if payload["kind"] == "tracks"]
    assert tracks == list(range(1, 31))


def test_pauses_are_those_of_the_capture_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(play.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(play.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    lines = [line for line in recording(31, step_s=0.1) if line["kind"] == "tracks"]
    due = [now_s[0] for _ in play._paced(lines, speed=2.0)]
    assert due == pytest.approx([0.05 * number for number in range(31)])


def test_a_night_of_silence_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(play.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(play.time, "sleep", lambda pause_s: now_s.__setitem__(0, now_s[0] + pause_s))
    lines = [line for line in recording(2, step_s=30_000.0) if line["kind"] == "tracks"]
    assert [now_s[0] for _ in play._paced(lines, speed=1.0)] == [0.0, play.LONGEST_PAUSE_S]


def test_standard_input_is_played_too() -> None:
    script = f"import sys; from spoton_edge.play import run; sys.exit(run('-', bind=['{ANY}'], snapshot='{ANY}'))"
    text = "".join(json.dumps(line) + "\n" for line in recording(3))
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], input=text, text=True, capture_output=True, cwd=root, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "playing - on tcp://127.0.0.1:" in done.stderr


@pytest.mark.parametrize(
    "line", ["", "nonsense", "[]", "{}", '{"v": 2}', '{"v":1,"kind":"tracks","site":"a","box":"b"}', "[" * 5000, "\0"]
)
def test_a_line_that_is_no_message_is_named(tmp_path: Path, line: str) -> None:
    good = json.dumps(recording(1)[0])
    (tmp_path / "x.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(UsageError, match=r"x.jsonl:2: no message"):
        play.run(str(tmp_path / "x.jsonl"), bind=[ANY], snapshot=None)


def test_a_file_that_is_not_there_or_empty_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        play.run(str(tmp_path / "nowhere"), bind=[ANY])
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match="no message in it"):
        play.run(str(tmp_path / "empty"), bind=[ANY])
    with pytest.raises(UsageError, match="is a directory"):
        play.run(str(tmp_path), bind=[ANY])
    with pytest.raises(UsageError, match="--speed"):
        play.run(str(tmp_path / "empty"), bind=[ANY], speed=0)

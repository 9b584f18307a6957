"""The daemon's word to systemd: the datagrams, when it is ready, what feeds the watchdog, and the journal's fields."""

from __future__ import annotations

import io
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoton_edge import logs
from spoton_edge.engine.builder import STUCK_S
from spoton_edge.health import ANSWER_S, Health, summary
from spoton_edge.networks import BuildLog
from spoton_edge.systemd import FEEDS, Systemd
from spoton_edge.types import CameraStatus, Status


class Manager:
    """Stands in for systemd's end of the socket."""

    def __init__(self, path: Path | str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every line since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


@pytest.fixture
def systemd(manager: Manager, tmp_path: Path) -> Systemd:
    """Whose watchdog is fed as often as it is asked for."""
    return Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "0"})


def test_each_word_is_one_datagram_as_sd_notify_has_it(manager: Manager, systemd: Systemd) -> None:
    systemd.ready()
    systemd.extend(1.5)
    systemd.reloading()
    systemd.stopping()
    ready, extend, reloading, now, stopping, status = manager.heard()
    assert (ready, extend, reloading) == ("READY=1", "EXTEND_TIMEOUT_USEC=1500000", "RELOADING=1")
    name, _, microseconds = now.partition("=")
    assert name == "MONOTONIC_USEC"
    assert int(microseconds) > 0
    assert (stopping, status) == ("STOPPING=1", "STATUS=stopping")


def test_a_status_is_one_line_and_said_once(manager: Manager, systemd: Systemd) -> None:
    systemd.status("two\nlines")
    systemd.status("two\nlines")
    assert manager.heard() == ["STATUS=two lines"]


def test_a_build_puts_the_limit_of_the_start_off_and_is_only_a_line_once_the_daemon_serves(
    manager: Manager, systemd: Systemd
) -> None:
    builds = BuildLog(systemd)
    builds("starting", 0.0, None)
    builds("tactics", 0.4, 12.3)
    limit = f"EXTEND_TIMEOUT_USEC={int((STUCK_S + BuildLog.EVERY_S) * 1e6)}"
    first, second = "building an engine: 0 %, starting", "building an engine: 40 %, about 12 s left, tactics"
    assert manager.heard() == [limit, f"STATUS={first}", limit, f"STATUS={second}"]
    builds("built", 1.0, 0.0)
    assert manager.heard() == [limit, "STATUS=loading networks"]
    builds.serving = True
    builds("tactics", 0.4, 12.3)
    assert builds.line == second
    builds("built", 1.0, 0.0)
    assert builds.line == ""
    assert manager.heard() == []


def test_an_abstract_socket_is_reached_by_its_name() -> None:
    name = f"spoton-edge-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.heard() == ["READY=1"]
    manager.socket.close()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_systemd_nothing_is_said_and_nothing_fails(environment: dict[str, str]) -> None:
    systemd = Systemd(environment)
    systemd.ready()
    systemd.feed()


@pytest.mark.parametrize(
    ("environment", "fed"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "30000000"}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_the_watchdog_is_fed_where_there_is_one_and_not_at_every_call(
    environment: dict[str, str], fed: bool, manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify"), **environment})
    systemd.feed()
    systemd.feed()
    assert manager.heard() == ["WATCHDOG=1"] * fed
    now[0] += 30.0 / FEEDS
    systemd.feed()
    assert manager.heard() == ["WATCHDOG=1"] * fed


class Site:
    """A health that is asked at times of the test's choosing; the watchdog of 0 s is fed whenever that is due."""

    def __init__(self, systemd: Systemd, manager: Manager) -> None:
        self.now = 0.0
        self.health = Health(systemd, stall_s=5.0, clock=lambda: self.now)
        self.manager = manager

    def beat(self, at: float, sent: int, **states: str) -> list[str]:
        self.now = at
        self.health.beat(states, sent)
        return self.manager.heard()


@pytest.fixture
def site(systemd: Systemd, manager: Manager) -> Site:
    return Site(systemd, manager)


def test_it_is_ready_once_every_camera_is_live_or_down(site: Site) -> None:
    assert "READY=1" not in site.beat(0, 0, a="live", b="connecting")
    assert "READY=1" in site.beat(1, 3, a="live", b="refused")
    assert "READY=1" not in site.beat(2, 6, a="live", b="live")


def test_a_camera_that_never_answers_does_not_hold_the_start_up(site: Site) -> None:
    assert "READY=1" not in site.beat(4.9 + ANSWER_S, 0, a="connecting")
    assert "READY=1" in site.beat(5.1 + ANSWER_S, 0, a="connecting")


def test_what_is_published_feeds_the_watchdog_and_silence_of_a_live_camera_does_not(site: Site) -> None:
    assert "WATCHDOG=1" in site.beat(1, 1, a="live")
    assert "WATCHDOG=1" in site.beat(9, 2, a="live")
    assert "WATCHDOG=1" in site.beat(13, 2, a="live")  # not late yet
    assert "WATCHDOG=1" not in site.beat(14.1, 2, a="live")
    assert "WATCHDOG=1" not in site.beat(60, 2, a="live", b="offline")
    assert "WATCHDOG=1" in site.beat(61, 3, a="live", b="offline")


def test_cameras_that_are_all_down_are_no_fault_of_the_daemon(site: Site) -> None:
    assert "WATCHDOG=1" in site.beat(1000, 0, a="offline", b="stalled", c="refused", d="ended")


def test_the_status_line_names_cameras_that_are_down() -> None:
    cameras = [CameraStatus(name, state, 10.0, 5, 0, 0) for name, state in (("a", "live"), ("b", "offline"))]
    assert summary(Status(cameras, 7, 9.96, 3)) == "1 of 2 cameras live (1 offline: b); 10.0 batches/s; 3 people"
    assert summary(Status(cameras[:1], 7, 9.96, 3)) == "1 of 1 cameras live; 10.0 batches/s; 3 people"


def test_a_journal_without_its_library_gets_the_priority_of_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "systemd.journal", None)
    with (tmp_path / "stream").open("w+") as stream:
        of_stream = os.fstat(stream.fileno())
        handler = logs.handler({"JOURNAL_STREAM": f"{of_stream.st_dev}:{of_stream.st_ino}"}, stream)
        handler.emit(logging.LogRecord("spoton_edge.x", logging.WARNING, "", 0, "one\ntwo", None, None))
        stream.seek(0)
        assert stream.read() == "<4>spoton_edge.x: one\n<4>two\n"


@pytest.mark.parametrize("environment", [{}, {"JOURNAL_STREAM": "1:2"}])
def test_where_stderr_is_not_the_journal_lines_are_for_people(environment: dict[str, str]) -> None:
    stream = io.StringIO()
    handler = logs.handler(environment, stream)
    handler.emit(logging.LogRecord("spoton_edge.x", logging.WARNING, "", 0, "careful", None, None))
    assert stream.getvalue() == "WARNING spoton_edge.x: careful\n"


def test_a_library_of_the_journal_takes_the_fields_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = pytest.importorskip("systemd.journal", reason="needs the extra [systemd]")
    sent: list[dict[str, object]] = []
    handler = journal.JournalHandler(sender_function=lambda text, /, **fields: sent.append(fields))
    record = logging.makeLogRecord({"msg": "live", "levelno": logging.INFO, "SPOTON_CAMERA": "c09"})
    handler.emit(record)
    assert sent[0]["SPOTON_CAMERA"] == "c09"


def test_who_came_and_went_is_for_a_log_that_can_be_filtered() -> None:
    program = (
        "import logging; from spoton_edge import logs; logs.set_up(logging.INFO);"
        "logging.getLogger(logs.PEOPLE).info('person 7'); logging.getLogger('spoton_edge.service').info('here')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "INFO    spoton_edge.service: here\n"

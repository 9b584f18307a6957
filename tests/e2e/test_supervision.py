"""The daemon under a supervisor that speaks systemd's protocol; tests/e2e has a real systemd, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spoton_edge.client import Subscriber, Tracks
from tests.clip import write_site
from tests.e2e.daemon import running
from tests.test_systemd import Manager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    yield made
    made.socket.close()


def hear(manager: Manager, wanted: Callable[[list[str]], bool], within_s: float = 60.0) -> list[str]:
    """Every line until they are as wanted."""
    lines: list[str] = []
    deadline = time.monotonic() + within_s
    while not wanted(lines):
        assert time.monotonic() < deadline, lines
        lines += manager.heard()
        time.sleep(0.02)
    return lines


def test_the_daemon_is_ready_with_its_cameras_feeds_the_watchdog_and_says_goodbye(
    clip: Path, detector: str, tmp_path: Path, manager: Manager
) -> None:
    site = write_site(tmp_path, clip, detector)
    with running(site, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:
        lines = hear(manager, lambda lines: "READY=1" in lines)
        assert "STATUS=loading networks" in lines
        while not isinstance(subscriber.receive(60.0), Tracks):
            pass
        lines = hear(manager, lambda lines: lines.count("WATCHDOG=1") >= 2 and any("people" in x for x in lines))
        assert any(line.startswith("STATUS=2 of 2 cameras live; ") for line in lines)
        assert daemon.stop() == 0
    assert manager.heard()[-2:] == ["STOPPING=1", "STATUS=stopping"]


def test_a_site_whose_cameras_are_all_down_starts_and_is_fed(
    clip: Path, detector: str, tmp_path: Path, manager: Manager
) -> None:
    site = write_site(tmp_path, clip, detector)
    site.write_text(site.read_text().replace(str(clip), "rtsp://127.0.0.1:1/none"))
    with running(site, tmp_path) as daemon:
        told = "STATUS=0 of 2 cameras live (2 offline: W, E); 0.0 batches/s; 0 people"
        hear(manager, lambda lines: "READY=1" in lines and told in lines and lines.count("WATCHDOG=1") >= 2)
        assert daemon.stop() == 0

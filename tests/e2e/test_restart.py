"""A daemon that is killed or stopped, and started again: who is still there keeps the id."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from spoton_edge.client import Event, Subscriber, Tracks
from tests.e2e.daemon import Daemon, running
from tests.steady import camera, write_detector, write_site


def people(daemon: Daemon, expected: int) -> tuple[dict[tuple[str, float], int], list[Event]]:
    """Ids by camera and place in the picture, once so many are visible; and the events on the way."""
    events = []
    with Subscriber(daemon.endpoint) as subscriber:
        while True:
            message = subscriber.receive(60.0)
            assert message is not None, daemon.log
            if isinstance(message, Event):
                events.append(message)
            if isinstance(message, Tracks) and sum(person.state == "visible" for person in message.tracks) == expected:
                views = [(view, person.id) for person in message.tracks for view in person.views]
                if len(views) == expected:
                    return {(view.camera, round(view.box[0], -1)): number for view, number in views if view.box}, events


@pytest.fixture
def site(tmp_path: Path) -> Path:
    cameras = [camera("a", 0.0), camera("b", 10.0), camera("c")]  # the last has no floor
    publish = {"bind": ["ENDPOINT"], "snapshot": "ENDPOINT-snapshot"}
    return write_site(tmp_path / "site.yaml", write_detector(tmp_path), cameras, publish=publish)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_people_still_in_view_keep_their_ids_over_a_restart(number: signal.Signals, site: Path, tmp_path: Path) -> None:
    kept = tmp_path / "steady.people.json"
    with running(site, tmp_path) as daemon:
        before, _ = people(daemon, 6)
        while not kept.exists() or len(json.loads(kept.read_text())["people"]) < 6:
            assert daemon.process.poll() is None
        daemon.stop(number)
    with running(site, tmp_path) as daemon:
        after, events = people(daemon, 6)
        assert after == before
        found = [event for event in events if event.event == "handed_off"]
        assert all(event.reason is not None and event.reason["gate"] == "restart" for event in found)
        assert not [event for event in events if event.event == "appeared"]


def test_a_file_that_was_damaged_is_set_aside_and_nobody_gets_an_old_id(site: Path, tmp_path: Path) -> None:
    with running(site, tmp_path) as daemon:
        before, _ = people(daemon, 6)
        daemon.stop()
    (tmp_path / "steady.people.json").write_text('{"version": 99}')
    with running(site, tmp_path) as daemon:
        after, _ = people(daemon, 6)
        assert "is not understood (version 99, not 1)" in daemon.log
    assert (tmp_path / "steady.people.json.bad").exists()
    assert min(after.values()) > max(before.values())

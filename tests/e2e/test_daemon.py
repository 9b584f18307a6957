"""The daemon as a process on real footage, heard through real sockets."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from spoton_edge import wire
from spoton_edge.client import Message, Status, Subscriber, Tracks
from tests.clip import estimate, write_site
from tests.e2e.daemon import hear, running
from tests.pets import Truth

FRAMES = 240


@pytest.fixture(scope="module")
def heard(clip: Path, detector: str, tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """Everything published of the clip's first frames."""
    scratch = tmp_path_factory.mktemp("clip")
    site = write_site(scratch, clip, detector)
    with running(site, scratch, "--fast", "--wait-for-subscriber", "60") as daemon:
        messages = hear(daemon, until_seq=FRAMES)
        assert daemon.stop() == 0
    return messages


def test_every_frame_is_published_once_and_in_order(heard: list[Message]) -> None:
    tracks = [message for message in heard if isinstance(message, Tracks)]
    assert [message.seq for message in tracks] == list(range(1, FRAMES + 1))
    for before, after in itertools.pairwise(tracks):
        assert set(after.captured) == {"W", "E"}
        assert after.captured["W"] == after.captured["E"]
        # The clip's own clock: ten frames a second.
        assert after.captured["W"] - before.captured["W"] == pytest.approx(0.1, abs=0.002)


def test_every_message_is_what_its_schema_says(heard: list[Message]) -> None:
    schemas = wire.schemas()
    for message in heard:
        jsonschema.validate(message.raw, schemas[message.kind])
    assert {message.kind for message in heard} >= {"tracks", "events", "site", "status"}


def test_no_id_is_twice_in_one_camera_at_one_instant(heard: list[Message]) -> None:
    for message in heard:
        if isinstance(message, Tracks):
            assert len({person.id for person in message.tracks}) == len(message.tracks)
            seen = [(person.id, view.camera) for person in message.tracks for view in person.views]
            assert len(set(seen)) == len(seen)


def test_people_in_the_overlap_are_one_id_with_two_views(heard: list[Message], shared_data: Path) -> None:
    truth = Truth(shared_data)
    matched = estimate(heard).match(truth)
    both = [
        (matched[frame, "W", person], matched[frame, "E", person])
        for frame, camera, person in matched
        if camera == "W" and (frame, "E", person) in matched
    ]
    assert len(both) > 50
    assert sum(west == east for west, east in both) >= 0.85 * len(both)


def test_at_least_half_of_the_first_handoffs_keep_their_id(heard: list[Message], shared_data: Path) -> None:
    """The clip's beginning is its hardest part: two of the people are hardly ever detected in one of the cameras. The
    whole clip's figure is printed by `python -m tests.bench.clip`."""
    truth = Truth(shared_data)
    matched = estimate(heard).match(truth)
    kept = 0
    handoffs = [handoff for handoff in truth.handoffs() if handoff.next_alone <= FRAMES - 10]
    for handoff in handoffs:
        before = [matched.get((handoff.last_alone - k, handoff.first, handoff.person)) for k in range(10)]
        after = [matched.get((handoff.next_alone + k, handoff.second, handoff.person)) for k in range(10)]
        first = next((identity for identity in before if identity), None)
        second = next((identity for identity in after if identity), None)
        kept += first is not None and first == second
    assert len(handoffs) == 6
    assert 2 * kept >= len(handoffs)


def test_places_are_near_the_truth(heard: list[Message], shared_data: Path) -> None:
    truth = Truth(shared_data)
    said = estimate(heard)
    errors = sorted(
        float(((said.ground[frame, identity] - truth.ground[frame, person]) ** 2).sum() ** 0.5)
        for (frame, _, person), identity in said.match(truth).items()
        if (frame, identity) in said.ground
    )
    assert errors[len(errors) // 2] < 0.3  # metres


def test_the_status_tells_of_both_cameras_and_every_stage(heard: list[Message]) -> None:
    status = [message for message in heard if isinstance(message, Status)][-1]
    assert [camera["name"] for camera in status.cameras] == ["W", "E"]
    assert all(camera["bad_frames"] == 0 and camera["dropped"] == 0 for camera in status.cameras)
    assert set(status.stages) == {"detect", "track", "project", "embed", "associate", "publish"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_cleanly(number: signal.Signals, clip: Path, detector: str, tmp_path: Path) -> None:
    site = write_site(tmp_path, clip, detector)
    with running(site, tmp_path) as daemon:
        with Subscriber(daemon.endpoint) as subscriber:
            while not isinstance(subscriber.receive(60.0), Tracks):
                pass
        assert daemon.stop(number) == 0
        assert "Traceback" not in daemon.log


def test_watch_prints_one_message_a_line(clip: Path, detector: str, tmp_path: Path) -> None:
    site = write_site(tmp_path, clip, detector)
    with running(site, tmp_path) as daemon:
        command = [sys.executable, "-m", "spoton_edge", "watch", "--json", daemon.endpoint]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
            assert watch.stdout is not None
            kinds = {json.loads(watch.stdout.readline())["kind"] for _ in range(30)}
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=30)  # what it had yet to say fills the pipe unless somebody reads on
            assert watch.returncode == 0
    assert {"tracks", "status"} <= kinds


def test_real_time_drops_frames_it_has_no_time_for_and_counts_them(clip: Path, detector: str, tmp_path: Path) -> None:
    # An input so large that no CPU keeps up with ten frames a second of two cameras.
    site = write_site(tmp_path, clip, detector, detector={"input": [1920, 1920]}, runtime={"threads": 1})
    with running(site, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:
        while True:
            message = subscriber.receive(120.0)
            assert message is not None
            if isinstance(message, Status) and all(camera["dropped"] > 3 for camera in message.cameras):
                break
        assert daemon.stop() == 0

"""What the demo remembers of the messages it hears, and the map it draws of that."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from spoton_edge.client import Missed
from spoton_edge.demo import BREAK_FRAMES, Story
from spoton_edge.demo_map import CameraView, draw
from spoton_edge.demo_page import live_page, stays_open
from spoton_edge.messages import parse
from spoton_edge.types import GlobalTracks
from spoton_edge.wire import Message
from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, handoff, people, site

BY = encoder()
LONG_DEMO = """
import signal, sys
from spoton_edge import cli, demo

def run(**_):
    try:
        print("runs", flush=True)
        signal.pause()
    finally:
        print("put away", flush=True)

demo.run = run
sys.exit(cli.main(["demo"]))
"""
SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def tell(story: Story, message: Message, seq: int) -> None:
    heard = parse(json.loads(message.payload(seq)))
    assert heard is not None
    story.hear(heard)


def tracks(who: GlobalTracks) -> Message:
    return BY.tracks(who, CAMERA_NUMBERS, CAPTURED_NS, 1.0)


@pytest.mark.parametrize(("pause", "breaks"), [(BREAK_FRAMES, 0), (BREAK_FRAMES + 1, 1)])
def test_a_trail_is_interrupted_where_somebody_was_away_for_longer(pause: int, breaks: int) -> None:
    story = Story()
    for seq in (1, 2, 2 + pause):
        tell(story, tracks(people(1)), seq)
    (trail,) = story.trails().values()
    assert np.isnan(trail[:, 0]).sum() == breaks
    assert np.isfinite(trail[:, 0]).sum() == 3
    assert story.frames == 2 + pause


def test_the_moment_shown_is_the_one_with_the_most_people_in_two_cameras() -> None:
    story = Story()
    for seq, (count, views_each) in enumerate([(5, 1), (2, 2), (3, 2), (1, 2)], start=1):
        tell(story, tracks(people(count, views_each)), seq)
    assert story.moment == 3
    assert {camera: [identity for identity, _ in boxes] for camera, boxes in story.boxes.items()} == {
        "c1": [1, 2, 3],
        "c2": [1, 2, 3],
    }


def test_handoffs_losses_and_footprints_are_kept() -> None:
    story = Story()
    tell(story, BY.event(handoff()), 1)
    tell(story, BY.site(site()), 1)
    story.hear(Missed("spoton/1/lobby/tracks", 4))
    assert (story.handoffs, story.missed) == (1, 4)
    assert story.footprints()["c1"].tolist() == [[0, 0], [6.4, 0], [6.4, 4.8]]
    assert story.footprints()["c2"].shape == (0, 2)


def test_the_map_has_one_colour_for_each_id(tmp_path: Path) -> None:
    image = np.zeros((40, 30, 3), np.uint8)
    view = CameraView("c1", image, [(1, (2, 4, 12, 34))])
    trail = np.array([[1.0, 1.0], [5.0, 5.0], [np.nan, np.nan], [6.0, 5.0]])
    pictures = []
    for number, trails in enumerate([{}, {1: trail}, {1: trail, 2: trail + 2}]):
        path = tmp_path / f"{number}.png"
        footprints = {"c1": SQUARE, "c2": SQUARE + 5, "none": np.zeros((0, 2))}
        draw(path, trails, [view], footprints, title="2 ids", subtitle="a clip")
        pictures.append(cv2.imread(str(path)))
    assert len({picture.shape for picture in pictures}) == 1
    for number, picture in enumerate(pictures):
        hue = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)[:, :, 0][np.ptp(picture, axis=2) > 120]  # 0 to 180
        # One strong hue for each id, in trail and box alike; all else is grey and pale.
        assert (np.bincount(hue // 12, minlength=15) > 100).sum() == number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_or_whose_window_is_closed_puts_away_what_it_started(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", LONG_DEMO], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        process.send_signal(number)
        assert process.stdout.read() == "put away\n"
    assert process.returncode == 128 + number


@pytest.mark.parametrize(
    ("terminals", "environment", "stays"),
    [
        ((True, True), {}, True),
        ((True, True), {"CI": "true"}, False),
        ((True, True), {"DEMO_SECONDS": "20"}, False),
        ((False, True), {}, False),
        ((True, False), {}, False),
    ],
)
def test_the_map_stays_open_only_where_a_person_sits_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminals: tuple[bool, bool], environment: dict[str, str], stays: bool
) -> None:
    for stream, terminal in zip((sys.stdin, sys.stdout), terminals, strict=True):
        monkeypatch.setattr(stream, "isatty", lambda terminal=terminal: terminal, raising=False)
    assert stays_open(environment) == stays


def test_the_page_beside_the_demo_is_served_until_the_demo_ends(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "site.yaml").write_text(f"cameras: [{{name: a, source: {tmp_path}/a.mp4}}]\n")
    with live_page("--site", tmp_path / "site.yaml") as page:
        assert not page.started
        page.start()
        found = re.search(r"^live map: (http://127\.0\.0\.1:\d+/)", page.said)
        assert found
        with urllib.request.urlopen(found[1], timeout=20) as answer:
            assert b"<title>Live map</title>" in answer.read()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(found[1], timeout=20)


def test_a_page_that_cannot_be_served_does_not_keep_the_demo_from_its_work(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("cameras: []")
    with live_page("--site", tmp_path / "site.yaml") as page:
        page.start()
        assert page.said == ""

"""The demo of many boxes: who walks on in the simulated one, how grounds lie, what is remembered of a run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from spoton_edge import config
from spoton_edge.cli import main
from spoton_edge.client import Event, Identities, Tracks
from spoton_edge.demo import CLIP_VARIABLE, write_site
from spoton_edge.demo_site import boxes
from spoton_edge.demo_site.boxes import POSES, Ground, write_box
from spoton_edge.demo_site.machines import Machine, Machines
from spoton_edge.demo_site.story import SiteStory, short
from spoton_edge.demo_site.walkers import SHARED_M, SIZE_M, Walkers
from spoton_edge.errors import ExitCode
from spoton_edge.messages import Identity, Track, View
from spoton_edge.types import F8

HEAD = ("demo", "box", "ab", 1, 0.0, {})
EDGE_M = SIZE_M[1] - SHARED_M  # where E sees no further


def tracks(time: float, *people: Track) -> Tracks:
    return Tracks(*HEAD, {"c": time}, 0.0, people)


def person(number: int, site_id: int | None, box: tuple[float, float, float, float]) -> Track:
    views = (View("c", 1, 0.9, box),)
    return Track(number, 0.0, 0.0, 0.0, 0.0, (0.1, 0.0, 0.1), "visible", 1.0, "c", views, site_id)


def at(x: float, y: float, vx: float = 0.0, vy: float = -1.2) -> tuple[F8, F8]:
    return np.array([x, y]), np.array([vx, vy])


def walk(walkers: Walkers, seen: list[dict[int, tuple[F8, F8]]]) -> list[dict[int, F8]]:
    """Ten times a second; where everybody is."""
    told = [walkers.move(tracks(1000 + 0.1 * k), who) for k, who in enumerate(seen)]
    return [dict(zip(people.global_id.tolist(), people.xy, strict=True)) for people in told]


def test_who_leaves_the_clip_walks_on_alone_and_leaves_at_the_far_end() -> None:
    approach = [{7: at(5.0, 13.5 - 0.12 * k)} for k in range(20)]
    places = walk(Walkers(), [*approach, *[{}] * 200])
    assert set(places[0]) == {1}
    assert places[0][1] == pytest.approx([5.0, 13.5], abs=0.4)
    assert places[60][1][1] == pytest.approx(EDGE_M - 4.5, abs=1.0)
    gone = next(k for k, here in enumerate(places) if not here)
    assert 70 < gone < 150
    assert not any(places[gone:])


def test_who_turns_back_at_the_edge_is_not_made_to_walk_on() -> None:
    places = walk(Walkers(), [*[{7: at(5.0, 13.8, vy=0.5)}] * 5, *[{}] * 10])
    assert places[4]
    assert not places[-1]


def test_who_has_a_new_id_in_the_clip_is_the_same_walker() -> None:
    places = walk(Walkers(), [{7: at(5.0, 12.5)}, {}, {8: at(5.1, 12.3)}, {8: at(5.1, 12.2)}])
    assert [set(here) for here in places] == [{1}] * 4


def test_who_is_not_at_the_edge_is_not_seen() -> None:
    assert walk(Walkers(), [{7: at(5.0, EDGE_M - 1)}, {7: at(SIZE_M[0] + 1, 13)}]) == [{}, {}]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Site:
    (tmp_path / "clip.avi").touch()
    monkeypatch.setenv(CLIP_VARIABLE, str(tmp_path / "clip.avi"))
    return write_site(tmp_path)


@pytest.mark.parametrize("name", POSES)
def test_a_pixel_lies_in_the_same_place_of_the_site_whichever_box_has_the_camera(
    name: str, tmp_path: Path, shipped: config.Site
) -> None:
    box = write_box(tmp_path, Machine(name, "127.0.0.1"), 4223, shipped)
    told = config.load(box.file)
    assert told.uplink.pose == POSES[name]
    assert told.box == name
    for camera, whole in ((c, w) for c in told.cameras for w in shipped.cameras if c.name == w.name):
        pixel = np.array([200.0, 500.0, 1.0])
        for own, site in ((camera, Ground(POSES[name]).to_site), (whole, np.eye(3))):
            assert own.ground is not None
            place = site @ np.array(own.ground.homography) @ pixel
            if own is camera:
                here = place[:2] / place[2]
        assert here == pytest.approx(place[:2] / place[2], abs=1e-6)


def test_machines_that_only_root_could_make_share_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machines = Machines()
    assert "only root" in machines.why_not
    assert machines.machine("hub") == Machine("hub", "127.0.0.1")
    machines.close()


def test_the_servers_of_the_demo_have_ports_of_their_own(tmp_path: Path) -> None:
    names = ["W", "E", "S"]
    ports = boxes.enroll(tmp_path, Machine("hub", "127.0.0.1"), [Machine(name, "127.0.0.1") for name in names])
    assert len(set(ports.values())) == 4
    for name in names:
        assert f"127.0.0.1:{ports[name]}" in (tmp_path / "boxes" / name / "leaf.conf").read_text()


def test_handoffs_between_boxes_are_counted_and_those_within_one_are_not() -> None:
    story = SiteStory(7.0)
    for event, source, target in (
        ("appeared", None, "W"),
        ("handed_off", "W", "E"),
        ("handed_off", "E", "E"),
        ("merged", None, "E"),
    ):
        story.hear_site(Event(*HEAD, event, 0.0, 5, None, target, source, None, None))
    assert story.handoffs == {("W", "E"): 1}
    assert story.corrected == 1


def test_the_moment_shown_is_the_one_with_the_most_people_on_two_boxes_in_the_frames_of_each() -> None:
    story = SiteStory(10.0)
    box = (1.0, 2.0, 3.0, 4.0)
    story.hear_box("W", tracks(100.0))
    story.hear_box("E", tracks(100.2))
    story.hear_box("W", tracks(100.5, person(1, 77, box), person(2, 78, box), person(3, None, box)))
    story.hear_box("E", tracks(100.5, person(9, 77, box)))
    story.hear_box("E", tracks(100.6))
    assert story.moment == {"W": (6, [(77, box), (78, box)]), "E": (4, [(77, box)])}
    assert story.apart_s == pytest.approx(0.2)


def test_the_people_of_a_box_are_counted_by_its_own_ids() -> None:
    story = SiteStory(10.0)
    for number in (1, 1, 2):
        story.hear_box("W", Identities(*HEAD, 0.0, (Identity("ab", number, 5, 0.0),)))
    assert story.people == {"W": {1, 2}}


def test_ids_are_written_short() -> None:
    assert short(891327418190903) == "0903"


@pytest.mark.parametrize("given", ["0", "soon", "-3"])
def test_a_length_that_is_none_is_refused_in_a_line(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMO_SECONDS", given)
    assert main(["demo-site"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "error: --seconds, DEMO_SECONDS: write a number above 0\n"

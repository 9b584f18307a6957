"""The live map in a real browser."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq
from playwright.sync_api import Browser, expect

from spoton_edge.client import Subscriber
from spoton_edge.types import Event, MapDescription, Reason, TrackState
from tests.e2e.browser import PATIENCE_MS, MainThread, chromium, opened
from tests.e2e.feed import CAMERAS, SPEED_MPS, Feed
from tests.e2e.map_page import read, row
from tests.waiting import until
from tests.web import Served, serving

pytestmark = pytest.mark.timeout(120)

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
FORGED = '<img src=x onerror="window.forged=1">'
CROWD_S = 60.0 if os.environ.get("SPOTON_CI") else 6.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as found:
        yield found


@contextmanager
def viewing(feed: Feed, *more: str, bind: str = "127.0.0.1:0") -> Iterator[Served]:
    command = ["-m", "spoton_edge", "view", feed.endpoint, "--snapshot", feed.snapshot, "--bind", bind, *more]
    with serving(*command) as served:
        yield served


@pytest.fixture(scope="module")
def daemon() -> Iterator[Feed]:
    """Of a site with three people, who walk for as long as the tests run."""
    with Feed() as feed:
        yield feed


@pytest.fixture(scope="module")
def hall(daemon: Feed) -> Iterator[Served]:
    """The map of that site."""
    with viewing(daemon) as served:
        yield served


def test_people_appear_and_move_and_keep_their_colour_across_a_handoff(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 1)).to_contain_text("visible")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#count")).to_have_text("3")
        page.locator("#pause").scroll_into_view_if_needed()
        start = until(lambda: read(page, "place", 1))
        until(lambda: abs(read(page, "place", 1)["x"] - start["x"]) > 1.0)
        ink = read(page, "dot", 1)
        for camera in CAMERAS:  # the box and the label in its card
            until(lambda camera=camera: read(page, "inked_px", [ink, camera]) > 50)  # type: ignore[misc]
        expect(page.locator("#log")).to_contain_text("1 went from")
        assert read(page, "dot", 1) == ink
        assert not np.allclose(ink, until(lambda: read(page, "dot", 2)), atol=40)


def test_a_click_follows_a_person_with_the_best_view_in_front_and_the_why(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 2)).to_be_visible()
        expect(page.locator("#log")).to_contain_text("2 went from")
        page.keyboard.press(" ")  # people walk: a click that is aimed here may be late
        expect(page.locator("#link")).to_have_text("paused")
        page.mouse.click(*until(lambda: read(page, "place", 2) and read(page, "dot_at", 2)))
        expect(page.locator("#person-id")).to_have_text("2")
        page.locator("#live").click()
        expect(page.locator("#person-way")).to_contain_text("gate overlap · 0.31 m off · cosine 0.92 · margin 4.2")
        expect(page.locator("#person-why")).to_contain_text("gate overlap")
        expect(row(page, 2).locator("button")).to_have_attribute("aria-pressed", "true")
        for camera in CAMERAS:  # the card in front changes as the person walks from one view to the other
            expect(page.locator("#cameras .camera").first).to_have_attribute("data-camera", camera)
            expect(page.locator("#cameras .camera").first).to_have_class("camera first")
        until(lambda: read(page, "off_centre_px", 2) < 80)  # the map keeps a followed person in its middle
        page.keyboard.press("Escape")
        expect(page.locator("#person")).to_be_hidden()


def test_a_click_on_a_camera_shows_what_it_covers_and_its_health_is_told(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        card = page.locator('[data-camera="west"]')
        expect(card).to_contain_text("live")
        east = page.locator('[data-camera="east"]')
        expect(east).to_contain_text("stalled")
        expect(east).to_contain_text("15.0 fps, 4 dropped, 1 damaged, clock +120 ms")
        expect(card.locator(".zones")).to_contain_text("door")
        until(lambda: read(page, "mark_at", "west"))
        plain = read(page, "ground", [-4.03, 2.97])
        card.click()
        expect(card).to_have_attribute("aria-pressed", "true")
        until(lambda: read(page, "ground", [-4.03, 2.97]) != plain)
        page.mouse.click(*read(page, "mark_at", "west"))  # the same by its mark on the map
        expect(card).to_have_attribute("aria-pressed", "false")


@pytest.fixture
def states(daemon: Feed) -> Iterator[dict[int, TrackState]]:
    """Of the people of the hall, as long as a test wants them to be in others."""
    yield daemon.walk.states
    daemon.walk.states.clear()


def test_whether_somebody_is_visible_predicted_or_lost_is_shown(
    browser: Browser, hall: Served, states: dict[int, TrackState]
) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 3)).to_contain_text("visible")
        ink = until(lambda: read(page, "dot", 3))
        row(page, 3).locator("button").click()
        expect(page.locator("#cameras .first")).to_have_count(1)
        states[3] = TrackState.COASTING
        expect(row(page, 3)).to_contain_text("predicted")
        expect(page.locator("#person-state")).to_have_text("predicted")
        assert page.locator("#cameras .first").count() == 1  # where they were seen last
        page.keyboard.press("Escape")
        expect(page.locator("#cameras .first")).to_have_count(0)
        until(lambda: not np.allclose(read(page, "dot", 3), ink, atol=40))  # a ring
        expect(page.locator("#count")).to_have_text("3")
        states[3] = TrackState.LOST
        expect(row(page, 3)).to_have_count(0)
        expect(page.locator("#count")).to_have_text("2")
        assert read(page, "place", 3)  # fading on the map, where it was last
        del states[3]
        expect(row(page, 3)).to_contain_text("visible")
        until(lambda: np.allclose(read(page, "dot", 3), ink, atol=6))


def test_pause_scrub_and_replay(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        until(lambda: read(page, "history_ms") > 2500)
        page.locator('[data-camera="west"]').click()
        page.keyboard.press(" ")  # pauses, also after a click: the button does not take it
        expect(page.locator("#link")).to_have_text("paused")
        expect(page.locator('[data-camera="west"]')).to_have_attribute("aria-pressed", "true")
        still, heard_s = read(page, "place", 1), read(page, "heard_s")
        until(lambda: read(page, "heard_s") > heard_s + 0.4)
        assert read(page, "place", 1) == still
        page.locator("#scrub").evaluate(
            "(input) => { input.value = Number(input.value) - 1.5; input.dispatchEvent(new Event('input')); }"
        )
        earlier = until(lambda: (then := read(page, "place", 1)) != still and then)
        # As far as they walk, if they did not turn round.
        assert abs(earlier["x"] - still["x"]) <= 1.5 * SPEED_MPS + 0.5
        expect(page.locator("#moment")).to_have_text(re.compile(r"\d:\d\d$"))
        expect(row(page, 1)).to_be_visible()
        page.locator("#pause").click()
        expect(page.locator("#link")).to_have_text("replay")
        until(lambda: read(page, "place", 1) != earlier)
        page.locator("#live").click()
        expect(page.locator("#link")).to_have_text("live")
        assert read(page, "live")


def test_a_recording_is_played_on_the_map(browser: Browser, daemon: Feed, tmp_path: Path) -> None:
    recording = tmp_path / "hall.jsonl"
    with Subscriber(daemon.endpoint, snapshot=daemon.snapshot) as subscriber:
        lines = []
        while sum('"tracks"' in line[:40] for line in lines) < 30:
            message = subscriber.receive(10.0)
            assert message is not None
            if message.kind != "missed":
                lines.append(json.dumps(message.raw | {"time": message.time - 3600.0}))
    recording.write_text("\n".join(lines))
    command = [sys.executable, "-m", "spoton_edge", "play", str(recording), "--wait-for-subscriber", "30"]
    with Feed() as free:
        endpoint, snapshot = free.endpoint, free.snapshot
    play = [*command, "--bind", endpoint, "--snapshot", snapshot]
    with subprocess.Popen(play, stderr=subprocess.DEVNULL) as player:
        try:
            with viewing(free) as served, opened(browser, served.url) as page:
                expect(row(page, 1)).to_be_visible()
                start = until(lambda: read(page, "place", 1))
                until(lambda: abs(read(page, "place", 1)["x"] - start["x"]) > 0.5)
                expect(page.locator("#latency")).to_have_text("recorded")
        finally:
            player.kill()


def test_a_daemon_that_stops_and_starts_again_is_told_and_shown_again(browser: Browser) -> None:
    first = Feed(run="aaaa")
    with viewing(first) as served, opened(browser, served.url) as page:
        expect(row(page, 1)).to_be_visible()
        first.close()
        expect(page.locator("#notice")).to_contain_text("The daemon has been silent")
        expect(page.locator("#link")).to_have_text("silent")
        expect(row(page, 1)).to_be_visible()  # what it last said stays, and is marked as old
        with Feed(run="bbbb", first_id=70, bind=first.endpoint, snapshot=first.snapshot):
            expect(row(page, 70)).to_be_visible()
            expect(page.locator("#notice")).to_be_hidden()
            expect(page.locator("#link")).to_have_text("live")
            expect(row(page, 1)).to_have_count(0)
            expect(page.locator("#log")).to_contain_text("the daemon was started again")


def test_a_page_whose_server_goes_and_comes_back_recovers(browser: Browser, daemon: Feed) -> None:
    with viewing(daemon) as served, opened(browser, served.url) as page:
        expect(row(page, 1)).to_be_visible()
        assert served.stop() == 0
        expect(page.locator("#notice")).to_contain_text("The server of this page does not answer")
        with viewing(daemon, bind=served.host):
            expect(page.locator("#notice")).to_be_hidden()
            expect(page.locator("#link")).to_have_text("live")


def test_what_is_wrong_with_an_endpoint_is_told_until_a_daemon_is_there(browser: Browser) -> None:
    with Feed() as free:
        pass
    with viewing(free) as served, opened(browser, served.url) as page:
        notice = page.locator("#notice")
        expect(notice).to_contain_text(f"Waiting for {free.endpoint}: is it running, and is this its publish.bind?")
        expect(notice).to_contain_text("start with --key")
        with zmq.Context() as context, context.socket(zmq.PUB) as hoax:
            hoax.bind(free.endpoint)

            def unreadable() -> bool:
                hoax.send_multipart([b"spoton/1/hall/tracks", b'{"v": 7}'])
                return f"What {free.endpoint} sends cannot be read" in notice.inner_text()

            until(unreadable)
        with Feed(bind=free.endpoint, snapshot=free.snapshot):
            expect(row(page, 1)).to_be_visible()
            expect(notice).to_be_hidden()


def test_ids_that_were_put_right_and_reloads_are_told(browser: Browser, daemon: Feed, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 1)).to_be_visible()
        daemon.tell(Event("split", 0, 1, other=3, camera=0, reason=Reason("overlap", 0.9)))
        daemon.tell(Event("exchanged", 0, 1, other=2, reason=Reason("stature", 1.25, margin=6.0)))
        daemon.tell(Event("reload", 0, detail="refused: site.yaml, line 3: cameras[0].sorce: unknown key"))
        log = page.locator("#log")
        expect(log).to_contain_text("1 turned out to be two: the other is 3")
        expect(log).to_contain_text("1 and 2 had been taken for one another")
        expect(log).to_contain_text("reload refused: site.yaml, line 3: cameras[0].sorce: unknown key")
        row(page, 2).locator("button").click()
        expect(page.locator("#person-way")).to_contain_text("gate stature · 1.25 m apart · margin 6.0")


def test_names_from_messages_are_text_and_nothing_else(browser: Browser) -> None:
    """A forged daemon: its names and words hold markup wherever a message has a word."""
    forged = Feed(names=(FORGED, "east"), site="<b>hall</b>")
    with forged as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(page.locator("#site")).to_have_text("<b>hall</b>")
        expect(page.locator("#cameras")).to_contain_text(FORGED)
        expect(page.locator("#log")).to_contain_text(FORGED)
        page.locator("#people button").first.click()
        expect(page.locator("#person-way")).to_contain_text(FORGED)
        assert read(page, "forged") == [0, None]


def spotted(axes: str) -> tuple[bytes, MapDescription]:
    """A plan of 20 px a metre, whose (0, 0) is at pixel (160, 150), with a red spot of one metre around (2, 3) m."""
    down = 1 if axes == "y_down" else -1
    plan = np.full((300, 320, 3), 255, np.uint8)
    u, v = 160 + 2 * 20, 150 + down * 3 * 20
    plan[v - 10 : v + 10, u - 10 : u + 10] = (0, 0, 255)
    png = cv2.imencode(".png", plan)[1].tobytes()
    return png, MapDescription(20.0, (160.0, 150.0), axes, hashlib.sha256(png).hexdigest())


def test_the_floor_plan_lies_where_the_site_file_says_also_when_that_changes(browser: Browser) -> None:
    with Feed() as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(row(page, 1)).to_be_visible()

        def red(x: float, y: float) -> bool:
            r, g, _, _ = read(page, "ground", [x, y])
            return bool(r > 1.5 * g)

        assert not red(2.03, 3.02)  # a grid
        for axes, up in (("y_up", True), ("y_down", False)):
            feed.lay(*spotted(axes))
            until(lambda up=up: read(page, "y_up") == up and red(2.03, 3.02))  # type: ignore[misc]
            assert not red(2.83, 3.02)
            assert not red(2.03, -3.02)


def test_the_map_is_saved_as_a_picture(browser: Browser, hall: Served, tmp_path: Path) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 1)).to_be_visible()
        with page.expect_download() as caught:
            page.locator("#export").click()
        saved = tmp_path / caught.value.suggested_filename
        caught.value.save_as(saved)
        assert saved.name.startswith("hall-")
        image = cv2.imread(str(saved))
        assert image is not None
        assert image.shape[1] == read(page, "width")
        # People, footprints and words, not a blank sheet.
        assert len(np.unique(image.reshape(-1, 3).astype(np.int32) @ (1 << 16, 1 << 8, 1))) > 20


def test_light_and_dark_follow_the_system_until_the_button_says_otherwise(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url, color_scheme="dark") as page:
        dark = read(page, "papers")
        page.emulate_media(color_scheme="light")
        assert read(page, "papers") != dark
        page.keyboard.press("t")
        assert read(page, "papers") == dark
        page.reload()
        assert read(page, "papers") == dark
        expect(page.locator("#theme")).to_have_attribute("aria-label", "Switch to light")


def test_it_works_on_a_phone(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url, **PHONE) as page:
        expect(row(page, 3)).to_be_visible()
        assert not read(page, "wider_than_window")
        row(page, 3).locator("button").tap()
        expect(page.locator("#person")).to_be_in_viewport()  # the list is below both
        expect(page.locator("#floor")).to_be_in_viewport()
        assert read(page, "low_buttons") == []


def crowd(browser: Browser, seconds: float) -> list[float]:
    """200 people at 15 Hz for so long: the heap in MB after a collection, at each tenth of the time. In the end, the
    page has kept up, and its main thread was free most of the time."""
    with Feed(count=200) as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(page.locator("#count")).to_have_text("200")
        devtools = page.context.new_cdp_session(page)
        heaps = []
        thread = MainThread(page)
        for _ in range(10):
            page.wait_for_timeout(seconds * 100)
            devtools.send("HeapProfiler.collectGarbage")
            heaps.append(devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
        _, on_cpu = thread.shares()
        print(f"heap, MB: {', '.join(f'{heap:.1f}' for heap in heaps)}; main thread on the CPU {on_cpu:.0%}")
        assert on_cpu < 0.5
        until(lambda: read(page, "silence_ms") < 1000)
        expect(page.locator("#people li")).to_have_count(200)
        assert read(page, "elements") < 3000
        return heaps


def test_two_hundred_people_at_15_hz_leave_the_page_time_and_memory(browser: Browser) -> None:
    heaps = crowd(browser, CROWD_S)
    assert max(heaps[1:]) < heaps[0] + 12


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_people_for_ten_minutes_do_not_make_the_page_grow(browser: Browser) -> None:
    heaps = crowd(browser, 600.0)
    # The history fills memory that was set aside at the start; what comes and goes with messages is collected.
    assert max(heaps[5:]) < max(heaps[:3]) + 4


def test_the_demos_people_are_on_the_map_with_pictures_and_keep_colour(
    browser: Browser, clip: Path, detector: str, tmp_path: Path
) -> None:
    """The daemon on the real clip, its small pictures, and the first real handoff."""
    site = (Path(__file__).parents[2] / "calibration" / "demo-site.yaml").read_text()
    site = site.replace("detector:", f"detector:\n  model: {detector}").replace(
        "site: demo",
        f"site: demo\npublish: {{bind: ['ipc://{tmp_path}/tracks'], snapshot: 'ipc://{tmp_path}/snapshot', "
        f"preview: 'ipc://{tmp_path}/preview'}}\nruntime: {{control: 'ipc://{tmp_path}/control'}}",
    )
    file = tmp_path / "site.yaml"
    file.write_text(site)
    environment = os.environ | {"SPOTON_DEMO_VIDEO": str(clip)}
    command = [sys.executable, "-m", "spoton_edge", "--log-level", "error", "run", str(file), "--state", str(tmp_path)]
    with subprocess.Popen([*command, "--wait-for-subscriber", "60"], env=environment) as daemon:
        try:
            view = ["-m", "spoton_edge", "view", "--site", str(file), "--bind", "127.0.0.1:0"]
            with serving(*view, env=environment) as served, opened(browser, served.url) as page:
                expect(page.locator("#people li").first).to_be_visible()
                until(lambda: read(page, "pictures") == 2)
                handed = page.locator('#log li[data-kind="handed_off"]').first
                expect(handed).to_be_visible(timeout=60_000)
                handed.click()
                expect(page.locator("#person")).to_be_visible()
                expect(page.locator("#person-way")).to_contain_text("went from")
                expect(page.locator("#person-why")).to_contain_text("handed over from")  # of the control socket
                shades = read(page, "colours", int(page.locator("#person-id").inner_text()))
                assert len(shades) >= 2  # of before the handoff, and of after
                assert len(set(shades)) == 1
        finally:
            daemon.terminate()
            assert daemon.wait(timeout=30) == 0

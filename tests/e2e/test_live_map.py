"""The live map in a real browser."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from spoton_edge.client import Subscriber
from spoton_edge.types import MapDescription
from tests.e2e.browser import chromium, opened
from tests.e2e.feed import CAMERAS, SPEED_MPS, Feed
from tests.web import Served, serving

pytestmark = pytest.mark.timeout(120)

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
FORGED = '<img src=x onerror="window.forged=1">'
WAIT_S = 30.0

# What the page's modules know; they are the very instances that the page runs.
# What the page's modules know, in JavaScript; they are the very instances that the page runs.
READ = {
    "place": "(id) => app.floor.shown.get(id) ?? null",
    "live": "() => app.timeline.live",
    "history_ms": "() => app.model.history.length && app.model.history.newest - app.model.history.oldest",
    "silence_ms": "() => performance.now() - app.model.tracks.now",
    "pictures": "() => app.pictures.newest.size",
    "width": "() => app.floor.canvas.width",
    # Of a person in the list, and in every line of the log that begins with the id.
    "colours": """(id) => {
        const own = (line) => line.lastElementChild.textContent.startsWith(`${id} `);
        const lines = [...document.querySelectorAll('#log li')].filter(own);
        const shown = [...lines, ...document.querySelectorAll(`#people [data-id="${id}"]`)];
        return shown.map((one) => one.querySelector('.swatch').style.background);
    }""",
    # Where a person's dot, and where a camera's mark is in the window.
    "dot_at": """(id) => {
        const box = app.floor.canvas.getBoundingClientRect();
        const place = app.floor.shown.get(id);
        const [u, v] = app.floor.toScreen(place.x, place.y);
        return [u + box.left, v + box.top];
    }""",
    "mark_at": """(name) => {
        const box = app.floor.canvas.getBoundingClientRect();
        const mark = app.floor.ground.marks.find((one) => one.name === name);
        return mark ? [mark.u + box.left, mark.v + box.top] : null;
    }""",
    "off_centre_px": """(id) => {
        const place = app.floor.shown.get(id);
        const [u, v] = app.floor.toScreen(place.x, place.y);
        return Math.hypot(u - app.floor.view.width / 2, v - app.floor.view.height / 2);
    }""",
    # The colour of the ground at a place, of the middle of a person's dot, of their box in a camera's card.
    "ground": """([x, y]) => {
        const [u, v] = app.floor.toScreen(x, y);
        const ratio = app.floor.view.ratio;
        return [...app.floor.ground.context.getImageData(u * ratio, v * ratio, 1, 1).data];
    }""",
    "dot": """(id) => {
        const place = app.floor.shown.get(id);
        if (!place) return null;
        const [u, v] = app.floor.toScreen(place.x, place.y);
        const ratio = app.floor.view.ratio;
        return [...app.floor.context.getImageData(u * ratio, v * ratio, 1, 1).data].slice(0, 3);
    }""",
    "box": """([id, camera]) => {
        const canvas = document.querySelector(`[data-camera="${camera}"] canvas`);
        const known = app.model.site.cameras.find((one) => one.name === camera);
        const box = app.model.boxesAt(camera, null).find((one) => one.id === id)?.box;
        if (!canvas || !box) return null;
        const scale = canvas.width / known.size[0];
        const [u, v] = [box[0] * scale, ((box[1] + box[3]) / 2) * scale];
        return [...canvas.getContext("2d").getImageData(u, v, 1, 1).data].slice(0, 3);
    }""",
    "papers": "() => ['body', 'header'].map((one) => getComputedStyle(document.querySelector(one)).backgroundColor)",
    "low_buttons": """() => [...document.querySelectorAll('button')]
        .filter((one) => one.offsetParent && one.id !== 'unfollow' && one.getBoundingClientRect().height < 38)
        .map((one) => one.outerHTML)""",
    "wider_than_window": "() => document.documentElement.scrollWidth > innerWidth",
    "elements": "() => document.querySelectorAll('*').length",
    "forged": "() => [document.querySelectorAll('img, b b, #site *, #log li span *').length, window.forged ?? null]",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=int(WAIT_S * 1000))
    with chromium() as found:
        yield found


@contextmanager
def viewing(feed: Feed, *more: str, bind: str = "127.0.0.1:0") -> Iterator[Served]:
    command = ["-m", "spoton_edge", "view", feed.endpoint, "--snapshot", feed.snapshot, "--bind", bind, *more]
    with serving(*command) as served:
        yield served


@pytest.fixture(scope="module")
def hall() -> Iterator[Served]:
    """The map of a site with three people, who walk for as long as the tests run."""
    with Feed() as feed, viewing(feed) as served:
        yield served


def read(page: Page, what: str, argument: Any = None) -> Any:
    program = f"async (argument) => {{ const app = await import('/app.js'); return ({READ[what]})(argument); }}"
    return page.evaluate(program, argument)


def until(true: Callable[[], Any]) -> Any:
    """Waits for something to become true, and returns it."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {WAIT_S:.0f} s")


def row(page: Page, identity: int) -> Any:
    return page.locator(f'#people [data-id="{identity}"]')


def colours(page: Page, identity: int, camera: str) -> tuple[Any, Any] | None:
    """Of a person on the map and in a camera's card, as far as both show them, and both as of one moment."""
    dot, box = read(page, "dot", identity), read(page, "box", [identity, camera])
    return (dot, box) if dot and box and np.allclose(dot, box, atol=6) else None


def test_people_appear_and_move_and_keep_their_colour_across_a_handoff(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 1)).to_contain_text("visible")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.locator("#count")).to_have_text("3")
        page.locator("#pause").scroll_into_view_if_needed()
        start = until(lambda: read(page, "place", 1))
        until(lambda: abs(read(page, "place", 1)["x"] - start["x"]) > 1.0)
        seen: dict[str, Any] = {}
        for camera in CAMERAS:
            seen[camera], _ = until(lambda camera=camera: colours(page, 1, camera))  # type: ignore[misc]
        assert np.allclose(seen["west"], seen["east"], atol=6)
        assert not np.allclose(seen["west"], until(lambda: read(page, "dot", 2)), atol=40)
        expect(page.locator("#log")).to_contain_text("1 went from")


def test_a_click_follows_a_person_with_the_best_view_in_front_and_the_why(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        expect(row(page, 2)).to_be_visible()
        expect(page.locator("#log")).to_contain_text("2 went from")

        def click() -> bool:
            """People walk, so a click may miss, or hit another."""
            page.mouse.click(*read(page, "dot_at", 2))
            with contextlib.suppress(AssertionError):
                expect(page.locator("#person")).to_be_visible(timeout=5000)
            return page.locator("#person").is_visible() and page.locator("#person-id").inner_text() == "2"

        until(click)
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


def test_pause_scrub_and_replay(browser: Browser, hall: Served) -> None:
    with opened(browser, hall.url) as page:
        until(lambda: read(page, "history_ms") > 4000)
        page.keyboard.press(" ")
        expect(page.locator("#link")).to_have_text("paused")
        still = read(page, "place", 1)
        time.sleep(0.7)
        assert read(page, "place", 1) == still
        page.locator("#scrub").evaluate(
            "(input) => { input.value = Number(input.value) - 2.5; input.dispatchEvent(new Event('input')); }"
        )
        earlier = until(lambda: (then := read(page, "place", 1)) != still and then)
        assert (
            abs(earlier["x"] - still["x"]) <= 2.5 * SPEED_MPS + 0.5
        )  # as far as they walk, if they did not turn round
        expect(page.locator("#moment")).to_have_text(re.compile(r"\d:\d\d$"))
        expect(row(page, 1)).to_be_visible()
        page.locator("#pause").click()
        expect(page.locator("#link")).to_have_text("replay")
        until(lambda: read(page, "place", 1) != earlier)
        page.locator("#live").click()
        expect(page.locator("#link")).to_have_text("live")
        assert read(page, "live")


def test_a_recording_is_played_on_the_map(browser: Browser, hall: Served, tmp_path: Path) -> None:
    recording = tmp_path / "hall.jsonl"
    with Feed() as feed, Subscriber(feed.endpoint, snapshot=feed.snapshot) as subscriber:
        lines = []
        while sum('"tracks"' in line[:40] for line in lines) < 45:
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


def test_a_page_whose_server_goes_and_comes_back_recovers(browser: Browser) -> None:
    with Feed() as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(row(page, 1)).to_be_visible()
        assert served.stop() == 0
        expect(page.locator("#notice")).to_contain_text("The server of this page does not answer")
        with viewing(feed, bind=served.host):
            expect(page.locator("#notice")).to_be_hidden()
            expect(page.locator("#link")).to_have_text("live")


def test_a_daemon_that_is_not_there_is_named(browser: Browser) -> None:
    with Feed() as feed:
        pass
    with viewing(feed) as served, opened(browser, served.url) as page:
        expect(page.locator("#notice")).to_contain_text(f"Waiting for {feed.endpoint}")


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


@pytest.mark.parametrize("axes", ["y_up", "y_down"])
def test_the_floor_plan_lies_where_the_site_file_says(browser: Browser, axes: str) -> None:
    """A red spot of one metre around (2, 3) m, on a plan of 20 px a metre whose (0, 0) is at pixel (160, 150)."""
    down = 1 if axes == "y_down" else -1
    plan = np.full((300, 320, 3), 255, np.uint8)
    u, v = 160 + 2 * 20, 150 + down * 3 * 20
    plan[v - 10 : v + 10, u - 10 : u + 10] = (0, 0, 255)
    png = cv2.imencode(".png", plan)[1].tobytes()
    floor = MapDescription(20.0, (160.0, 150.0), axes, hashlib.sha256(png).hexdigest())
    with Feed(plan=png, floor=floor) as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(row(page, 1)).to_be_visible()

        def red(x: float, y: float) -> bool:
            r, g, _, _ = read(page, "ground", [x, y])
            return bool(r > 1.5 * g)

        until(lambda: red(2.03, 3.02))
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
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20  # people, footprints and words, not a blank sheet


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
        expect(page.locator("#person")).to_be_visible()
        assert read(page, "low_buttons") == []


def crowd(browser: Browser, seconds: float) -> tuple[list[float], int]:
    """200 people at 15 Hz for so long: the heap in MB after a collection, at each tenth of the time, and how many
    elements the page has in the end."""
    with Feed(count=200) as feed, viewing(feed) as served, opened(browser, served.url) as page:
        expect(page.locator("#count")).to_have_text("200")
        devtools = page.context.new_cdp_session(page)
        heaps = []
        for _ in range(10):
            page.wait_for_timeout(seconds * 100)
            devtools.send("HeapProfiler.collectGarbage")
            heaps.append(devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
        until(lambda: read(page, "silence_ms") < 1000)  # it has kept up
        expect(page.locator("#people li")).to_have_count(200)
        return heaps, read(page, "elements")


def test_two_hundred_people_at_15_hz_are_shown_in_bounded_memory(browser: Browser) -> None:
    heaps, elements = crowd(browser, 6.0)
    assert max(heaps[1:]) < heaps[0] + 12
    assert elements < 3000


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_people_for_ten_minutes_do_not_make_the_page_grow(browser: Browser) -> None:
    heaps, elements = crowd(browser, 600.0)
    print(f"heap, MB, each minute: {', '.join(f'{heap:.1f}' for heap in heaps)}; {elements} elements")
    # The history fills memory that was set aside at the start; what comes and goes with messages is collected.
    assert max(heaps[5:]) < max(heaps[:3]) + 4
    assert elements < 3000


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

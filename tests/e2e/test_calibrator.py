"""The calibrator in a real browser: from an uncalibrated site to a good one by clicks, and what may go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from spoton_edge import config
from spoton_edge.calibration.judge import judge_site
from spoton_edge.cli import main
from tests.e2e.browser import PATIENCE_MS, chromium, opened
from tests.e2e.painted import CAMERAS, CROSSES, SIZE, crosses, paint
from tests.waiting import until
from tests.web import Served, serving

expect.set_options(timeout=PATIENCE_MS)

TO_SCREEN = """([pane, x, y]) => {
  const m = document.querySelector(`#${pane} .world`).getScreenCTM();
  return [m.a * x + m.c * y + m.e, m.b * x + m.d * y + m.f];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """The calibrator of a site file, which each test paints anew."""
    site = paint(tmp_path_factory.mktemp("hall"))
    with serving("-m", "spoton_edge", "calibrate", "serve", str(site), "--bind", "127.0.0.1:0") as served:
        assert served.token
        yield served, site
        assert served.stop() == 0


@pytest.fixture
def site(server: tuple[Served, Path]) -> Path:
    """An uncalibrated site of two cameras."""
    return paint(server[1].parent)


@contextmanager
def calibrator(browser: Browser, server: tuple[Served, Path], **options: object) -> Iterator[Page]:
    """The page, once it shows its first picture."""
    with opened(browser, server[0].url, **options) as page:
        expect(page.locator("#cameras button").first).to_be_visible()
        expect(page.locator("#picture .world > image").first).to_have_attribute("href", re.compile("^blob:"))
        yield page


def at(page: Page, pane: str, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture, or a place of the floor in metres, is on the screen."""
    a, b = page.evaluate(TO_SCREEN, [pane, x, y])
    return a, b


def click(page: Page, pane: str, x: float, y: float) -> None:
    page.mouse.click(*at(page, pane, x, y))


def drag(page: Page, pane: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, pane, *start))
    page.mouse.down()
    page.mouse.move(*at(page, pane, *end), steps=6)
    page.mouse.up()


def mark(page: Page, camera: str, wrong: dict[int, tuple[float, float]] | None = None) -> None:
    """Click each cross that a camera sees, and its place; `wrong`: places to click instead."""
    for n, (place, pixel) in enumerate(zip(CROSSES, crosses(camera), strict=True)):
        if np.isfinite(pixel).all():
            click(page, "picture", *pixel)
            click(page, "floor", *(wrong or {}).get(n, place))


def grade(page: Page, camera: str) -> str:
    return page.locator(f'#cameras button[data-camera="{camera}"] .grade').inner_text()


def expect_grade(page: Page, camera: str, wanted: str) -> None:
    expect(page.locator(f'#cameras button[data-camera="{camera}"] .grade')).to_have_text(wanted)


def save(page: Page) -> None:
    page.locator("#save").click()
    expect(page.locator("#notice")).to_contain_text("Saved")


def placed(site: Path) -> dict[str, float]:
    """How far off each camera of a file places the hall's crosses, metres at most."""
    planes = {verdict.camera: verdict.plane for verdict in judge_site(config.load(site))}
    off = {}
    for name, plane in planes.items():
        seen = np.isfinite(crosses(name)).all(axis=1)
        assert plane is not None
        places = plane.to_ground(crosses(name)[seen])
        off[name] = float(np.linalg.norm(places - np.array(CROSSES)[seen], axis=1).max())
    return off


@pytest.mark.parametrize("plan", [False, True], ids=["on a metric grid", "on a floor plan"])
def test_a_newcomer_comes_from_an_uncalibrated_site_to_a_good_verdict_by_clicks_alone(
    browser: Browser, server: tuple[Served, Path], site: Path, capsys: pytest.CaptureFixture[str], plan: bool
) -> None:
    paint(site.parent, plan=plan)
    before = site.read_text()
    with calibrator(browser, server) as page:
        assert [grade(page, name) for name in CAMERAS] == ["new", "new"]
        for name in CAMERAS:
            page.locator(f'#cameras button[data-camera="{name}"]').click()
            expect(page.locator("#verdict-camera")).to_have_text(name)
            mark(page, name)
            expect_grade(page, name, "good")
        expect(page.locator("#pairs li")).to_contain_text("cm apart on 8 marks")
        expect(page.locator("#picture path.grid-x").first).to_be_attached()
        save(page)
        expect(page.locator("#notice code")).to_have_text("spoton-edge reload --site hall")
    assert max(placed(site).values()) < 0.10
    capsys.readouterr()
    assert main(["calibrate", "check", str(site)]) == 0
    told = capsys.readouterr().out
    assert "door: good" in told
    assert "desk: good" in told
    assert site.with_name("site.yaml.bak").read_text() == before
    kept = [line for line in site.read_text().splitlines() if line in before.splitlines()]
    assert kept == before.splitlines()  # every line of the operator's, in their order


def test_a_click_counts_also_when_a_verdict_comes_while_the_button_is_down(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    held: list[Route] = []
    with calibrator(browser, server) as page:
        expect_grade(page, "door", "new")
        page.route("**/judge", lambda route: held.append(route))
        mark(page, "door")
        until(lambda: held or page.wait_for_timeout(20), "the page asks for a verdict")
        page.locator('#cameras button[data-camera="desk"]').hover()
        page.mouse.down()
        for route in held:
            route.continue_()
        page.unroute("**/judge")
        expect_grade(page, "door", "good")
        page.mouse.up()
        expect(page.locator("#verdict-camera")).to_have_text("desk")


def test_a_wrong_point_is_named_and_dragged_right_and_keys_do_what_clicks_do(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    with calibrator(browser, server) as page:
        x, y = CROSSES[4]
        mark(page, "door", wrong={4: (x + 2, y)})
        expect_grade(page, "door", "refuse")
        expect(page.locator("#reasons li").first).to_contain_text("point 5, [")
        expect(page.locator("#points tr").nth(4)).to_have_class(re.compile("wrong"))
        expect(page.locator("#floor .point.wrong")).to_have_attribute("data-handle", "4")
        drag(page, "floor", (x + 2, y), (x, y))
        expect_grade(page, "door", "good")
        page.mouse.move(*at(page, "picture", *crosses("door")[1]))
        expect(page.locator("#floor .where")).to_contain_text("x 6.0")  # the same spot, shown on the floor
        expect(page.locator("#picture .cross").first).to_be_attached()  # with a person's height
        page.keyboard.press("Control+z")
        expect_grade(page, "door", "refuse")
        page.keyboard.press("Control+Shift+z")
        expect_grade(page, "door", "good")

        pixel = page.locator('#points tr:nth-child(2) input[name="u"]')
        before = float(pixel.input_value())
        page.locator('#picture .point[data-handle="1"]').focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        assert float(pixel.input_value()) == pytest.approx(before + 1.1)
        place = page.locator('#points tr:nth-child(2) input[name="y"]')
        page.locator('#floor .point[data-handle="1"]').focus()
        page.keyboard.press("ArrowUp")
        assert float(place.input_value()) == pytest.approx(CROSSES[1][1] + 0.1)
        page.keyboard.press("Tab")
        expect(page.locator('#floor .point[data-handle="2"]')).to_be_focused()
        page.keyboard.press("Delete")
        expect(page.locator("#points tr")).to_have_count(7)
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#help")).to_be_hidden()
        page.locator('#points tr:nth-child(2) input[name="y"]').fill("1,5")
        expect_grade(page, "door", "good")


def test_a_refused_camera_is_saved_only_when_that_is_wanted(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    before = site.read_text()
    with calibrator(browser, server) as page:
        mark(page, "door", wrong={4: (CROSSES[4][0] + 2, CROSSES[4][1])})
        expect_grade(page, "door", "refuse")
        page.locator("#save").click()
        expect(page.locator("#dialog")).to_contain_text("door: point 5, [")
        page.get_by_role("button", name="Go on calibrating").click()
        assert site.read_text() == before
        page.locator("#save").click()
        page.get_by_role("button", name="Save all the same").click()
        expect(page.locator("#notice")).to_contain_text("Saved")
    assert [verdict.grade for verdict in judge_site(config.load(site))] == ["refuse", "usable"]


def test_regions_and_handoff_zones_are_drawn_corner_by_corner(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    region = [(100.0, 300.0), (1100.0, 300.0), (1200.0, 700.0), (100.0, 700.0)]
    zone = [(900.0, 250.0), (1200.0, 260.0), (1000.0, 420.0)]
    with calibrator(browser, server) as page:
        page.keyboard.press("r")
        for corner in region:
            click(page, "picture", *corner)
        click(page, "picture", *region[0])  # closes it
        expect(page.locator("#region-clear")).to_be_visible()
        drag(page, "picture", region[1], (1240, 720))  # over another side: no polygon
        expect(page.locator("#notice")).to_contain_text("crosses the side")
        page.keyboard.press("Control+z")
        expect(page.locator("#notice")).to_be_hidden()
        page.get_by_role("button", name="Handoffs").click()
        for corner in zone:
            click(page, "picture", *corner)
        page.keyboard.press("Enter")
        entry = page.locator("#handoffs li")
        expect(entry).to_contain_text("from the zone to")
        entry.get_by_label("where they appear").select_option("upper_left")
        entry.get_by_label("longest time").fill("8")
        entry.get_by_label("longest time").press("Tab")
        drag(page, "picture", zone[2], (1020, 440))
        save(page)
    door = config.load(site).cameras[0]
    assert door.region is not None
    assert np.allclose(door.region, region, atol=1.5)
    assert len(door.handoff) == 1
    assert np.allclose(door.handoff[0].zone, [*zone[:2], (1020, 440)], atol=1.5)
    assert (door.handoff[0].to, door.handoff[0].enter, door.handoff[0].travel_s) == ("desk", "upper_left", (0.5, 8.0))
    assert door.ground is None


def test_a_file_that_somebody_else_changed_is_not_written_over_and_neither_work_is_lost(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    with calibrator(browser, server) as page:
        mark(page, "door")
        expect_grade(page, "door", "good")
        theirs = site.read_text().replace("buffer_s: 1.5", "buffer_s: 2.5")
        site.write_text(theirs)
        page.locator("#save").click()
        expect(page.locator("#dialog")).to_contain_text("was changed by somebody else since it was read")
        assert site.read_text() == theirs
        page.get_by_role("button", name="keep my changes").click()
        expect_grade(page, "door", "good")
        save(page)
    loaded = config.load(site)
    assert loaded.tracker.buffer_s == 2.5
    assert loaded.cameras[0].ground is not None
    assert loaded.cameras[0].ground.image_size == SIZE
    assert site.with_name("site.yaml.bak").read_text() == theirs


def test_a_camera_that_cannot_be_seen_says_why_and_the_others_go_on(
    browser: Browser, server: tuple[Served, Path], site: Path
) -> None:
    site.with_name("desk.png").unlink()
    with calibrator(browser, server, color_scheme="dark") as page:
        page.keyboard.press("2")
        expect(page.locator("#picture .trouble")).to_contain_text("camera desk: ")
        page.keyboard.press("1")
        expect(page.locator("#picture .trouble")).to_be_hidden()
        paint(site.parent)
        page.keyboard.press("2")
        page.get_by_role("button", name="Take a new picture").click()
        expect(page.locator("#picture .trouble")).to_be_hidden()
        image = page.locator("#picture .world > image").first
        for _ in range(2):  # live: one picture after the other
            shown = image.get_attribute("href")
            assert shown
            if page.locator("#live").get_attribute("aria-pressed") == "false":
                page.locator("#live").click()
            expect(image).not_to_have_attribute("href", shown)

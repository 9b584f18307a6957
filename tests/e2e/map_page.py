"""What a live map in a browser shows: read from the modules that the page itself runs."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page

# In JavaScript; `app` is the very module that the page runs.
READ = {
    "place": "(id) => app.floor.shown.get(id) ?? null",
    "live": "() => app.timeline.live",
    "history_ms": "() => app.model.history.length && app.model.history.newest - app.model.history.oldest",
    "heard_s": "() => app.model.tracks.time",
    "silence_ms": "() => performance.now() - app.model.tracks.now",
    "pictures": "() => app.pictures.newest.size",
    "width": "() => app.floor.canvas.width",
    "y_up": "() => app.floor.view.yUp",
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
    # The colour of the ground at a place, and of the middle of a person's dot.
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
    # How much of a camera's card has a colour.
    "inked_px": """([[r, g, b], camera]) => {
        const canvas = document.querySelector(`[data-camera="${camera}"] canvas`);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
            count += Math.max(Math.abs(data[i] - r), Math.abs(data[i + 1] - g), Math.abs(data[i + 2] - b)) <= 6;
        }
        return count;
    }""",
    "papers": "() => ['body', 'header'].map((one) => getComputedStyle(document.querySelector(one)).backgroundColor)",
    "low_buttons": """() => [...document.querySelectorAll('button')]
        .filter((one) => one.offsetParent && one.id !== 'unfollow' && one.getBoundingClientRect().height < 38)
        .map((one) => one.outerHTML)""",
    "wider_than_window": "() => document.documentElement.scrollWidth > innerWidth",
    "elements": "() => document.querySelectorAll('*').length",
    "forged": "() => [document.querySelectorAll('img, b b, #site *, #log li span *').length, window.forged ?? null]",
}


def read(page: Page, what: str, argument: Any = None) -> Any:
    """One of READ."""
    program = f"async (argument) => {{ const app = await import('/app.js'); return ({READ[what]})(argument); }}"
    return page.evaluate(program, argument)


def row(page: Page, identity: int) -> Locator:
    """A person's line in the list."""
    return page.locator(f'#people [data-id="{identity}"]')

"""A headless Chromium for the tests of pages: the system's, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.harness import lacking

PATIENCE_MS = 30_000  # machines that run tests are slow and shared


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped by name where there is none."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        lacking("chromium, the browser that shows the pages (Debian's package)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        deaf = Path(__file__).with_name("deaf.py")
        browser = playwright.chromium.launch(executable_path=deaf, args=sandbox, env=os.environ | {"DEAF": found})
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page at an address; when the block ends, nothing may have gone wrong in the page: no error of a script, nothing
    that its Content-Security-Policy forbade. Where the block fails, what did go wrong is told with it."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    lost: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: lost.append(f"{request.url}: {request.failure}"))
    page.on("console", lambda message: faults.append(message.text) if "Security Policy" in message.text else None)
    try:
        page.goto(url)
        yield page
        assert not faults
    except Exception as error:
        error.add_note(f"in the page: {faults}; not loaded: {lost}")
        raise
    finally:
        context.close()


class MainThread:
    """How busy a page's main thread is, from now on."""

    def __init__(self, page: Page) -> None:
        self._devtools = page.context.new_cdp_session(page)
        self._devtools.send("Performance.enable")
        self._before = self._now()

    def shares(self) -> tuple[float, float]:
        """Of the time: that it is in a task, and that it has the CPU."""
        in_task_s, on_cpu_s, passed_s = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return in_task_s / passed_s, on_cpu_s / passed_s

    def _now(self) -> tuple[float, float, float]:
        metrics: list[dict[str, Any]] = self._devtools.send("Performance.getMetrics")["metrics"]
        told = {one["name"]: float(one["value"]) for one in metrics}
        return told["TaskDuration"], told["ThreadTime"], time.monotonic()

"""A headless Chromium for the tests of pages: the system's, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

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
        browser = playwright.chromium.launch(executable_path=found, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page at an address; when the block ends without a failure, nothing may have gone wrong in the page: no error of
    a script, nothing that its Content-Security-Policy forbade."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Security Policy" in message.text else None)
    try:
        page.goto(url)
        yield page
        assert not faults
    finally:
        context.close()

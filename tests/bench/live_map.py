"""The live map in a browser: how long from a message's publication to its painting, and how busy the page is.

python -m tests.bench.live_map

Published by this process, served by `spoton-edge view`, painted by the system's Chromium without a GPU. The lag ends
when the canvas is painted; the browser shows it with its next frame, at most 17 ms later.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np
from playwright.sync_api import Page

from tests.e2e.browser import chromium, opened
from tests.e2e.feed import RATE_HZ, Feed
from tests.web import serving

SECONDS = 20
SETTLE_MS = 3000


def busy(page: Page, seconds: float) -> tuple[float, float]:
    """The shares of the time that the page's main thread is in a task, and that it has the CPU."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def metric(name: str) -> float:
        metrics: list[dict[str, Any]] = devtools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == name))

    before = metric("TaskDuration"), metric("ThreadTime"), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    after = metric("TaskDuration"), metric("ThreadTime"), time.monotonic()
    wall = after[2] - before[2]
    return (after[0] - before[0]) / wall, (after[1] - before[1]) / wall


def main() -> None:
    """Print the figures."""
    if shutil.which("chromium") is None:
        print("live_map: skipped, no chromium")
        return
    with chromium() as browser:
        for count in (20, 200):
            with Feed(count=count) as feed:
                command = ["-m", "spoton_edge", "view", feed.endpoint, "--snapshot", feed.snapshot]
                with serving(*command, "--bind", "127.0.0.1:0") as served, opened(browser, served.url) as page:
                    page.wait_for_timeout(SETTLE_MS)
                    page.evaluate("async () => { (await import('/app.js')).model.lags.length = 0; }")
                    in_task, on_cpu = busy(page, SECONDS)
                    lags = page.evaluate("async () => (await import('/app.js')).model.lags")
                    p50, p95 = np.percentile(lags, [50, 95])
                    print(
                        f"{count} people at {RATE_HZ:.0f} Hz: published to painted p50 {p50:.0f} ms, p95 {p95:.0f} ms "
                        f"({len(lags)} of {SECONDS * RATE_HZ:.0f} painted); main thread {in_task:.0%} busy, "
                        f"{on_cpu:.0%} of a core"
                    )


if __name__ == "__main__":
    main()

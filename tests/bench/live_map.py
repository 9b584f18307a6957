"""The live map in a browser: how long from a message's publication to its painting, and how busy the page is.

python -m tests.bench.live_map

Published by this process, served by `spoton-edge view`, painted by the system's Chromium without a GPU. The lag ends
when the canvas is painted; the browser shows it with its next frame, at most 17 ms later.
"""

from __future__ import annotations

import shutil

import numpy as np

from tests.e2e.browser import MainThread, chromium, opened
from tests.e2e.feed import RATE_HZ, Feed
from tests.web import serving

SECONDS = 20
SETTLE_MS = 3000


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
                    thread = MainThread(page)
                    page.wait_for_timeout(SECONDS * 1000)
                    in_task, on_cpu = thread.shares()
                    lags = page.evaluate("async () => (await import('/app.js')).model.lags")
                    p50, p95 = np.percentile(lags, [50, 95])
                    print(
                        f"{count} people at {RATE_HZ:.0f} Hz: published to painted p50 {p50:.0f} ms, p95 {p95:.0f} ms "
                        f"({len(lags)} of {SECONDS * RATE_HZ:.0f} painted); main thread {in_task:.0%} busy, "
                        f"{on_cpu:.0%} of a core"
                    )


if __name__ == "__main__":
    main()

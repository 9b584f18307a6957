"""How old frames are when they are published: the real daemon on four RTSP cameras of 640x360, on the CPU.

Once at 10 frames/s a camera, once at twice what the box carries. A subscriber takes the age of each message's oldest
frame as the message arrives, so that detection, tracking and the wire are in it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from spoton_edge.client import Status, Subscriber, Tracks
from tests.clip import find_detector
from tests.conftest import SHARED
from tests.e2e.daemon import running
from tests.e2e.rtsp import RtspCamera, access_units

CAMERAS = 4
INPUT = [416, 256]
WINDOW_MS = 100.0
SETTLE_S, MEASURE_S = 6.0, 20.0


def measure(scratch: Path, detector: str, units: Path, fps: float) -> float:
    """Print what came of it; the detector's median batch in ms."""
    cameras = [RtspCamera(units) for _ in range(CAMERAS)]
    scratch.mkdir()
    site = {
        "cameras": [{"name": f"c{index}", "source": camera.url} for index, camera in enumerate(cameras)],
        "detector": {"model": detector, "input": INPUT},
        "publish": {"bind": ["ENDPOINT"], "snapshot": "ENDPOINT-snapshot"},
        "runtime": {"control": f"ipc://{scratch}/control", "sync_window_ms": WINDOW_MS},
    }
    path = scratch / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    ages, shares = [], Counter[str]()
    first = last = None
    try:
        for camera in cameras:
            camera.start("--fps", str(fps))
        with running(path, scratch) as daemon, Subscriber(daemon.endpoint) as subscriber:
            begin = None
            while begin is None or time.monotonic() < begin + SETTLE_S + MEASURE_S:
                if daemon.process.poll() is not None:
                    sys.exit(f"the daemon ended: {daemon.log}")
                message = subscriber.receive(0.5)
                begin = begin or (time.monotonic() if isinstance(message, Tracks) else None)
                if begin is None or time.monotonic() < begin + SETTLE_S:
                    continue
                if isinstance(message, Tracks):
                    ages.append((time.time() - min(message.captured.values())) * 1e3)
                    shares.update(message.captured.keys())
                elif isinstance(message, Status):
                    first, last = first or message, message
            daemon.stop()
    finally:
        for camera in cameras:
            camera.kill()
    assert first is not None
    assert last is not None
    batch_ms = last.stages["detect"]["p50_ms"]
    dropped = sum(b["dropped"] - a["dropped"] for a, b in zip(first.cameras, last.cameras, strict=True))
    came = [b["frames"] - a["frames"] for a, b in zip(first.cameras, last.cameras, strict=True)]
    decoded = sum(came)
    budget = WINDOW_MS + 2 * batch_ms + 40 + (1e3 / fps if dropped > decoded / 4 else 0)
    p50, p95 = np.percentile(ages, [50, 95])
    least = min(shares.values()) / (sum(shares.values()) / CAMERAS) if len(shares) == CAMERAS else 0.0
    print(
        f"{CAMERAS} x {fps:.0f} frames/s: age p50 {p50:.0f} ms, p95 {p95:.0f} ms (to reach: {budget:.0f}); "
        f"detector batch {batch_ms:.0f} ms; dropped {dropped} of {decoded}; least share {least:.2f} of the mean "
        f"(of the frames that came: {CAMERAS * min(came) / decoded:.2f})"
    )
    return float(batch_ms)


def main() -> None:
    detector = find_detector(SHARED)
    if detector is None:
        sys.exit("needs a detector: make demo fetches it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        units = access_units(folder / "units", "h264", range(60), size=(640, 360))
        try:
            batch_ms = measure(folder / "usual", detector, units, 10.0)
            measure(folder / "twice", detector, units, max(20.0, 2e3 / batch_ms))
        except (AssertionError, subprocess.SubprocessError) as error:
            sys.exit(f"needs the RTSP server of tests/e2e/rtsp.py: {error}")


if __name__ == "__main__":
    main()

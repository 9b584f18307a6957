"""A box that is too slow for its cameras, and a box whose wall clock is set while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from spoton_edge.capture import Capture, Source
from tests.e2e.harness import lacking
from tests.e2e.rtsp import RtspCamera, access_units, need_server

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

# Takes batches for a while, has its wall clock set an hour on in the middle, and says what it saw.
CONSUMER = """
import json, sys, time
from pathlib import Path
from spoton_edge.capture import Capture, Source
url, control = sys.argv[1], Path(sys.argv[2])
rows = []
with Capture([Source("c0", url), Source("c1", "test:192x96@15")]) as capture:
    for batch in capture:
        ages = (capture.now_ns() - batch.captured_ns) / 1e6
        rows.append([time.time(), batch.camera.tolist(), batch.frame_id.tolist(), ages.tolist()])
        if len(rows) == 30:
            control.write_text("+3600s")
        if len(rows) == 60:
            break
    states = [status.state for status in capture.status()]
    events = [event.detail for event in capture.events()]
print(json.dumps([rows, states, events]))
"""


def test_a_step_of_the_wall_clock_loses_no_batch_and_changes_no_age(tmp_path: Path) -> None:
    need_server()
    if FAKETIME is None:
        lacking("no wall clock to set: install libfaketime")
    camera = RtspCamera(access_units(tmp_path / "h264", "h264", range(60)))
    camera.start()
    control = tmp_path / "time"
    control.write_text("+0s")
    try:
        environment = os.environ | {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(control),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        command = [sys.executable, "-c", CONSUMER, camera.url, str(control)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    finally:
        camera.kill()
    rows, states, events = json.loads(done.stdout)
    assert states == ["live", "live"]
    assert sorted(events) == ["live", "live"]
    walls = np.array([row[0] for row in rows])
    assert np.count_nonzero(np.diff(walls) > 3000) == 1  # the clock was set, and seen to be
    for index in range(2):
        ids = [row[2][row[1].index(index)] for row in rows if index in row[1]]
        late = [row[3][row[1].index(index)] for row in rows if index in row[1]]
        assert len(ids) >= 20
        # Frames may be dropped on a busy machine; an hour's worth of them (54,000) must not be missing, nor appear.
        assert max(np.diff(ids)) < 60
        assert max(late) < 3000
        assert min(late) >= 0


def test_at_twice_the_load_frames_are_dropped_not_queued_and_no_camera_starves() -> None:
    cameras, rate = 4, 20
    sources = [Source(f"c{index}", f"test:64x{48 + 2 * index}@{rate}") for index in range(cameras)]
    shares = np.zeros(cameras, int)
    last = np.full(cameras, -1)
    with Capture(sources, sync_window_ms=20) as capture:
        for _ in range(40):
            batch = capture.take(5.0)
            assert batch is not None
            shares[batch.camera] += 1
            assert (batch.frame_id > last[batch.camera]).all()
            last[batch.camera] = batch.frame_id
            time.sleep(2 / rate)  # the work on a batch takes two periods
        statuses = capture.status()
    assert shares.min() >= 0.8 * shares.mean(), shares
    assert all(status.dropped > 0 for status in statuses)
    # What was decoded was either taken, dropped, or is the one frame that waits.
    for status, taken in zip(statuses, shares, strict=True):
        assert 0 <= status.frames - status.dropped - taken <= 1

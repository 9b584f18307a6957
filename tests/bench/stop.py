"""How long the daemon takes to end after SIGTERM and SIGINT, in the middle of the clip."""

import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from spoton_edge.client import Subscriber, Tracks
from tests.clip import find_clip, find_detector, write_site
from tests.conftest import SHARED
from tests.e2e.daemon import running

ROUNDS = 5


def main() -> None:
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None:
        sys.exit("needs the clip and a detector: make demo fetches both")
    for number in (signal.SIGTERM, signal.SIGINT):
        taken_s = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as scratch:
                site = write_site(Path(scratch), clip, detector)
                with running(site, Path(scratch)) as daemon:
                    with Subscriber(daemon.endpoint) as subscriber:
                        while not isinstance(subscriber.receive(60.0), Tracks):
                            pass
                    start = time.monotonic()
                    code = daemon.stop(number)
                    taken_s.append(time.monotonic() - start)
                    assert code == 0, f"exit code {code}"
        print(f"{number.name}: median {statistics.median(taken_s):.2f} s, longest {max(taken_s):.2f} s")


if __name__ == "__main__":
    main()

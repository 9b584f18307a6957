"""spoton-edge on a machine whose clock is wrong: `python -m tests.e2e.wrong_clock SECONDS_AHEAD ARGUMENTS...`."""

from __future__ import annotations

import sys
import time


def main() -> int:
    ahead_s = float(sys.argv[1])
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + ahead_s
    time.time_ns = lambda: right_ns() + round(1e9 * ahead_s)
    from spoton_edge.cli import main as spoton_edge  # what it imports takes the clock as it finds it

    return spoton_edge(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

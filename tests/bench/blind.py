"""The demo's clip in two cameras with a stretch between them that nobody sees, from pixels, heard over ZeroMQ.

    python -m tests.bench.blind

In all 28 passages the person is wholly hidden; a link each way says where people come in again, and within which time.
`taken` counts those who have an id then that is somebody else's at some time, `before` those of them whose id was
somebody else's before. Two crops of one lens: calibration error, clock skew and looks that change with the view are not
in these figures.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.bench.clip import REID
from tests.clip import estimate, find_clip, find_detector, write_blind_site
from tests.conftest import SHARED
from tests.e2e.daemon import hear, running
from tests.pets import BLIND, Truth, score


def main() -> None:
    """Print a line for each model of appearance."""
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None or not (SHARED / "data").is_dir():
        sys.exit("needs ../shared/data (the clip's ground truth) and a detector: spoton-edge models fetch yolox-nano")
    truth = Truth(SHARED / "data", BLIND, inside=0.5)
    hidden = np.median([truth.hidden(handoff) for handoff in truth.handoffs()])
    print(f"{len(truth.handoffs())} passages, hidden for {hidden:.0f} frames (median)")
    print(f"{'appearance':>12} {'kept':>5} {'new id':>7} {'taken':>6} {'before':>7} {'ids':>4} {'ground m':>9}")
    for model in (*(str(SHARED / "models" / name) for name in REID), None):
        with tempfile.TemporaryDirectory() as scratch:
            site = write_blind_site(Path(scratch), clip, detector, reid={"model": model})
            with running(site, Path(scratch), "--fast", "--wait-for-subscriber", "60") as daemon:
                result = score(truth, estimate(hear(daemon)))
        name = "histogram" if model is None else Path(model).name.split("_")[0][-12:]
        fresh = result.handoffs - result.kept - result.taken
        print(
            f"{name:>12} {result.kept:5} {fresh:7} {result.taken:6} {result.taken_over:7} {result.ids:4} "
            f"{result.ground_median_m:9.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

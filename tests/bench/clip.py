"""Accuracy on the demo's clip, from pixels, heard over ZeroMQ: people tracked, handoffs kept, error on the ground.

Two crops of one lens: hand-off and merging are measured here, calibration error and clock skew are not.
"""

import sys
import tempfile
from pathlib import Path

from tests.clip import estimate, find_clip, find_detector, write_site
from tests.conftest import SHARED
from tests.e2e.daemon import hear, running
from tests.pets import Truth, score

REID = ("person-reid-retail-0287_dynbatch.onnx", "osnet_x0_25_msmt17_dynbatch.onnx")


def main() -> None:
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None or not (SHARED / "data").is_dir():
        sys.exit("needs ../shared/data (the clip's ground truth) and a detector: spoton-edge models fetch yolox-nano")
    truth = Truth(SHARED / "data")
    print(
        f"{'appearance':>12} {'tracked':>8} {'coverage':>9} {'handoffs kept':>14} {'taken':>6} {'ids':>4} "
        f"{'ground m':>9}"
    )
    for model in (None, *(str(SHARED / "models" / name) for name in REID)):
        with tempfile.TemporaryDirectory() as scratch:
            site = write_site(Path(scratch), clip, detector, reid={"model": model})
            with running(site, Path(scratch), "--fast", "--wait-for-subscriber", "60") as daemon:
                result = score(truth, estimate(hear(daemon)))
        name = "histogram" if model is None else Path(model).name.split("_")[0][-12:]
        print(
            f"{name:>12} {result.tracked_everywhere:5}/{result.people:2} {result.coverage:9.3f} "
            f"{result.kept:11}/{result.handoffs:2} {result.taken:6} {result.ids:4} {result.ground_median_m:9.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

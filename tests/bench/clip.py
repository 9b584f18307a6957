"""Accuracy on the demo's clip, from pixels, heard over ZeroMQ: people tracked, handoffs kept, error on the ground.

`taken` counts those who have an id in the second camera that is somebody else's at some time, `before` those of them
whose id was somebody else's before. Two crops of one lens: hand-off and merging are measured here, calibration error
and clock skew are not.
"""

import sys
import tempfile
from pathlib import Path

from spoton_edge.evaluation.scores import score as figures
from spoton_edge.evaluation.sequences import ground_scene
from tests.clip import estimate, find_clip, find_detector, write_site
from tests.conftest import SHARED
from tests.e2e.daemon import hear, running
from tests.pets import Truth, ground_rows, score

REID = ("person-reid-retail-0287_dynbatch.onnx", "osnet_x0_25_msmt17_dynbatch.onnx")


def main() -> None:
    clip, detector = find_clip(SHARED), find_detector(SHARED)
    if clip is None or detector is None or not (SHARED / "data").is_dir():
        sys.exit("needs ../shared/data (the clip's ground truth) and a detector: spoton-edge models fetch yolox-nano")
    truth = Truth(SHARED / "data")
    print(
        f"{'appearance':>12} {'tracked':>8} {'coverage':>9} {'handoffs kept':>14} {'taken':>6} {'before':>7} "
        f"{'ids':>4} {'ground m':>9} {'IDF1 at 0.5 m':>14}"
    )
    for model in (None, *(str(SHARED / "models" / name) for name in REID)):
        with tempfile.TemporaryDirectory() as scratch:
            site = write_site(Path(scratch), clip, detector, reid={"model": model})
            with running(site, Path(scratch), "--fast", "--wait-for-subscriber", "60") as daemon:
                heard = estimate(hear(daemon))
        result = score(truth, heard)
        truth_rows, rows = ground_rows(truth, heard)
        idf1 = figures(ground_scene(truth_rows, rows, gate_m=0.5, zero_m=1.0)).idf1
        name = "histogram" if model is None else Path(model).name.split("_")[0][-12:]
        print(
            f"{name:>12} {result.tracked_everywhere:5}/{result.people:2} {result.coverage:9.3f} "
            f"{result.kept:11}/{result.handoffs:2} {result.taken:6} {result.taken_over:7} "
            f"{result.ids:4} {result.ground_median_m:9.3f} {idf1:14.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

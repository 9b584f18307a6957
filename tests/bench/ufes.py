"""Two walkers and people who sit, seen by the four cameras of the UFES laboratory: from pixels, heard over ZeroMQ.

    python -m tests.bench.ufes

Against places read by hand at 54 frames; calibrations as they are delivered, which disagree by 8 cm.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

from tests import ufes
from tests.bench.clip import REID
from tests.clip import estimate, find_detector
from tests.conftest import SHARED
from tests.e2e.daemon import hear, running

INPUTS = ([416, 416], [640, 384])  # the default, and one of the pictures' own shape


def main() -> None:
    """Print a line for each model of appearance and size of the detector's input."""
    data, detector = SHARED / "data", find_detector(SHARED)
    if detector is None or not (data / "ufes4cam").is_dir():
        sys.exit("needs ../shared/data/ufes4cam and a detector: spoton-edge models fetch yolox-nano")
    print(
        f"{'input':>9} {'appearance':>12} {'ids of walkers':>15} {'placed':>7} {'off cm':>7} {'confused':>9} {'ids':>4}"
    )
    for size in INPUTS:
        for model in (*(str(SHARED / "models" / name) for name in REID), None):
            with tempfile.TemporaryDirectory() as scratch:
                changes = {"detector": {"model": detector, "input": size}, "reid": {"model": model}}
                with contextlib.redirect_stdout(io.StringIO()):
                    site = ufes.write_site(data, Path(scratch), detector, **changes)
                with running(site, Path(scratch), "--fast", "--wait-for-subscriber", "60") as daemon:
                    result = ufes.score(data, estimate(hear(daemon)))
            name = "histogram" if model is None else Path(model).name.split("_")[0][-12:]
            walkers = ", ".join(str(len(count)) for count in result.ids.values())
            print(
                f"{size[0]:>5}x{size[1]} {name:>12} {walkers:>15} {result.placed:7.2f} {100 * result.median_m:7.1f} "
                f"{result.confused:9} {result.people:4}",
                flush=True,
            )


if __name__ == "__main__":
    main()

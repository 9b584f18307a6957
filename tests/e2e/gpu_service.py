"""The program on a box with a GPU, for which the host stands in: `gpu_service.py COMMAND...`, as of `spoton-edge`.

Engines are built until FINISH is there, and are the networks themselves. Tests put this, with gpu_on_host.py, on a
machine.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from gpu_on_host import HostCuda, HostTensorRt

from spoton_edge.engine import builder, driver

FINISH = Path("/srv/finish")
SHARE = 0.4  # of the build, for as long as it may not end
GPU = driver.Gpu("Host", (8, 9), 8 << 30, "13.0")


def run_child(request: builder.Request, progress: Callable[[str, float], None], cancelled: Callable[[], bool]) -> str:
    """In the place of the builder."""
    while not FINISH.exists():
        progress("tactics", SHARE)
        time.sleep(0.1)
    shutil.copyfile(request.model, request.output)
    return "float32"


def library() -> Any:
    """TensorRT-RTX, as the import system and the program know it."""
    made: Any = HostTensorRt()
    made.__spec__ = ModuleSpec("tensorrt_rtx", None)
    return made


if __name__ == "__main__":
    sys.modules["tensorrt_rtx"] = library()
    sys.modules["pycuda"] = ModuleType("pycuda")
    sys.modules["pycuda.driver"] = HostCuda(None)  # type: ignore[assignment,arg-type]  # its kernels are not compiled
    driver.probe = lambda library=None: GPU
    builder.run_child = run_child
    from spoton_edge.cli import main

    sys.exit(main(sys.argv[1:]))

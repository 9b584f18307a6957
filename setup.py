"""Builds the compiled core: every `ext/<name>.pyx`, with its C files, becomes `spoton_edge._ext.<name>`.

`SPOTON_DEBUG=1` builds with bounds checks, symbols and the address and undefined-behaviour sanitizers.
"""

import copy
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("SPOTON_DEBUG") == "1"
WARNINGS = ["-Wall", "-Wextra"]
# -ffp-contract=off: a fused multiply-add rounds differently, and the same input must give the same bytes on every CPU.
OPTIMISED = ["-O3", "-fno-math-errno", "-ffp-contract=off", "-g0"]
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]

# What is not compiled itself does not reach the sdist unless an extension depends on it; cythonize replaces the .pyx.
HEADERS = sorted(str(path) for pattern in ("ext/c/*.h", "ext/*.px[di]") for path in Path().glob(pattern))

C_SOURCES = {
    "bytetrack": [
        f"ext/c/{name}.c" for name in ("bytetrack", "bytetrack_memory", "crew", "kalman", "lapjv", "overlap")
    ],
    "competition": ["ext/c/ground_places.c", "ext/c/lapjv.c"],
    "detection": ["ext/c/detection.c"],
    "letterbox": ["ext/c/resize.c"],
    "matching": ["ext/c/ground_pairs.c"],
    "similarity": ["ext/c/similarity.c"],
    "twins": ["ext/c/ground_pairs.c"],
}


# Built for one version of Python: the limited API (abi3) works from 3.11 on, but makes a call of the tracker 0.4 us
# slower, a sixth of an update of 10 people.
def extension(pyx: Path) -> Extension:
    return Extension(
        f"spoton_edge._ext.{pyx.stem}",
        [str(pyx), *C_SOURCES.get(pyx.stem, [])],
        depends=[str(pyx), *HEADERS],
        include_dirs=["ext/c"],
        libraries=["m", "pthread"],
        extra_compile_args=WARNINGS + (SANITIZED if DEBUG else OPTIMISED),
        extra_link_args=["-fsanitize=address,undefined"] if DEBUG else [],
    )


class BuildAtOnce(build_ext):
    """Compiles with all cores. Modules that share a C file each make its object in a folder of their own."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extension(self, ext: Extension) -> None:
        alone = copy.copy(self)
        alone.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildAtOnce, alone).build_extension(ext)


setup(
    cmdclass={"build_ext": BuildAtOnce},
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted(Path("ext").glob("*.pyx"))],
        include_path=["ext"],
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
        },
    ),
)

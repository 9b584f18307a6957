"""Compiles CUDA C++ to PTX with NVIDIA's run-time compiler; needs neither a GPU nor the CUDA toolkit.

The library comes with CUDA, or with the package `nvidia-cuda-nvrtc`.
"""

from __future__ import annotations

import ctypes
import importlib.resources
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from spoton_edge.errors import EngineError, MissingExtraError

# --fmad=false: a fused multiply-add rounds differently from the CPU.
OPTIONS = ("--std=c++17", "--fmad=false")


class Nvrtc:
    """The loaded compiler."""

    def __init__(self) -> None:
        """Raises MissingExtraError where the library is not installed."""
        self._library = _load()
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
        self.version = f"{major.value}.{minor.value}"

    def compile(self, source: str, name: str, compute_capability: tuple[int, int], *, cubin: bool = False) -> bytes:
        """PTX, or machine code, of `source` for compute capability (8, 9) and the like. Raises EngineError with the
        compiler's words."""
        library, program = self._library, ctypes.c_void_p()
        code = library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        self._check(code, "nvrtcCreateProgram")
        try:
            kind = "sm" if cubin else "compute"
            number = f"{compute_capability[0]}{compute_capability[1]}"
            options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={kind}_{number}")]
            code = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
            if code:
                log = self._fetch(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
                raise EngineError(f"{name} does not compile for {kind}_{number}: {' '.join(log.split())[:400]}")
            return self._fetch(program, "CUBIN" if cubin else "PTX")
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))

    def _fetch(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), what)
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer), what)
        return buffer.raw

    def _check(self, code: int, call: str) -> None:
        if code:
            self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise EngineError(f"the CUDA compiler fails in {call}: {self._library.nvrtcGetErrorString(code).decode()}")


def preprocess_source() -> str:
    """The text of engines/preprocess.cu."""
    return (importlib.resources.files("spoton_edge._manifests") / "preprocess.cu").read_text(encoding="utf-8")


def _load() -> ctypes.CDLL:
    for candidate in _candidates():
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise MissingExtraError("the CUDA compiler libnvrtc is not installed: pip install 'spoton-edge[gpu]'")


def _candidates() -> Iterator[str]:
    package = importlib.util.find_spec("nvidia")
    for folder in (package.submodule_search_locations or []) if package else []:
        yield from map(str, sorted(Path(folder).glob("*/lib/libnvrtc.so.*[0-9]")))
    yield from ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")

"""Asks the NVIDIA driver what there is, before any other GPU library is touched.

TensorRT's runtime and builder may crash the process when they are made on a machine without a working driver, and
importing pycuda fails there with a linker's message. Three calls of the driver's own C interface tell safely.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

DRIVER_LIBRARY = "libcuda.so.1"
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class NoDriver(Exception):  # noqa: N818 - a finding, often expected
    """No GPU can be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU, as the driver describes it."""

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    driver: str  # the newest CUDA version that the driver speaks, "13.0"


def probe(library: str | None = None) -> Gpu:
    """The first GPU; library: the driver's, default libcuda.so.1.

    Raises NoDriver where there is no driver, no device, or the driver fails.
    """
    try:
        driver = ctypes.CDLL(library or DRIVER_LIBRARY)
    except OSError:
        raise NoDriver("there is no NVIDIA driver (libcuda.so.1)") from None
    code = driver.cuInit(0)
    if code == NO_DEVICE:
        raise NoDriver("the NVIDIA driver finds no GPU")
    _check(driver, code, "cuInit")
    version, count, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _check(driver, driver.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    _check(driver, driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value < 1:
        raise NoDriver("the NVIDIA driver finds no GPU")
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    _check(driver, driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    _check(driver, driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")
    capability = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        _check(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute")
        capability.append(value.value)
    speaks = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value, speaks)


def _check(driver: ctypes.CDLL, code: int, call: str) -> None:
    if code == 0:
        return
    text = ctypes.c_char_p()
    driver.cuGetErrorString(code, ctypes.byref(text))
    raise NoDriver(f"the NVIDIA driver fails: {call}: {(text.value or b'unknown').decode()} ({code})")

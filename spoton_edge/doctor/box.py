"""The machine: GPU, libraries, models, clock, disk, folders, endpoints."""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from spoton_edge import config, control, models
from spoton_edge.capture.video import cuda_problem, missing_decoders
from spoton_edge.doctor.findings import Finding, good, not_checked, note, wrong
from spoton_edge.endpoints import control_endpoint
from spoton_edge.engine import driver
from spoton_edge.errors import SpotOnError

LEAST_FREE = 1 << 30  # bytes: a first engine build and the models fit
CLOCK_UNSYNCHRONISED = 0x40  # STA_UNSYNC of adjtimex(2)
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13", "pycuda")
NEEDS_GPU = ("tensorrt", "tensorrt_rtx")


def gpu(site: config.Site, probe: Callable[[], driver.Gpu] = driver.probe) -> Iterator[Finding]:
    """GPU and driver, and what the site asks of them."""
    asked = site.runtime.backend in NEEDS_GPU
    try:
        found = probe()
    except driver.NoDriver as reason:
        devices = sorted(str(path) for path in Path("/dev").glob("nvidia*"))
        closed = [path for path in devices if Path(path).is_char_device() and not os.access(path, os.R_OK | os.W_OK)]
        if closed:
            yield wrong("GPU", f"{', '.join(closed)} may not be opened by this user", "put the user in their group")
        elif asked:
            remedy = "install NVIDIA's driver, or set runtime.backend: auto"
            yield wrong("GPU", f"{reason}, and runtime.backend is {site.runtime.backend}", remedy)
        else:
            yield note("GPU", f"{reason}; the networks run on the CPU")
        return
    capability = ".".join(map(str, found.compute_capability))
    size = f"{found.memory_bytes / 2**30:.0f} GiB"
    yield good("GPU", f"{found.name}, {size}, compute capability {capability}, driver for CUDA {found.driver}")
    if not any(_version(name) for name in ("tensorrt", "tensorrt-rtx-cu13", "onnxruntime-gpu")):
        yield note("TensorRT", "is not installed: the GPU is not used", "pip install 'spoton-edge[gpu]'")


def libraries() -> Iterator[Finding]:
    """What runs networks and decodes video."""
    found = {name: version for name in LIBRARIES if (version := _version(name))}
    if found.keys() & {"onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13"}:
        yield good("engines", ", ".join(f"{name} {version}" for name, version in found.items()))
    else:
        yield wrong("engines", "no library that runs networks is installed", "pip install 'spoton-edge[cpu]' or [gpu]")
    if missing := missing_decoders():
        yield wrong("decoders", f"this build of PyAV has none for {', '.join(missing)}", "pip install --upgrade av")
    else:
        cuda = cuda_problem()
        yield good("decoders", f"H.264, H.265, MJPEG; on the GPU: {f'no ({cuda})' if cuda else 'yes'}")


def networks(site: config.Site, cache: Path) -> Iterator[Finding]:
    """Whether the models are there."""
    for key, name in (("detector.model", site.detector.model), ("reid.model", site.reid.model)):
        if name is not None:
            try:
                yield good(key, str(models.resolve(name, cache)))
            except SpotOnError as error:
                text, _, remedy = str(error).partition(": run ")
                yield wrong(key, text, f"run {remedy}" if remedy else "correct the path")


def clock() -> Iterator[Finding]:
    """Whether the wall clock is kept; only times in messages depend on it."""
    state = (ctypes.c_ulong * 64)()  # struct timex, all zero: ask, set nothing; `status` is its sixth member, an int
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(state)) < 0:
        yield not_checked("clock", f"may not be asked here ({os.strerror(ctypes.get_errno())})")
    elif ctypes.cast(ctypes.byref(state, 5 * ctypes.sizeof(ctypes.c_ulong)), ctypes.POINTER(ctypes.c_int))[0] & (
        CLOCK_UNSYNCHRONISED
    ):
        yield note("clock", "is not synchronised: times in messages may be wrong", "timedatectl set-ntp true")
    else:
        yield good("clock", "synchronised")


def folders(cache: Path, state: Path) -> Iterator[Finding]:
    """Whether what must be kept can be written, and whether there is room."""
    for what, folder in (("cache", cache), ("state", state)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            yield wrong(what, f"{folder} may not be written by this user", f"chown it: ls -ld {there}")
            continue
        free = shutil.disk_usage(there).free
        if free < LEAST_FREE:
            yield wrong(what, f"{folder} has {free / 2**20:.0f} MiB left", "make room: 1 GiB is little enough")
        else:
            yield good(what, f"{folder}, {free / 2**30:.0f} GiB free")


def endpoints(site: config.Site) -> Iterator[Finding]:
    """Whether they can be bound, or are by the site's own daemon."""
    running = daemon_runs(site)
    for endpoint in (*site.publish.bind, site.publish.snapshot):
        if endpoint.startswith("ipc://"):
            folder = Path(endpoint.removeprefix("ipc://")).parent
            if endpoint.startswith("ipc://@") or os.access(folder, os.W_OK, effective_ids=True):
                yield good(endpoint, "can be bound")
            else:
                yield wrong(endpoint, f"{folder} is absent or may not be written", "name another path")
            continue
        problem = _binding(endpoint)
        if problem is None:
            yield good(endpoint, "free")
        elif problem == errno.EADDRINUSE and running:
            yield good(endpoint, "in use, by the daemon of this site that runs")
        elif problem == errno.EADDRINUSE:
            yield wrong(endpoint, "in use by another program", "find it: ss -ltnp; or name another port")
        elif problem == errno.EADDRNOTAVAIL:
            yield wrong(endpoint, "is no address of this machine", "see ip address; 0.0.0.0 is all of them")
        else:
            yield wrong(endpoint, f"cannot be bound ({os.strerror(problem)})", "name another")


def daemon_runs(site: config.Site) -> bool:
    """Whether the site's daemon answers."""
    try:
        control.ask(control_endpoint(site.runtime.control, site.site), "status", timeout_s=2.0)
    except SpotOnError:
        return False
    return True


def _binding(endpoint: str) -> int | None:
    """The errno of binding a tcp endpoint, None where it works."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if port in ("*", "0"):
        return None
    host = "0.0.0.0" if host == "*" else host.strip("[]")  # noqa: S104  as the site file says
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ does
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except socket.gaierror:
            return errno.EADDRNOTAVAIL
        except OSError as error:
            return error.errno
    return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None

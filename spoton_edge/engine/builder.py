"""Has engines built in a child process, so that a build can be killed and a crash of the builder is an error here."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spoton_edge.engine.cache import EngineCache, Key
from spoton_edge.errors import EngineError

log = logging.getLogger(__name__)

Progress = Callable[[str, float, float | None], None]  # phase, share that is done, seconds left if that can be told
STUCK_S = 1800.0  # without a word from the builder; large networks are silent for minutes
ERROR_LINES = 3
LEAST_TO_ESTIMATE = 0.1  # share that is done before its pace says anything


class BuildRefusedError(EngineError):
    """The builder does not take this network, or died over it; another backend may do."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a child is to build; shapes are of the input, (B, 3, H, W)."""

    model: str
    output: str
    library: str
    half: bool
    smallest: tuple[int, int, int, int]
    typical: tuple[int, int, int, int]
    largest: tuple[int, int, int, int]
    compute_capability: tuple[int, int] | None  # None: of the GPU here


def build(
    cache: EngineCache,
    key: Key,
    model: Path,
    *,
    progress: Progress,
    cross: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Build the engine of a key from an ONNX file, swap it into the cache, and return its path.

    cross: for the key's compute capability rather than the GPU here. Raises BuildRefusedError where the builder fails,
    and EngineError where the disk does or the build is cancelled; the cache then stays as it was.
    """
    width, height = key.size
    with cache.building(key) as output:
        if (found := cache.find(key)) is not None:
            return found  # another process has built it while this one waited
        request = Request(
            model=str(model),
            output=str(output),
            library=key.library,
            half=key.precision == "fp16",
            smallest=(1, 3, height, width),
            typical=(key.typical, 3, height, width),
            largest=(key.largest, 3, height, width),
            compute_capability=key.compute_capability if cross else None,
        )
        last = cache.last_build_s(key.model, key.library)
        log.info("building %s%s", key.stem, f", which took {last:.0f} s last time" if last else "")
        started = time.monotonic()

        def tell(phase: str, done: float) -> None:
            progress(phase, done, seconds_left(done, time.monotonic() - started, last))

        tell("starting", 0.0)
        input_dtype = run_child(request, tell, cancelled)
        build_s = time.monotonic() - started
        path = cache.keep(key, output, build_s=build_s, input_dtype=input_dtype)
    progress("built", 1.0, 0.0)
    log.info("built %s: %.1f MB in %.1f s", path.name, path.stat().st_size / 1e6, build_s)
    return path


def seconds_left(done: float, elapsed_s: float, last_s: float | None) -> float | None:
    """How long a build goes on: as long as the last one of the model took, else at the pace so far; None: not known."""
    if last_s is not None and elapsed_s < last_s:
        return last_s - elapsed_s
    return elapsed_s * (1 - done) / done if done >= LEAST_TO_ESTIMATE else None


def run_child(request: Request, progress: Callable[[str, float], None], cancelled: Callable[[], bool]) -> str:
    """Run the builder to its end; the dtype of the engine's input."""
    command = [sys.executable, "-m", "spoton_edge.engine.build_child"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    with child:
        try:
            answer, noise = _converse(child, json.dumps(asdict(request)), progress, cancelled)
        finally:
            child.kill()
    if answer is not None and "input_dtype" in answer:
        return str(answer["input_dtype"])
    if answer is not None and answer.get("errno") in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OSError(answer["errno"], answer["error"])
    name = Path(request.model).name
    if answer is not None:
        raise BuildRefusedError(f"{name}: no engine was built: {answer['error']}")
    death = f"died of {signal.Signals(-child.returncode).name}" if child.returncode < 0 else "ended without an answer"
    raise BuildRefusedError(
        f"{name}: no engine was built: the builder {death}{': ' if noise else ''}{' | '.join(noise)}"
    )


def _converse(
    child: subprocess.Popen[str], request: str, progress: Callable[[str, float], None], cancelled: Callable[[], bool]
) -> tuple[dict[str, Any] | None, list[str]]:
    """The child's last answer, None where it died without one, and its last lines on stderr."""
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(request)
        child.stdin.close()
    noise: deque[str] = deque(maxlen=ERROR_LINES)
    heard = time.monotonic()
    streams = [child.stdout, child.stderr]
    while streams:
        if cancelled():
            raise EngineError(f"the build of {json.loads(request)['model']} was cancelled")
        if time.monotonic() - heard > STUCK_S:
            raise BuildRefusedError(f"the builder has said nothing for {STUCK_S:.0f} s and was killed")
        for stream in select.select(streams, [], [], 0.2)[0]:
            heard = time.monotonic()
            line = stream.readline()
            if not line:
                streams.remove(stream)
            elif stream is child.stderr:
                noise.append(" ".join(line.split()))
            else:
                answer = json.loads(line)
                if "phase" not in answer:
                    child.wait()
                    return answer, list(noise)
                progress(answer["phase"], answer["done"])
    child.wait()
    return None, list(noise)

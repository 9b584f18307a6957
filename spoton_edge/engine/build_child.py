"""Builds one TensorRT engine and exits: `python -m spoton_edge.engine.build_child`, started by `builder.py`.

A process of its own, because a builder takes minutes and gigabytes, cannot be interrupted and may crash. The request
is one JSON object on stdin; the answer is lines of JSON on stdout: progress, then {"input_dtype": ...} or {"error":
...}.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from spoton_edge.errors import SpotOnError
from spoton_edge.graph_surgery import load_graph, true_inputs
from spoton_edge.half_precision import to_half

Say = Callable[..., None]
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer the request on stdin."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what TensorRT prints itself is no answer
    request = json.load(sys.stdin)
    try:
        say(answers, input_dtype=build(request, lambda **what: say(answers, **what)))
    except (SpotOnError, OSError, RuntimeError) as error:
        text = f"{error.strerror or error}" if isinstance(error, OSError) else str(error)
        say(answers, error=" ".join(text.split())[:600], errno=getattr(error, "errno", None))


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it ends, however it ends: nobody waits any more."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def say(answers: TextIO, **what: Any) -> None:
    """Write one line."""
    answers.write(json.dumps(what) + "\n")


def build(request: dict[str, Any], report: Say) -> str:
    """Build what `builder.Request` describes; the dtype of the engine's input."""
    report(phase="reading the graph", done=0.0)
    graph = load_graph(Path(request["model"]))
    if request["half"]:
        report(phase="half precision", done=0.02)
        graph = to_half(graph)
    trt = importlib.import_module(request["library"])
    logger = collecting_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    report(phase="parsing", done=0.05)
    if not parser.parse(graph.SerializeToString()):
        faults = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise RuntimeError(f"{request['library']} cannot take the graph: {faults}")
    config = builder.create_builder_config()
    config.progress_monitor = progress_monitor(trt, report)
    if request["compute_capability"]:
        config.num_compute_capabilities = 1
        config.set_compute_capability(compute_capability(trt, request["compute_capability"]), 0)
    profile = builder.create_optimization_profile()
    name = true_inputs(graph.graph)[0].name
    profile.set_shape(name, *(tuple(request[which]) for which in ("smallest", "typical", "largest")))
    config.add_optimization_profile(profile)
    report(phase="building", done=0.06)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(f"{request['library']} built nothing: {'; '.join(logger.lines[-3:]) or 'no reason given'}")
    report(phase="writing", done=0.99)
    with Path(request["output"]).open("wb") as file:
        file.write(memoryview(plan))
    return str(trt.nptype(network.get_input(0).dtype).__name__)


def network_flags(trt: Any) -> int:
    """Strong typing, which TensorRT 11 has as the only way and may stop naming."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def compute_capability(trt: Any, wanted: list[int]) -> Any:
    """TensorRT-RTX's name for (8, 9). Raises RuntimeError where it knows none."""
    if not hasattr(trt, "ComputeCapability"):
        raise RuntimeError(f"{trt.__name__} builds for the GPU at hand only; --for needs tensorrt_rtx")
    found = getattr(trt.ComputeCapability, f"SM{wanted[0]}{wanted[1]}", None)
    if found is None:
        raise RuntimeError(f"this {trt.__name__} cannot build for compute capability {wanted[0]}.{wanted[1]}")
    return found


def collecting_logger(trt: Any) -> Any:
    """A logger that keeps errors, for the one line that the user gets."""

    class Collecting(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if int(severity) <= int(trt.ILogger.ERROR):
                self.lines.append(" ".join(text.split()))

    return Collecting()


def progress_monitor(trt: Any, report: Say) -> Any:
    """Reports how much of the build is done, as far as nested phases tell."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.tree = PhaseTree()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            before = self.tree.done
            self.tree.step(phase_name, step)
            if int(50 * self.tree.done) > int(50 * before):
                report(phase=phase_name, done=round(0.06 + 0.93 * self.tree.done, 3))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.tree.finish(phase_name)

    return Progress()


class PhaseTree:
    """Nested phases of so many steps each; the share that is done never falls."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done
        self.done = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins inside a step of its parent."""
        self._phases[name] = (parent, max(steps, 1), 0)

    def step(self, name: str, step: int) -> None:
        """Step number `step`, from 0, of a phase is done."""
        if name not in self._phases:
            return
        parent, steps, _ = self._phases[name]
        self._phases[name] = (parent, steps, min(step + 1, steps))
        share, at = 0.0, name
        while True:
            above, steps, done = self._phases[at]
            share = min((done + (share if at != name else 0.0)) / steps, 1.0)
            if above not in self._phases:
                break
            at = above
        self.done = max(self.done, share)

    def finish(self, name: str) -> None:
        """A phase has ended."""
        self._phases.pop(name, None)


if __name__ == "__main__":
    main()

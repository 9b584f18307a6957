"""Every call that is made of TensorRT is one that its bindings have: 10, 11 and RTX, as they are on the package index.

The bindings of 10 and 11 are imported against empty libraries that are compiled here; nothing of them is run. A call
that is renamed, or that takes other arguments, fails here and not on the box.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import lacking

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "spoton_edge" / "engine" / name for name in ("build_child.py", "tensorrt.py")]
BINDINGS = ROOT / "build" / "bindings"  # make bindings

# What the program's variables hold.
KINDS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "runtime_config": "IRuntimeConfig",
    "runtime_cache": "IRuntimeCache",
}
# Behind a check for TensorRT-RTX in the program.
RTX_ONLY = {
    "ComputeCapability", "IRuntimeCache", "IBuilderConfig.set_compute_capability",
    "IBuilderConfig.num_compute_capabilities", "IRuntimeConfig.create_runtime_cache",
    "IRuntimeConfig.set_runtime_cache",
    "IRuntimeCache.deserialize", "IRuntimeCache.serialize",
}  # fmt: skip
CLASSES = {"OnnxParser", "Builder", "Runtime", "Logger"}  # constructed as functions of the module
OWN = {"Collecting": "ILogger", "Progress": "IProgressMonitor"}

DUMP = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
found = {"version": trt.__version__, "names": dir(trt), "members": {}}
for name in dir(trt):
    kind = getattr(trt, name)
    if isinstance(kind, type):
        found["members"][name] = {member: getattr(kind, member).__doc__ or "" for member in dir(kind)}
print(json.dumps(found))
"""
STUBS = [
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
]  # fmt: skip


def dump(module: str, folder: Path | None, libraries: Path | None) -> dict[str, Any]:
    """Names, members and docstrings of a binding, read in a process of its own: two cannot share one."""
    environment = {"PYTHONPATH": str(folder or ""), "LD_LIBRARY_PATH": str(libraries or "")}
    answer = subprocess.run(
        [sys.executable, "-c", DUMP, module], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.fixture(scope="module", params=["10", "11", "rtx"])
def bindings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if request.param == "rtx":
        if importlib.util.find_spec("tensorrt_rtx") is None:
            lacking("tensorrt-rtx-cu13")
        return dump("tensorrt_rtx", None, None)
    folder = BINDINGS / request.param
    if not folder.is_dir():
        lacking(f"bindings of TensorRT {request.param}: make bindings")
    libraries = tmp_path_factory.mktemp("stubs")
    (libraries / "stub.c").write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in STUBS))
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        target = f"lib{name}.so.{request.param}"
        command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{target}", "-o", target, "stub.c"]
        subprocess.run(command, cwd=libraries, check=True)
    return dump("tensorrt_bindings", folder, libraries)


def variable(node: ast.expr) -> str | None:
    """The kind of TensorRT object that an expression holds, by its name; with or without `self._`."""
    if isinstance(node, ast.Name):
        return KINDS.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return KINDS.get(node.attr.removeprefix("_"))
    return None


def is_module(node: ast.expr) -> bool:
    """Whether an expression is the TensorRT module."""
    return (isinstance(node, ast.Name) and node.id == "trt") or (
        isinstance(node, ast.Attribute) and node.attr == "_trt"
    )


def uses() -> Iterator[tuple[str, ast.Call | None]]:
    """Every "Class.member" and module name that the program uses, with the call where it is one."""
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            kind = variable(node.value)
            if kind is not None:
                yield f"{kind}.{node.attr}", calls.get(id(node))
            elif is_module(node.value):
                yield node.attr, calls.get(id(node)) if node.attr in CLASSES else None
            elif isinstance(node.value, ast.Attribute) and is_module(node.value.value):
                yield f"{node.value.attr}.{node.attr}", None


def parameters(docstring: str) -> list[list[str]]:
    """The parameters after self of every overload that a pybind11 docstring gives, each as "name: type = default"."""
    overloads = []
    for found in re.finditer(r"^(?:\d+\. )?\w+\((self: .*)\) -> ", docstring, re.MULTILINE):
        parts, depth, start = [], 0, 0
        text = found.group(1)
        for at, letter in enumerate(text):
            depth += (letter in "[(") - (letter in "])")
            if letter == "," and depth == 0:
                parts.append(text[start:at].strip())
                start = at + 1
        overloads.append([*parts, text[start:].strip()][1:])
    return overloads


def fits(call: ast.Call, overload: list[str]) -> bool:
    """Whether a call's arguments can be those of an overload."""
    names = [parameter.split(":")[0].strip() for parameter in overload]
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return len(call.args) <= len(names)
    given = [*names[: len(call.args)], *(keyword.arg for keyword in call.keywords)]
    needed = [name for name, parameter in zip(names, overload, strict=True) if "=" not in parameter]
    return len(call.args) <= len(names) and set(needed) <= set(given) <= set(names)


def test_every_name_that_is_used_exists_and_every_call_fits(bindings: dict[str, Any]) -> None:
    rtx = "IRuntimeCache" in bindings["names"]
    checked = calls = 0
    for name, call in uses():
        if name.startswith("__") or (name in RTX_ONLY and not rtx):
            continue
        kind, _, member = name.rpartition(".")
        if not kind:
            assert member in bindings["names"], f"{bindings['version']} has no {member}"
            kind, member = member, "__init__"
        else:
            assert member in bindings["members"][kind], f"{bindings['version']}: {kind} has no {member}"
        checked += 1
        if call is not None:
            overloads = parameters(bindings["members"][kind][member])
            assert overloads, f"{kind}.{member}: no signature in its docstring"
            assert any(fits(call, overload) for overload in overloads), (
                f"{bindings['version']}: {ast.unparse(call)} does not fit {overloads}"
            )
            calls += 1
    assert checked > 30
    assert calls > 20


def test_what_the_program_overrides_exists_to_be_overridden(bindings: dict[str, Any]) -> None:
    tree = ast.parse(SOURCES[0].read_text())
    overridden = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in OWN:
            for method in node.body:
                assert isinstance(method, ast.FunctionDef)
                assert method.name in bindings["members"][OWN[node.name]]
                overridden += 1
    assert overridden == 6


def test_the_docstrings_of_bindings_are_read_rightly() -> None:
    text = """f(*args, **kwargs)
Overloaded function.

1. f(self: a.B, config: a.C = None) -> a.D
2. f(self: a.B, sizes: tuple[int, int], name: str) -> None
"""
    assert parameters(text) == [["config: a.C = None"], ["sizes: tuple[int, int]", "name: str"]]
    call = ast.parse("f(1, name='x')").body[0].value  # type: ignore[attr-defined]
    assert [fits(call, overload) for overload in parameters(text)] == [False, True]

"""Engines are built, cached under everything that decides them, and survive what happens to a disk or a process.

TensorRT-RTX builds for a GPU that is not here: the whole path but the running is real.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import multiprocessing
import os
import resource
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from spoton_edge import models
from spoton_edge.engine import Workload, builder
from spoton_edge.engine.build_child import PhaseTree
from spoton_edge.engine.builder import BuildRefusedError, build, seconds_left
from spoton_edge.engine.cache import EngineCache, Key, beside, state_of
from spoton_edge.engine.driver import Gpu
from spoton_edge.engine.tensorrt import key_of
from spoton_edge.errors import EngineError, ExitCode, ModelError
from tests.conftest import SHARED
from tests.onnx_graphs import Graph, rt_detr
from tests.process import NOBODY, as_nobody

RTX_4060 = Gpu("NVIDIA GeForce RTX 4060", (8, 9), 8 << 30, "13.0")
needs_rtx = pytest.mark.usefixtures("tensorrt_rtx")


def quiet(phase: str, done: float, left_s: float | None) -> None:
    pass


def small_network(path: Path, width: int = 8) -> Path:
    g = Graph()
    onnx.save(
        g.model((32, 32), [("out", g.conv(g.conv("images", (3, width), 3), (width, 4), 3), [4, 32, 32])]), str(path)
    )
    return path


def key_for(model: Path, size: tuple[int, int] = (32, 32), largest: int = 4) -> Key:
    version = importlib.metadata.version("tensorrt-rtx-cu13")
    return key_of(model, Workload(size, 1, largest), "tensorrt_rtx", version, RTX_4060)


def some_key(**changes: Any) -> Key:
    whole: dict[str, Any] = {
        "model": "net.onnx", "model_sha256": "0" * 64, "precision": "fp16", "size": (32, 32), "typical": 1,
        "largest": 4, "library": "tensorrt_rtx", "library_version": "1.7", "gpu": "a",
        "compute_capability": (8, 9), "driver": "13.0",
    }  # fmt: skip
    return Key(**{**whole, **changes})


def stored(cache: EngineCache, key: Key, content: bytes = b"engine") -> Path:
    with cache.building(key) as path:
        path.write_bytes(content)
        return cache.keep(key, path, build_s=1.0, input_dtype="float16")


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "1" * 64}, {"precision": "fp32"}, {"size": (64, 32)}, {"typical": 2}, {"largest": 8},
        {"library": "tensorrt"}, {"library_version": "1.8"}, {"gpu": "b"}, {"compute_capability": (8, 6)},
        {"driver": "13.1"}, {"recipe": 99},
    ],
)  # fmt: skip
def test_the_cache_misses_on_each_change_of_the_key(tmp_path: Path, change: dict[str, Any]) -> None:
    cache = EngineCache(tmp_path)
    stored(cache, some_key())
    assert cache.find(some_key()) is not None
    assert cache.find(some_key(**change)) is None
    assert set(change) <= {field.name for field in dataclasses.fields(Key)}


def test_every_part_of_the_key_is_tried_above() -> None:
    tried = {"model_sha256", "precision", "size", "typical", "largest", "library", "library_version", "gpu",
             "compute_capability", "driver", "recipe"}  # fmt: skip
    assert {field.name for field in dataclasses.fields(Key)} - tried == {"model"}  # a name only, for people


def test_the_folder_is_for_its_owner_only_and_a_manifest_says_what_an_engine_is(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    path = stored(cache, some_key())
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    record = json.loads(beside(path, ".json").read_bytes())
    assert record["key"]["gpu"] == "a"
    assert record["input_dtype"] == "float16"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's place")
def test_what_root_has_built_the_service_can_use_and_renew(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    stored(EngineCache(folder), some_key(), b"by root")
    with as_nobody(tmp_path):
        cache = EngineCache(folder)
        found = cache.find(some_key())
        assert found is not None
        assert found.read_bytes() == b"by root"
        assert stored(cache, some_key(), b"by the service") == found
        assert cache.find(some_key()) == found


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3]), "damaged"),
        (lambda path: path.unlink(), "absent"),
        (lambda path: beside(path, ".json").unlink(), "unfinished"),
        (lambda path: beside(path, ".json").write_bytes(b'{"sha'), "damaged"),
        (lambda path: beside(path, ".json").write_bytes(b"[]"), "damaged"),
    ],
)
def test_a_harmed_engine_is_not_found(tmp_path: Path, harm: Callable[[Path], None], state: str) -> None:
    cache = EngineCache(tmp_path)
    path = stored(cache, some_key())
    harm(path)
    assert state_of(path) == state
    assert cache.find(some_key()) is None
    assert [row.state for row in cache.rows()] == ([state] if state != "absent" else [])


def test_pruning_keeps_what_is_named_and_drops_the_rest(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    kept, gone = stored(cache, some_key()), stored(cache, some_key(gpu="old"))
    cache.jit_path(some_key(gpu="old")).write_bytes(b"jit")
    assert cache.prune({kept}) == [gone]
    assert [row.path for row in cache.rows()] == [kept]
    assert sorted(path.suffix for path in cache.folder.iterdir() if path.suffix) == [".engine", ".json"]


def test_progress_of_nested_phases_never_falls_and_ends_whole() -> None:
    tree = PhaseTree()
    seen = []
    tree.start("build", None, 2)
    for _ in range(2):
        tree.start("part", "build", 4)
        for step in range(4):
            tree.step("part", step)
            seen.append(tree.done)
        tree.finish("part")
        tree.step("build", len(seen) // 4 - 1)
        seen.append(tree.done)
    assert seen == sorted(seen)
    assert seen[1] == 0.25
    assert seen[-1] == 1.0


def real_weights(name: str, file_name: str) -> Path:
    """A known model's file, from ../shared/models or the cache that `models fetch` fills; skips by name."""
    shared = SHARED / "models" / file_name
    if shared.is_file():
        return shared
    try:
        return models.resolve(name, models.cache_dir())
    except ModelError as reason:
        pytest.skip(f"no real weights: {reason}")


def test_the_time_that_is_left_is_told_by_the_last_build_and_else_by_the_pace() -> None:
    assert seconds_left(0.02, 1.0, None) is None
    assert seconds_left(0.25, 5.0, None) == 15.0
    assert seconds_left(0.02, 4.0, 10.0) == 6.0
    assert seconds_left(0.5, 12.0, 10.0) == 12.0  # it takes longer than last time
    assert seconds_left(1.0, 12.0, None) == 0.0


@needs_rtx
@pytest.mark.parametrize(
    ("name", "file_name", "size"),
    [
        ("yolox-nano", "yolox_nano_dyn_bhw.onnx", (416, 416)),
        ("osnet-x0.25", "osnet_x0_25_msmt17_dynbatch.onnx", (128, 256)),
        ("reid-0287", "person-reid-retail-0287_dynbatch.onnx", (128, 256)),
    ],
)
def test_real_weights_become_half_precision_engines_for_another_gpu(
    name: str, file_name: str, size: tuple[int, int], tmp_path: Path
) -> None:
    model = real_weights(name, file_name)
    cache, key = EngineCache(tmp_path), key_for(model, size, 16)
    shares: list[float] = []
    path = build(cache, key, model, progress=lambda phase, done, left_s: shares.append(done), cross=True)
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    record = json.loads(beside(path, ".json").read_bytes())
    assert record["input_dtype"] == "float16"
    assert tuple(record["key"]["compute_capability"]) == (8, 9)
    assert path.stat().st_size > 100_000


@needs_rtx
def test_an_rt_detr_with_deformable_attention_becomes_an_engine(tmp_path: Path) -> None:
    model = tmp_path / "rt-detr.onnx"
    onnx.save(rt_detr(), str(model))
    cache, key = EngineCache(tmp_path), key_for(model, (320, 256))
    path = build(cache, key, model, progress=quiet, cross=True)
    assert cache.find(key) == path


@needs_rtx
def test_the_second_build_is_a_hit_and_a_truncated_engine_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_network(tmp_path / "net.onnx")
    cache, key = EngineCache(tmp_path), key_for(model)
    builds: list[builder.Request] = []
    run_child = builder.run_child

    def counted(request: builder.Request, *others: Any) -> str:
        builds.append(request)
        return run_child(request, *others)

    monkeypatch.setattr(builder, "run_child", counted)
    first = build(cache, key, model, progress=quiet, cross=True)
    assert build(cache, key, model, progress=quiet, cross=True) == first
    assert len(builds) == 1
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    assert build(cache, key, model, progress=quiet, cross=True) == first
    assert len(builds) == 2
    assert state_of(first) == "good"
    small_network(model, 9)
    assert key_for(model).digest != key.digest


@needs_rtx
def test_a_network_that_the_builder_refuses_is_one_line_that_says_why(tmp_path: Path) -> None:
    g = Graph()
    model = tmp_path / "odd.onnx"
    onnx.save(
        g.model((32, 32), [("out", g.op("Det", g.op("Slice", "images", g.ints(0), g.ints(3), g.ints(1))), [3])]),
        str(model),
    )
    cache, key = EngineCache(tmp_path), key_for(model)
    with pytest.raises(BuildRefusedError, match=r"odd\.onnx: no engine was built: tensorrt_rtx cannot take") as caught:
        build(cache, key, model, progress=quiet, cross=True)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.ENGINE_LOST
    assert cache.rows() == []


@needs_rtx
def test_a_builder_that_is_killed_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_network(tmp_path / "net.onnx")
    cache, key = EngineCache(tmp_path), key_for(model)
    children: list[int] = []
    popen = builder.subprocess.Popen

    def watched(*arguments: Any, **options: Any) -> Any:
        child = popen(*arguments, **options)
        children.append(child.pid)
        return child

    def kill(phase: str, done: float, left_s: float | None) -> None:
        if children:  # not yet when it is "starting"
            os.kill(children[0], signal.SIGKILL)

    monkeypatch.setattr(builder.subprocess, "Popen", watched)
    with pytest.raises(BuildRefusedError, match="the builder died of SIGKILL"):
        build(cache, key, model, progress=kill, cross=True)
    assert cache.rows() == []
    assert [path for path in cache.folder.iterdir() if path.name != ".lock"] == []


@needs_rtx
def test_a_build_can_be_cancelled(tmp_path: Path) -> None:
    model = small_network(tmp_path / "net.onnx")
    cache, key = EngineCache(tmp_path), key_for(model)
    with pytest.raises(EngineError, match="was cancelled"):
        build(cache, key, model, progress=quiet, cross=True, cancelled=lambda: True)
    assert cache.rows() == []


def build_and_die(folder: Path, model: Path, started: Any) -> None:
    """Build, and be killed in the middle of it."""
    build(
        EngineCache(folder),
        key_for(model),
        model,
        progress=lambda _, done, left_s: done > 0.05 and started.set(),
        cross=True,
    )


@needs_rtx
def test_a_service_killed_in_the_middle_of_a_build_leaves_a_cache_that_works(tmp_path: Path) -> None:
    model = small_network(tmp_path / "net.onnx")
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    victim = context.Process(target=build_and_die, args=(tmp_path, model, started))
    victim.start()
    assert started.wait(60)
    victim.kill()
    victim.join()
    cache, key = EngineCache(tmp_path), key_for(model)
    assert cache.find(key) is None
    left = list(cache.folder.glob(".partial-*"))
    for folder in left:
        os.utime(folder, (time.time() - 60,) * 2)  # only what is not quite new is swept
    path = build(cache, key, model, progress=quiet, cross=True)
    assert state_of(path) == "good"
    assert list(cache.folder.glob(".partial-*")) == []


def build_on_a_full_disk(folder: Path, model: Path, said: Any) -> None:
    """Build where no file may grow beyond a few kB, as on a disk that fills."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        build(EngineCache(folder), key_for(model), model, progress=quiet, cross=True)
    except EngineError as error:
        said.put((type(error).__name__, str(error)))


@needs_rtx
def test_a_disk_that_fills_in_the_middle_of_a_build_is_named_and_leaves_the_old_engines(tmp_path: Path) -> None:
    model = small_network(tmp_path / "net.onnx")
    cache = EngineCache(tmp_path)
    kept = stored(cache, some_key())
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    process = context.Process(target=build_on_a_full_disk, args=(tmp_path, model, said))
    process.start()
    kind, text = said.get(timeout=60)
    process.join()
    assert kind == "EngineError"
    assert "free some space" in text
    assert [row.path for row in cache.rows()] == [kept]
    assert list(cache.folder.glob(".partial-*")) == []


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file")
    with pytest.raises(EngineError, match="choose another folder"):
        EngineCache(tmp_path)

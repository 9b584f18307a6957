"""A reload that names another detector: the old one serves until the new one is ready, and stays where it fails."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoton_edge import config
from spoton_edge.engine.backends import Backends
from spoton_edge.errors import ConfigError, EngineError, ExitCode, ModelError
from spoton_edge.service import Service
from tests.footage import write_clip
from tests.waiting import until

LIMIT_S = 30.0


@pytest.fixture
def write_site(tmp_path: Path, shared_models: Path) -> Callable[..., Path]:
    """Writes the site's file, for a model and an input size."""
    clip = write_clip(tmp_path / "clip.mp4", range(400), rate=20)
    other = tmp_path / "other.onnx"
    shutil.copy(shared_models / "yolox_nano_dyn_bhw.onnx", other)

    def write(model: Path = other, size: int = 64) -> Path:
        path = tmp_path / "site.yaml"
        path.write_text(
            f"site: swap\ncameras: [{{name: c, source: {clip}}}]\n"
            f"detector: {{model: {model}, input: [{size}, {size}]}}\n"
            f"publish: {{bind: ['ipc://{tmp_path}/p'], snapshot: 'ipc://{tmp_path}/s'}}\n"
            f"runtime: {{backend: onnxruntime, threads: 1, control: 'ipc://{tmp_path}/c'}}\n"
        )
        return path

    return write


@pytest.fixture
def service(write_site: Callable[..., Path], tmp_path: Path) -> Any:
    """A service that runs in a thread of its own; the exit code is there when it has ended."""
    path = write_site()
    running = Service(path, config.load(path), cache=tmp_path / "cache", state=tmp_path / "state")
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(running.run()))
    thread.start()
    yield running
    running.stop()
    thread.join(LIMIT_S)
    assert codes == [ExitCode.STOPPED]


def test_another_input_is_swapped_in_between_batches(service: Service, write_site: Callable[..., Path]) -> None:
    old = service.pipeline.detector
    until(lambda: service.pipeline.batches > 2)
    write_site(size=96)
    assert service.reload() == ["detector.input: changed; takes effect when the new network is ready"]
    until(lambda: service.pipeline.detector is not old)
    after = service.pipeline.batches
    until(lambda: service.pipeline.batches > after + 2)
    assert service.reload() == []


def test_the_old_network_serves_while_the_new_one_is_prepared_and_stays_where_that_fails(
    service: Service,
    write_site: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started, fail = threading.Event(), threading.Event()

    def prepare(self: Backends, *work: object) -> None:
        started.set()
        fail.wait(LIMIT_S)
        raise EngineError("the builder died")

    monkeypatch.setattr(Backends, "prepare", prepare)
    old = service.pipeline.detector
    write_site(size=96)
    service.reload()
    assert started.wait(LIMIT_S)
    before = service.pipeline.batches
    until(lambda: service.pipeline.batches > before + 2)
    fail.set()
    until(lambda: "the old one stays: the builder died" in caplog.text)
    before = service.pipeline.batches
    until(lambda: service.pipeline.batches > before + 2)
    assert service.pipeline.detector is old


def test_a_model_that_is_not_there_is_refused_at_once(service: Service, write_site: Callable[..., Path]) -> None:
    old = service.pipeline.detector
    write_site(model=Path("absent.onnx"))
    with pytest.raises(ConfigError, match=r"absent\.onnx"):
        service.reload()
    write_site(model=Path("osnet-x0.25"))  # whose file is not in the cache, and which is no detector
    with pytest.raises(ModelError, match=r"osnet"):
        service.reload()
    assert service.pipeline.detector is old


def test_a_change_taken_back_is_forgotten(
    service: Service, write_site: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()

    def prepare(self: Backends, model: Path, work: object, cancelled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not cancelled() and time.monotonic() < deadline:
            time.sleep(0.01)
        given_up.set()

    monkeypatch.setattr(Backends, "prepare", prepare)
    old = service.pipeline.detector
    write_site(size=96)
    service.reload()
    write_site(size=64)
    assert service.reload() == []
    assert given_up.wait(LIMIT_S)
    before = service.pipeline.batches
    until(lambda: service.pipeline.batches > before + 2)
    assert service.pipeline.detector is old

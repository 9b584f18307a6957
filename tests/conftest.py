"""Where tests find footage and weights that are not part of the project."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.clip import find_clip, find_detector
from tests.e2e.harness import lacking

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for tests that import ONNX Runtime by themselves

# Whoever starts us in the background has these ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A machine under load is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Their fixtures build the package and boot a machine for it, once a process.
OF_THE_PACKAGE = tuple(f"tests/e2e/test_{name}" for name in ("packaging.py", "service"))

SHARED = Path(__file__).resolve().parents[2] / "shared"


class ByFile(LoadFileScheduling):
    """Gives each process whole files, in their order: those of tests/e2e, which mostly wait, come first."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "the package" if file.startswith(OF_THE_PACKAGE) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """How the tests are dealt out to processes (`make test` has two)."""
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the ids of a daemon of this machine."""
    os.environ["STATE_DIRECTORY"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real footage, detections and ground truth; skips by name where it is absent."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip("no ../shared/data: real footage and ground truth are absent")
    return path


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real weights; skips by name where it is absent."""
    path = SHARED / "models"
    if not path.is_dir():
        pytest.skip("no ../shared/models: real weights are absent")
    return path


@pytest.fixture(scope="session")
def tensorrt_rtx() -> None:
    """Skips by name where TensorRT-RTX, which builds engines without a GPU, is not installed."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        lacking("tensorrt-rtx-cu13, which builds engines")


@pytest.fixture(scope="session")
def clip() -> Path:
    """The demo's clip; skips by name where it is absent."""
    found = find_clip(SHARED)
    if found is None:
        pytest.skip("no vtest.avi: neither ../shared/data, nor SPOTON_DEMO_VIDEO, nor the cache has it")
    return found


@pytest.fixture(scope="session")
def detector() -> str:
    """Path of a detector's weights; skips by name where there are none."""
    found = find_detector(SHARED)
    if found is None:
        pytest.skip("no detector: neither ../shared/models nor the cache has one")
    return found

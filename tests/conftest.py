"""Where tests find footage and weights that are not part of the project."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clip import find_clip, find_detector
from tests.e2e.harness import lacking

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for tests that import ONNX Runtime by themselves

# Whoever starts us in the background has these ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A machine under load is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"


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

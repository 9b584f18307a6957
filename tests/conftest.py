"""Where tests find footage and weights that are not part of the project."""

import importlib.util
from pathlib import Path

import pytest

from tests.e2e.harness import lacking

SHARED = Path(__file__).resolve().parents[2] / "shared"


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

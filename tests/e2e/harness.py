"""What the tests need of the machine beyond Python packages."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip by name; in CI, which installs what it needs (.ci/run), a harness that is absent is a failure."""
    if os.environ.get("SPOTON_CI"):
        pytest.fail(f"CI must have it: {what}")
    pytest.skip(what)

"""Waiting for what another thread or process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 40.0  # machines that run tests are slow and shared


def until(happens: Callable[[], Any], what: object = "", within_s: float = PATIENCE_S) -> Any:
    """What `happens` returns as soon as that is true. A test in which it never is fails with `what`; where that is a
    function, with what it then returns."""
    end = time.monotonic() + within_s
    while not (result := happens()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s:g} s: {what() if callable(what) else what}")
        time.sleep(0.01)
    return result

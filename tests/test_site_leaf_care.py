"""When a leaf node is said to be stuck, and to whom."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NotFoundError, ServiceUnavailableError

from spoton_edge.site import leaf_care
from spoton_edge.systemd import Request


class Leaf:
    """A leaf node's connection and what waits for it, in some state."""

    def __init__(self, *, answer: Exception | None = None, unanswered: bool = True, connected: bool = True) -> None:
        self.failing, self.failing_s = "timeout", 60.0
        self.unanswered, self.is_connected = unanswered, connected
        self._answer = answer

    def jetstream(self) -> Leaf:
        return self

    async def stream_info(self, name: str) -> None:
        if self._answer is not None:
            raise self._answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_care, "LOOK_S", 0.0)
    monkeypatch.setattr(leaf_care, "ASK_AGAIN_S", 0.0)


def look_after(leaf: Any, folder: Path | None) -> bool:
    """Whether it is to be started anew; folder: the uplink's, if its unit has started it."""
    request = Request("flag", {} if folder is None else {"RUNTIME_DIRECTORY": str(folder)})

    async def run() -> None:
        caring = asyncio.ensure_future(leaf_care.mend(leaf, leaf, "S", request))
        for _ in range(50):
            await asyncio.sleep(0)
        caring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caring

    asyncio.run(run())
    return request.path is not None and request.path.exists()


@pytest.mark.parametrize("answer", [None, ServiceUnavailableError(description="disabled"), NoRespondersError()])
def test_one_that_answers_and_does_not_write_is_to_be_started_anew(tmp_path: Path, answer: Exception | None) -> None:
    assert look_after(Leaf(answer=answer), tmp_path)


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(answer=NotFoundError(description="no stream")),
        Leaf(answer=NatsTimeoutError()),
        Leaf(unanswered=False),
        Leaf(connected=False),
    ],
    ids=["its streams are not made yet", "it is busy", "it says why not", "it is down"],
)
def test_one_with_other_troubles_is_left_alone(tmp_path: Path, leaf: Leaf) -> None:
    assert not look_after(leaf, tmp_path)


def test_one_that_failed_only_now_is_given_time(tmp_path: Path) -> None:
    leaf = Leaf()
    leaf.failing_s = leaf_care.PATIENCE_S - 1.0
    assert not look_after(leaf, tmp_path)


def test_without_systemd_the_log_says_what_to_do_once(caplog: pytest.LogCaptureFixture) -> None:
    look_after(Leaf(), None)
    (said,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert said.endswith("systemctl restart spoton-edge-nats-leaf")


def test_the_file_that_systemd_waits_for_is_in_the_uplinks_runtime_folder() -> None:
    unit = Path(__file__).parents[1] / "systemd/site/spoton-edge-nats-leaf-again.path"
    request = Request(leaf_care.STUCK, {"RUNTIME_DIRECTORY": "/run/spoton-edge-uplink"})
    assert f"PathExists={request.path}" in unit.read_text().splitlines()

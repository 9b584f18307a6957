"""When a server of the hub is said to be stuck, and to whom."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spoton_edge.site import hub_care, system_services
from spoton_edge.systemd import Request

DISABLED = "JetStream not enabled (10076)"
UNWRITTEN = "JetStream stream 'SITE > KV' write error: write 1.blk: no space left on device"
ALONE = "JetStream has not established contact with a meta leader"
Health = dict[str, str]  # by name of a server, what it says is wrong


class Hub:
    """The service's connection to servers that are as `healths` says, one look after the other, and then as at last."""

    is_closed = False

    def __init__(self, *healths: Health) -> None:
        self._healths = list(healths)
        self._answer: Callable[[Any], Awaitable[None]]

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, inbox: str, cb: Callable[[Any], Awaitable[None]]) -> Hub:
        self._answer = cb
        return self

    async def unsubscribe(self) -> None:
        pass

    async def publish(self, subject: str, payload: bytes, reply: str) -> None:
        assert subject == system_services.HEALTH
        health = self._healths.pop(0) if len(self._healths) > 1 else self._healths[0]
        for name, error in health.items():
            data = {"status": "error", "error": error} if error else {"status": "ok"}
            answer = {"server": {"name": name, "id": f"id of {name}"}, "data": data}
            await self._answer(SimpleNamespace(data=json.dumps(answer).encode()))
        await self._answer(SimpleNamespace(data=b""))  # as where there are no more to ask


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_care, "LOOK_S", 0.0)
    monkeypatch.setattr(hub_care, "ASK_AGAIN_S", 0.0)


def look_after(hub: Any, folder: Path | None) -> list[str]:
    """Servers that are to be started anew; folder: the service's, if its unit has started it."""
    request = Request(hub_care.STUCK, {} if folder is None else {"RUNTIME_DIRECTORY": str(folder)})

    async def run() -> None:
        caring = asyncio.ensure_future(hub_care.mend(hub, request))
        for _ in range(100):
            await asyncio.sleep(0)
        caring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caring

    asyncio.run(run())
    return request.path.read_text().splitlines() if request.path is not None and request.path.exists() else []


def warnings(records: Sequence[logging.LogRecord]) -> list[str]:
    return [record.message for record in records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("error", [DISABLED, UNWRITTEN])
def test_servers_that_say_that_they_do_not_write_are_to_be_started_anew(tmp_path: Path, error: str) -> None:
    assert look_after(Hub({"hub-1": "", "hub-2": error}), tmp_path) == ["hub-2"]


@pytest.mark.parametrize(
    "healths",
    [[{"hub-1": ALONE}], [{"hub-1": ""}], [{}], [{"hub-1": DISABLED}, {"hub-1": ""}]],
    ids=["the others are away", "it is well", "it may not be asked", "it is starting"],
)
def test_others_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture, healths: list[Health]) -> None:
    assert not look_after(Hub(*healths), tmp_path)
    assert not warnings(caplog.records)


def test_without_systemd_the_log_says_what_to_do_once_for_each_time(caplog: pytest.LogCaptureFixture) -> None:
    stuck, well = {"hub-1": "", "hub-2": UNWRITTEN}, {"hub-1": "", "hub-2": ""}
    look_after(Hub(stuck, stuck, stuck, well, stuck, stuck, stuck), None)
    said = warnings(caplog.records)
    assert len(said) == 2
    assert all("hub-2" in line and line.endswith("systemctl restart spoton-edge-nats-hub") for line in said)


def test_the_file_that_systemd_waits_for_is_in_the_services_runtime_folder() -> None:
    unit = Path(__file__).parents[1] / "systemd/site/spoton-edge-nats-hub-again.path"
    request = Request(hub_care.STUCK, {"RUNTIME_DIRECTORY": "/run/spoton-edge-site"})
    assert f"PathExists={request.path}" in unit.read_text().splitlines()

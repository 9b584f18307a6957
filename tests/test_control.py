import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import zmq

from spoton_edge import control
from spoton_edge.control import ControlServer, ask, find
from spoton_edge.errors import ConfigError, PublishError, UsageError
from tests.messages import status

pytestmark = pytest.mark.timeout(60)


def reload() -> list[str]:
    raise ConfigError(["site.yaml:3: cameras: two of them are called c1"])


def explain(id: int) -> list[str]:  # noqa: A002
    return [f"{id}: appeared in c1"]


def crash() -> None:
    raise ZeroDivisionError("a secret detail")


def health() -> dict[str, Any]:
    """As `Service.status` answers, of a daemon whose last reload was refused."""
    counted = {"detector": "yolox-nano", "engine": "onnxruntime CPU", "reid": "histogram", "gallery": 6}
    counted |= {"handoffs": {"walk": 2, "link": 1}, "reid_budget_hits": 0, "gpu_memory": (2**30, 2**33)}
    config = {"file": "site.yaml", "sha256": 64 * "a", "needs_restart": ["runtime.threads"], "refused": "line 3"}
    return {**asdict(status()), **counted, "config": config}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    handlers = {"status": health, "reload": reload, "explain": explain, "crash": crash}
    with ControlServer(f"ipc://{tmp_path}/lobby.sock", handlers) as server:
        yield server


def test_a_request_is_answered(server: ControlServer) -> None:
    assert ask(server.endpoint, "explain", id=7) == ["7: appeared in c1"]


def test_its_file_is_for_owner_and_group_only(server: ControlServer, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "lobby.sock").stat().st_mode) == 0o660


def test_it_leaves_no_file_that_looks_like_a_daemon(tmp_path: Path) -> None:
    with ControlServer(f"ipc://{tmp_path}/lobby.sock", {}):
        assert find(folder=tmp_path) == f"ipc://{tmp_path}/lobby.sock"
    with pytest.raises(UsageError, match="no daemon"):
        find(folder=tmp_path)


def test_a_fault_of_the_user_is_told(server: ControlServer) -> None:
    with pytest.raises(UsageError, match=r"site.yaml:3: .* two of them"):
        ask(server.endpoint, "reload")


def test_a_fault_of_the_daemon_is_logged_and_not_told(server: ControlServer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError, match="its log says why") as caught:
        ask(server.endpoint, "crash")
    assert "secret" not in str(caught.value)
    assert "a secret detail" in caplog.text
    assert ask(server.endpoint, "explain", id=1)


@pytest.mark.parametrize(
    ("verb", "arguments"), [("none", {}), ("explain", {}), ("explain", {"id": 1, "x": 2}), ([], {}), (None, {})]
)
def test_a_request_that_is_none_is_refused(server: ControlServer, verb: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="ask for one of"):
        ask(server.endpoint, verb, **arguments)


def test_garbage_changes_nothing(server: ControlServer) -> None:
    context: zmq.Context[Any] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(server.endpoint)
    for frames in ([b""], [b"", b""], [b"\xff"], [b"[1]"], [b"[" * 10_000], [b"1", b"2", b"3"]):
        dealer.send_multipart(frames)
        assert dealer.poll(10_000)
        assert json.loads(dealer.recv_multipart()[-1])["ok"] is False
    for _ in range(3):
        huge = context.socket(zmq.DEALER)
        huge.connect(server.endpoint)
        huge.send(b"x" * (control.REQUEST_BYTES + 1))
    assert ask(server.endpoint, "explain", id=3) == ["3: appeared in c1"]
    context.destroy(linger=0)


def test_many_may_ask_at_once(server: ControlServer) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda number=number: answers.append(ask(server.endpoint, "explain", id=number)))
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([f"{number}: appeared in c1"] for number in range(10))


def test_without_a_daemon_the_caller_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file or directory.*is it running"):
        ask(f"ipc://{tmp_path}/nobody.sock", "status", timeout_s=0.1)
    with pytest.raises(UsageError, match="write ipc"):
        ask("nonsense", "status")


def test_the_network_is_no_place_for_it() -> None:
    with pytest.raises(PublishError, match="this machine only"):
        ControlServer("tcp://127.0.0.1:0", {})


def test_the_only_daemon_is_found_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no daemon runs here"):
        find(folder=tmp_path)
    (tmp_path / "lobby.sock").touch()
    assert find(folder=tmp_path) == f"ipc://{tmp_path}/lobby.sock"
    (tmp_path / "roof.sock").touch()
    with pytest.raises(UsageError, match="lobby, roof"):
        find(folder=tmp_path)
    assert find("roof", tmp_path) == f"ipc://{tmp_path}/roof.sock"


def test_a_daemon_is_found_by_its_process_whatever_its_site_is_called(tmp_path: Path) -> None:
    (tmp_path / "a-dead-one.sock").touch()
    sleeper = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(); "
    command = [sys.executable, "-uc", sleeper + "time.sleep(60)", str(tmp_path / "lobby.sock")]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as other,
        ControlServer(f"ipc://{tmp_path}/roof.sock", {}),
    ):
        assert other.stdout is not None
        other.stdout.readline()
        assert control.of_process(other.pid, tmp_path) == f"ipc://{tmp_path}/lobby.sock"
        assert control.of_process(os.getpid(), tmp_path) == f"ipc://{tmp_path}/roof.sock"
        other.kill()
        with pytest.raises(UsageError, match=f"process {other.pid} has no control socket"):
            control.of_process(other.pid, tmp_path / "nowhere")


def test_the_verbs_print_what_they_learn(server: ControlServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert control.status(server.endpoint) == 0
    printed = capsys.readouterr().out
    for line in (
        "c1: live, 10.0 fps, 2 dropped",
        "yolox-nano on onnxruntime CPU; looks by histogram, of 6 people",
        "GPU memory: 1.0 of 8.0 GiB",
        "handoffs: 1 by link, 2 by walk",
        "config: site.yaml, sha256 aaaaaaaaaaaa",
        "needs restart: runtime.threads",
        "the last reload was refused: line 3",
    ):
        assert line in printed
    assert control.status(server.endpoint, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["people"] == 3
    assert control.explain(server.endpoint, 4) == 0
    assert capsys.readouterr().out == "4: appeared in c1\n"

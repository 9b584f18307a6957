"""What an operator asks of a running daemon, each verb as a process."""

import json
import signal
from pathlib import Path

import pytest

from spoton_edge.client import Subscriber, Tracks
from spoton_edge.errors import ExitCode
from tests.clip import write_site
from tests.e2e.daemon import Daemon, running
from tests.test_cli import spoton


@pytest.fixture
def site(tmp_path: Path, clip: Path, detector: str) -> Path:
    return write_site(tmp_path, clip, detector)


def first_person(daemon: Daemon, **options: str) -> int:
    """The id of somebody that the daemon sees."""
    with Subscriber(daemon.endpoint, **options) as subscriber:
        while True:
            message = subscriber.receive(60.0)
            assert message is not None, daemon.log
            if isinstance(message, Tracks) and message.tracks:
                return message.tracks[0].id


def test_status_explain_and_reload_answer_from_the_running_daemon(site: Path, tmp_path: Path) -> None:
    control = ("--control", f"ipc://{tmp_path}/control")
    with running(site, tmp_path) as daemon:
        person = first_person(daemon)

        status = spoton("status", *control)
        assert status.returncode == 0, status.stderr
        assert "W: live" in status.stdout
        assert json.loads(spoton("status", *control, "--json").stdout)["cameras"][1]["name"] == "E"

        why = spoton("explain", str(person), *control)
        assert why.returncode == 0, why.stderr
        assert f"person {person}" in why.stdout
        assert "appeared in" in why.stdout
        nobody = spoton("explain", "999999", *control)
        assert nobody.returncode == ExitCode.USAGE
        assert "there is no person 999999" in nobody.stderr

        assert spoton("reload", *control).stdout == "nothing changed\n"
        config = tmp_path / "running.yaml"
        good = config.read_text()
        config.write_text(good.replace("detector:", "detecter:"))
        refused = spoton("reload", *control)
        assert refused.returncode == ExitCode.USAGE
        assert "detecter" in refused.stderr
        config.write_text(good.replace("site: demo", "site: demo\nidentity: {forget_s: 7}"))
        changed = spoton("reload", *control)
        assert changed.stdout == "identity.forget_s: changed\n"

        config.write_text("cameras: 7")
        daemon.process.send_signal(signal.SIGHUP)
        while "reload refused" not in daemon.log:
            assert daemon.process.poll() is None
        assert daemon.stop() == 0


def test_asking_where_no_daemon_runs_is_one_line(tmp_path: Path) -> None:
    result = spoton("status", "--control", f"ipc://{tmp_path}/nobody")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr.count("\n") == 1


def test_ids_go_on_counting_after_a_kill(site: Path, tmp_path: Path) -> None:
    with running(site, tmp_path) as daemon:
        before = first_person(daemon)
        daemon.process.kill()
        daemon.process.wait()
    with running(site, tmp_path) as daemon:
        assert first_person(daemon) > before


def test_an_encrypted_daemon_is_heard_with_a_key_only(site: Path, tmp_path: Path) -> None:
    folder, key = tmp_path / "keys", tmp_path / "alice.key"
    assert spoton("keys", "new", folder, "alice", "--out", key).returncode == 0
    assert "alice" in spoton("keys", "list", folder).stdout
    site.write_text(
        site.read_text()
        .replace("bind:\n  - ENDPOINT", "bind:\n  - ENDPOINT\n  - tcp://127.0.0.1:0")
        .replace("publish:\n", f"publish:\n  keys: {folder}\n")
    )
    with running(site, tmp_path) as daemon:
        first_person(daemon)  # the ipc endpoint is guarded by its file
        (line,) = [line for line in daemon.log.splitlines() if "publishing on" in line]
        encrypted = next(part for part in line.replace(",", "").split() if part.startswith("tcp://"))
        snapshot = f"{daemon.endpoint}-snapshot"
        with Subscriber(encrypted, snapshot=snapshot, key=key) as subscriber:
            message = subscriber.receive(30.0)
            assert message is not None
        with Subscriber(encrypted, snapshot=f"ipc://{tmp_path}/none") as subscriber:
            assert subscriber.receive(2.0) is None
        assert spoton("keys", "revoke", folder, "bob").returncode == ExitCode.USAGE
        assert daemon.stop() == 0

"""The hub's and the leaf node's units under a real systemd: keys as credentials, a sandbox, each other found."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spoton_edge import installation
from spoton_edge.cli import main
from tests.e2e.machine import Machine, booted
from tests.e2e.nats import nats_server
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)
HUB, LEAF = "spoton-edge-nats-hub", "spoton-edge-nats-leaf"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A hub and a box in one, as the verb and the installation leave them."""
    server = nats_server()
    with booted(tmp_path_factory.mktemp("machine")) as made:
        shutil.copy(server, made.path(installation.NATS_SERVER))
        units = made.path("/etc/systemd/system")
        for unit in (HUB, LEAF):
            for file in (f"{unit}.service", f"{unit}-again.service", f"{unit}-again.path"):
                shutil.copy(installation.shipped_files() / "site" / file, units)
        folder = made.path("/etc/spoton-edge/nats")
        here = ["--hub", "127.0.0.1", "--listen", "127.0.0.1"]  # all that the machine has
        assert main(["site", "enroll", "box-1", "--folder", str(folder), "--site", "lobby", *here]) == 0
        (folder / "boxes/box-1").rename(folder / "leaf")
        made.run("chown", "-R", "root:root", "/etc/spoton-edge/nats")
        made.run("systemctl", "daemon-reload")
        yield made


def test_hub_and_leaf_node_find_each_other_under_systemd(machine: Machine) -> None:
    machine.run("systemctl", "start", HUB)
    until(lambda: "Server is ready" in said(machine, HUB), "the hub listens")
    machine.run("systemctl", "start", LEAF)
    until(lambda: "Leafnode connection created" in said(machine, HUB), "the leaf node joins the hub")
    assert "[ERR]" not in said(machine, HUB) + said(machine, LEAF)


def said(machine: Machine, unit: str) -> str:
    return machine.run("journalctl", "--no-pager", "-u", unit).stdout


def test_the_servers_run_as_nobody_else_and_own_their_streams_only(machine: Machine) -> None:
    machine.run("systemctl", "start", HUB, LEAF)
    for unit in (HUB, LEAF):
        pid = machine.run("systemctl", "show", "--value", "-p", "MainPID", unit).stdout.strip()
        lines = machine.path(f"/proc/{pid}/status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
        assert "0" not in status["Uid"].split()
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
    kept = machine.run("find", "/var/lib/private/spoton-edge-nats", "-maxdepth", "2", "-name", "jetstream").stdout
    assert sorted(Path(path).parent.name for path in kept.split()) == ["hub", "leaf"]


def test_a_leaf_node_that_writes_nothing_more_is_started_anew_on_request(machine: Machine) -> None:
    machine.run("systemctl", "start", HUB, LEAF)
    before = machine.show(LEAF, "MainPID")
    machine.run("mkdir", "--parents", "/run/spoton-edge-uplink")  # the uplink's, at its start
    machine.run("systemctl", "start", f"{LEAF}-again.path")
    asked = machine.path("/run/spoton-edge-uplink/leaf-is-stuck")
    asked.touch()
    machine.wait(lambda: not asked.exists() and machine.show(LEAF, "MainPID") not in ("0", before), "another server")
    machine.wait(lambda: machine.show(f"{LEAF}-again", "Result") == "success", "done")


def test_a_server_of_the_hub_that_writes_nothing_more_is_started_anew_on_request_by_its_name(machine: Machine) -> None:
    machine.run("systemctl", "start", HUB)
    before = machine.show(HUB, "MainPID")
    machine.run("mkdir", "--parents", "/run/spoton-edge-site")  # the service's, at its start
    machine.run("systemctl", "start", f"{HUB}-again.path")
    asked = machine.path("/run/spoton-edge-site/hub-is-stuck")
    asked.write_text("hub-2\nhub-11\n")  # on other machines
    machine.wait(lambda: not asked.exists() and machine.show(f"{HUB}-again", "ActiveState") == "inactive", "looked")
    assert machine.show(HUB, "MainPID") == before
    asked.write_text("hub-2\nhub-1\n")
    machine.wait(lambda: not asked.exists() and machine.show(HUB, "MainPID") not in ("0", before), "another server")
    machine.wait(lambda: machine.show(f"{HUB}-again", "Result") == "success", "done")


def test_a_revoked_box_is_shut_out_by_a_reload_of_the_hub(machine: Machine) -> None:
    machine.run("systemctl", "start", HUB, LEAF)
    before = machine.show(HUB, "MainPID")
    folder = machine.path("/etc/spoton-edge/nats")
    assert main(["site", "enroll", "--revoke", "box-1", "--folder", str(folder)]) == 0
    since = f"@{time.time():.6f}"
    machine.run("systemctl", "reload", HUB)
    machine.run("systemctl", "restart", LEAF)  # without a site service nobody hangs up on it
    until(
        lambda: "authentication error" in machine.run("journalctl", "-u", HUB, "--since", since).stdout,
        "the hub refuses its key",
    )
    assert machine.show(HUB, "MainPID") == before
    assert machine.show(LEAF, "ActiveState") == "active"

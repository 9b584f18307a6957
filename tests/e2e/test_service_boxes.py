"""The uplink and the site service of the Debian package under a real systemd, between the servers that it brings."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from spoton_edge import installation
from tests.e2e.installed import UNIT, Installed
from tests.e2e.machine import Machine

pytestmark = pytest.mark.timeout(900)
HUB, LEAF, SITE, UPLINK = (f"spoton-edge-{name}.service" for name in ("nats-hub", "nats-leaf", "site", "uplink"))
NATS = "/etc/spoton-edge/nats"


@pytest.fixture(scope="module")
def site(installed: Installed) -> Iterator[Machine]:
    """A hub and a box in one, with a daemon that has a made-up camera: everything started."""
    machine = installed.machine
    installed.site(site="lobby", box="box-1", uplink={"server": "nats://127.0.0.1:4223"})
    hub = {"site": "lobby", "server": "tls://127.0.0.1:4222", "boxes": [{"name": "box-1"}]}
    machine.path("/etc/spoton-edge/hub.yaml").write_text(json.dumps(hub))
    here = ["--hub", "127.0.0.1", "--listen", "127.0.0.1"]  # all that the machine has
    machine.run("spoton-edge", "site", "enroll", "box-1", "--site", "lobby", *here)
    machine.run("mv", f"{NATS}/boxes/box-1", f"{NATS}/leaf")
    machine.run("systemctl", "start", HUB, LEAF, UNIT, SITE, UPLINK)
    yield machine
    machine.run("systemctl", "stop", UPLINK, SITE, UNIT, LEAF, HUB)
    machine.run(
        "rm", "-r", NATS, "/etc/spoton-edge/hub.yaml", "/var/lib/private/spoton-edge-nats", "/var/lib/spoton-edge-nats"
    )
    installed.afresh()


def is_told_of(machine: Machine) -> bool:
    """Whether the service hears the box, and the uplink the service, as systemd shows it."""
    heard, away = machine.show(SITE, "StatusText"), machine.show(UPLINK, "StatusText")
    return "people on 1 of 1 boxes" in heard and "people have an id of the site" in away


def test_systemd_finds_nothing_wrong_with_the_units_of_many_boxes(site: Machine) -> None:
    units = [f"/usr/lib/systemd/system/{name}" for name in (*installation.SITE_UNITS, *installation.SITE_PATHS)]
    assert not site.run("systemd-analyze", "verify", "--recursive-errors=yes", *units).stderr


def test_box_and_site_find_each_other_and_say_so(site: Machine) -> None:
    site.wait(lambda: is_told_of(site), "the box is told of")
    assert "0 lost" in site.show(UPLINK, "StatusText")


@pytest.mark.parametrize("unit", [SITE, UPLINK])
def test_it_runs_as_nobody_else_in_its_sandbox(site: Machine, unit: str) -> None:
    pid = site.show(unit, "MainPID")
    status = dict(line.split(":\t", 1) for line in site.path(f"/proc/{pid}/status").read_text().splitlines())
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    view = site.path(f"/proc/{pid}/root")
    assert not list((view / "root").iterdir())


def test_after_a_kill_both_are_back_and_at_work(site: Machine) -> None:
    site.wait(lambda: is_told_of(site), "the box is told of")
    before = {unit: site.show(unit, "MainPID") for unit in (SITE, UPLINK)}
    site.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", SITE, UPLINK)
    for unit, pid in before.items():
        site.wait(lambda unit=unit, pid=pid: site.show(unit, "MainPID") not in ("0", pid), f"{unit} is started anew")
    site.wait(lambda: all(site.show(unit, "ActiveState") == "active" for unit in before), "both are READY")
    site.wait(lambda: is_told_of(site), "at work again")
    assert [site.show(unit, "NRestarts") for unit in before] == ["1", "1"]


def test_a_key_that_is_not_there_is_said_and_not_tried_again(site: Machine) -> None:
    site.run("mv", f"{NATS}/service.key", f"{NATS}/gone")
    done = site.run("systemctl", "restart", SITE, ok=False)
    site.run("mv", f"{NATS}/gone", f"{NATS}/service.key")
    assert done.returncode
    site.run("systemctl", "stop", SITE)
    site.run("systemctl", "reset-failed", SITE, ok=False)
    site.run("systemctl", "start", SITE)
    site.wait(lambda: is_told_of(site), "the box is told of")


@pytest.fixture
def small_store(site: Machine) -> Iterator[str]:
    """The folder of the hub's streams, on a disk of its own."""
    store = "/var/lib/private/spoton-edge-nats/hub"
    site.run("systemctl", "stop", SITE, HUB)
    site.run("mount", "-t", "tmpfs", "-o", "size=128m,mode=0700", "none", store)
    site.run("systemctl", "start", HUB, SITE)
    yield store
    site.run("systemctl", "stop", SITE, HUB)
    site.run("umount", store)
    site.run("systemctl", "start", HUB, SITE)


def test_a_hub_whose_disk_was_full_is_started_anew_when_there_is_room(site: Machine, small_store: str) -> None:
    site.wait(lambda: is_told_of(site), "the box is told of")
    before = site.show(HUB, "MainPID")
    site.run("dd", "if=/dev/zero", f"of={small_store}/of-another-program", "bs=4096", ok=False)
    site.wait(lambda: "writes nothing more" in site.journal(200), "the service says so")
    site.wait(lambda: "the hub fails" in site.show(SITE, "StatusText"), "and systemd knows")
    assert site.show(HUB, "MainPID") == before  # there is no room yet
    site.run("rm", f"{small_store}/of-another-program")
    site.wait(lambda: site.show(HUB, "MainPID") not in ("0", before), "another server", timeout_s=90)
    site.wait(lambda: is_told_of(site) and "the hub fails" not in site.show(SITE, "StatusText"), "at work again")
    assert site.show(SITE, "NRestarts") == "0"

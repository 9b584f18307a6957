"""The package upgraded, removed and purged: the last of the tests on the machine, as the package is gone then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.installed import ROOT, SITE, UNIT, Installed
from tests.e2e.machine import Machine

pytestmark = pytest.mark.timeout(900)


def test_the_package_is_upgraded_removed_and_purged_and_an_environment_takes_its_place(
    installed: Installed, package: Path, clip: Path
) -> None:
    machine = installed.machine
    shutil.copyfile(clip, machine.path("/srv/vtest.avi"))
    demo = (ROOT / "calibration" / "demo-site.yaml").read_text().replace("${SPOTON_DEMO_VIDEO}", "/srv/vtest.avi")
    machine.path(SITE).write_text(demo)
    machine.run("spoton-edge", "credential", "set", "c09", say="admin:sesame\n")
    installed.start()
    with installed.heard() as hearing:
        hearing.until_people({"W", "E"})
    starts = len(installed.starts())

    installed.install(package)  # the same version again goes the way of an upgrade
    machine.wait(lambda: installed.show("ActiveState") == "active", "the upgraded service is READY")
    machine.wait(lambda: len(installed.starts()) > starts, "the upgraded service has started")
    assert len(installed.starts()) == starts + 1
    assert machine.path(SITE).read_text() == demo

    machine.run("cp", "--archive", "--link", "/usr/lib/spoton-edge", "/opt/environment")
    program = "/opt/environment/bin/spoton-edge"
    machine.run("sed", "-i", "1s|/usr/lib/spoton-edge|/opt/environment|", program)
    assert "the Debian package is installed" in machine.run(program, "install", ok=False).stderr
    machine.run("dpkg", "--remove", "spoton-edge")
    assert machine.run("systemctl", "is-active", UNIT, ok=False).stdout.strip() == "inactive"
    assert not machine.path("/usr/lib/spoton-edge").exists()
    for kept in (SITE, "/etc/spoton-edge/credentials/c09", "/var/lib/spoton-edge", "/var/cache/spoton-edge/models"):
        assert machine.path(kept).exists(), kept

    machine.run("dpkg", "--purge", "spoton-edge")
    assert machine.run("id", "spoton-edge", ok=False).returncode != 0
    assert left_behind(machine) == []

    machine.run(program, "install")
    installed.bring_models()
    installed.start()
    assert f"path={program} ;" in installed.show("ExecStart")
    machine.run(program, "uninstall", "--purge")
    assert machine.run("id", "spoton-edge", ok=False).returncode != 0
    assert left_behind(machine) == []


def left_behind(machine: Machine) -> list[str]:
    """What of the program is still there, outside of the folder of the environment."""
    return [path for path in machine.changes() if "spoton" in path and not path.startswith("/opt/environment")]

"""What is installed for the service: units, example site, files put in place and taken away."""

import itertools
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from spoton_edge import config, installation
from spoton_edge.cli import main
from spoton_edge.errors import StateError, UsageError
from spoton_edge.installation import Target, install, uninstall
from tests.e2e.harness import lacking

SYSTEMD = Path(__file__).parents[1] / "systemd"
PROGRAM = Path("/usr/bin/env")  # stands for a spoton-edge that the service may run
MOST_EXPOSED = 20  # tenths


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        lacking("no systemd-analyze: install systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Target:
    """An image of a machine, without the program yet."""
    return Target(PROGRAM, tmp_path)


@pytest.mark.parametrize("unit", [*installation.UNITS, *(f"site/{name}" for name in installation.SITE_UNITS)])
def test_the_sandbox_leaves_little_exposed(unit: str) -> None:
    result = analyze("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}", SYSTEMD / unit)
    assert result.returncode == 0, result.stdout + result.stderr


def test_systemd_finds_nothing_wrong_with_the_units(image: Target) -> None:
    install(image, print)
    for unit in (*installation.UNITS, *installation.SITE_UNITS, *installation.SITE_PATHS):
        path = image.root / "etc/systemd/system" / unit
        path.write_text(path.read_text().replace(f"={installation.NATS_SERVER} ", f"={PROGRAM} "))
        result = analyze("verify", "--recursive-errors=yes", "--man=no", path)
        assert result.returncode == 0, result.stderr
        assert not result.stderr


def test_the_template_differs_from_the_unit_by_its_site_only() -> None:
    unit, template = ((SYSTEMD / name).read_text().splitlines() for name in installation.UNITS)
    differing = [(one, other) for one, other in zip(unit, template, strict=True) if one != other]
    assert [other for _, other in differing if not other.startswith("#")] == [
        "Description=SpotOn Edge at %i: follows people from camera to camera",
        "ExecStart=/usr/bin/spoton-edge run /etc/spoton-edge/%i.yaml",
    ]


@pytest.mark.parametrize("unit", ["spoton-edge.service", *(f"site/{name}" for name in installation.SITE_UNITS)])
def test_every_relaxation_of_the_sandbox_has_its_reason_beside_it(unit: str) -> None:
    lines = (SYSTEMD / unit).read_text().splitlines()
    relaxed = ("DeviceAllow=", "DevicePolicy=", "ProcSubset=all", "RestrictAddressFamilies=", "SystemCallFilter=~")
    for before, line in itertools.pairwise(lines):
        if line.startswith(relaxed):
            assert before.startswith("#"), line


def test_the_example_site_of_the_service_is_good() -> None:
    assert config.check(SYSTEMD / "site.yaml") == []


@pytest.mark.parametrize("name", ["example-0.1.0.yaml", "service-0.1.0.yaml"])
def test_sites_of_released_versions_load(name: str) -> None:
    assert config.load(Path(__file__).parent / "sites" / name).cameras


def test_an_installation_starts_the_program_it_was_made_by(image: Target) -> None:
    install(image, print)
    unit = (image.root / "etc/systemd/system/spoton-edge.service").read_text()
    assert f"ExecStart={PROGRAM} run /etc/spoton-edge/site.yaml" in unit
    assert f"ExecReload={PROGRAM} reload" in unit
    assert (image.root / "etc/sysusers.d/spoton-edge.conf").exists()
    assert (image.root / "etc/tmpfiles.d/spoton-edge.conf").exists()


def test_an_installation_starts_the_nats_server_that_lies_beside_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "HIDDEN", ())
    program = tmp_path / "bin" / "spoton-edge"
    program.parent.mkdir()
    image = Target(program, tmp_path / "image")
    units = [image.root / "etc/systemd/system" / f"spoton-edge-nats-{kind}.service" for kind in ("hub", "leaf")]
    assert all(f"ExecStart={installation.NATS_SERVER} " in image.files[unit] for unit in units)
    program.with_name("nats-server").touch()
    assert all(f"ExecStart={program.parent}/nats-server --config " in image.files[unit] for unit in units)


def test_an_installation_says_what_to_do_next(image: Target) -> None:
    said: list[str] = []
    install(image, said.append)
    assert "systemctl enable --now spoton-edge" in said[-1]
    assert str(image.root / "etc/spoton-edge/site.yaml") in said[-1]


def test_a_second_installation_renews_the_units_and_keeps_the_site(image: Target) -> None:
    install(image, print)
    site, unit = (image.root / name for name in ("etc/spoton-edge/site.yaml", "etc/systemd/system/spoton-edge.service"))
    site.write_text("mine")
    unit.write_text("of the last version")
    install(image, print)
    assert site.read_text() == "mine"
    assert "ExecStart=" in unit.read_text()


def test_uninstall_keeps_sites_and_credentials_and_purge_leaves_nothing(image: Target) -> None:
    install(image, print)
    login = image.root / "etc/spoton-edge/credentials/c09"
    login.parent.mkdir()
    login.write_text("a:b")
    uninstall(image, print, purge=False)
    assert login.exists()
    assert (image.root / "etc/spoton-edge/site.yaml").exists()
    assert not list(image.root.rglob("*.service"))
    with pytest.raises(UsageError, match="--purge"):
        uninstall(image, print, purge=False)
    uninstall(image, print, purge=True)
    assert not [path for path in image.root.rglob("*") if "spoton" in path.name]


def test_beside_the_package_nothing_is_installed_or_removed(image: Target) -> None:
    unit = image.root / installation.PACKAGED
    unit.parent.mkdir(parents=True)
    unit.write_text("")
    for work in (lambda: install(image, print), lambda: uninstall(image, print, purge=True)):
        with pytest.raises(UsageError, match="Debian package is installed"):
            work()
    assert unit.exists()
    assert not (image.root / "etc").exists()


@pytest.mark.parametrize("place", ["hidden", "closed", "absent"])
def test_a_program_that_the_service_could_not_run_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "venv" / "bin" / "spoton-edge"
    if place != "absent":
        program.parent.mkdir(parents=True)
        program.touch()
    if place == "closed":
        monkeypatch.setattr(installation, "HIDDEN", ())
        program.parent.chmod(stat.S_IRWXU)
    with pytest.raises(UsageError) as raised:
        install(Target(program, tmp_path), print)
    hints = {"hidden": "sandbox hides", "closed": "others may not enter", "absent": "there is no"}
    assert hints[place] in str(raised.value)
    assert not (tmp_path / "etc").exists()


def test_a_file_that_cannot_be_written_is_named(image: Target) -> None:
    (image.root / "etc").write_text("in the way")
    with pytest.raises(StateError, match=r"etc/.*: .*; run this as root"):
        install(image, print)


def test_the_command_line_installs_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / installation.PACKAGED).parent.mkdir(parents=True)
    (tmp_path / installation.PACKAGED).touch()
    for verb in ("install", "uninstall"):
        assert main([verb, "--root", str(tmp_path)]) == 2
        assert capsys.readouterr().err.startswith("error: the Debian package is installed")

"""Keys, certificates and configs that `site enroll` writes: whose they are, and what a mistake is told."""

from __future__ import annotations

import json
import re
import ssl
import stat
from pathlib import Path

import pytest

from spoton_edge.cli import main
from spoton_edge.enrolment import certificates
from spoton_edge.errors import ExitCode, KeysError

SEED = re.compile(r"SU[A-Z2-7]{56}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a site that has one box."""
    made = tmp_path / "nats"
    assert enroll(made, "box-1", "--site", "lobby", "--hub", "hub.example.org") == 0
    return made


def enroll(folder: Path, *arguments: str) -> int:
    return main(["site", "enroll", "--folder", str(folder), *arguments])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_private_keys_are_their_owners_alone_and_never_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = {"ca.key", "service.key", "hub.key", "box.key", "leaf.conf"}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o600 if path.name in secret else 0o644), path
        text = path.read_text()
        assert bool(SEED.search(text) or "PRIVATE KEY" in text) == (path.name in secret), path
    assert enroll(folder, "box-2") == 0
    said = capsys.readouterr()
    assert not SEED.search(said.out + said.err)
    assert not SEED.search((folder / "site.json").read_text())


def test_each_box_has_a_key_of_its_own_and_the_first_ones_stays(folder: Path) -> None:
    first = (folder / "boxes/box-1/box.key").read_text()
    certificate = (folder / "hub/hub.pem").read_text()
    assert enroll(folder, "box-2") == 0
    assert (folder / "boxes/box-2/box.key").read_text() != first == (folder / "boxes/box-1/box.key").read_text()
    assert (folder / "hub/hub.pem").read_text() == certificate
    kept = json.loads((folder / "site.json").read_text())
    hub = (folder / "hub/hub.conf").read_text()
    assert sorted(kept["boxes"]) == ["box-1", "box-2"]
    for key in (*kept["boxes"].values(), kept["service"]):
        assert hub.count(key) == 1


def test_a_revoked_box_is_in_no_config_and_gets_another_key(folder: Path) -> None:
    first = (folder / "boxes/box-1/box.key").read_text()
    assert enroll(folder, "--revoke", "box-1") == 0
    assert not (folder / "boxes/box-1").exists()
    assert "box-1" not in (folder / "hub/hub.conf").read_text()
    assert enroll(folder, "box-1") == 0
    assert (folder / "boxes/box-1/box.key").read_text() != first


def test_a_cluster_has_three_hubs_that_prove_who_they_are(tmp_path: Path) -> None:
    hubs = [option for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3") for option in ("--hub", address)]
    assert enroll(tmp_path, "box-1", "--site", "lobby", *hubs) == 0
    for number in (1, 2, 3):
        config = (tmp_path / f"hub-{number}/hub.conf").read_text()
        assert set(re.findall(r"nats-route://10\.0\.0\.(\d)", config)) == {"1", "2", "3"} - {str(number)}
        assert "verify: true" in config
    assert (tmp_path / "boxes/box-1/leaf.conf").read_text().count("nats-leaf://") == 3


def test_an_address_of_ipv6_is_written_as_urls_want_it(tmp_path: Path) -> None:
    assert enroll(tmp_path, "box-1", "--site", "lobby", "--hub", "fd00::1", "--listen", "::") == 0
    assert '"nats-leaf://[fd00::1]:7422"' in (tmp_path / "boxes/box-1/leaf.conf").read_text()
    assert 'listen: "[::]:4222"' in (tmp_path / "hub/hub.conf").read_text()


@pytest.mark.parametrize("address", ["hub.example.org", "10.0.0.1", "fd00::1"])
def test_a_servers_certificate_is_good_for_its_address_and_its_own_authority_only(address: str) -> None:
    authority, other = certificates.make_authority("lobby"), certificates.make_authority("lobby")
    server = certificates.make_server(authority, address)
    assert certificates.is_good(server.certificate, authority, address)
    assert not certificates.is_good(server.certificate, other, address)
    assert not certificates.is_good(server.certificate, authority, "elsewhere.example.org")
    assert not certificates.is_good("no certificate", authority, address)
    assert "PRIVATE" not in server.certificate
    ssl.create_default_context(cadata=authority.certificate)
    with pytest.raises(KeysError, match="not of one pair"):
        certificates.make_server(certificates.Pair(authority.certificate, other.key), address)


def test_an_authority_that_is_given_is_used(tmp_path: Path) -> None:
    authority = certificates.make_authority("ours")
    (tmp_path / "ours.pem").write_text(authority.certificate)
    (tmp_path / "ours.key").write_text(authority.key)
    given = ["--ca", str(tmp_path / "ours.pem"), str(tmp_path / "ours.key")]
    assert enroll(tmp_path / "nats", "box-1", "--site", "lobby", "--hub", "10.0.0.1", *given) == 0
    assert (tmp_path / "nats/boxes/box-1/ca.pem").read_text() == authority.certificate
    assert certificates.is_good((tmp_path / "nats/hub/hub.pem").read_text(), authority, "10.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["box-1"], "box-1 is enrolled; for a new key revoke it first"),
        (["--revoke", "box-9"], "box-9 is not enrolled; there are: box-1"),
        (["../box"], "'../box' is no name for a box"),
        (["bucket"], "a box cannot be called bucket"),
        (["box-2", "--site", "foyer"], "is of site lobby, not of foyer"),
        (["box-2", "--hub", "other.example.org"], "the boxes know the hub as hub.example.org"),
        (["box-2", "--listen", 'x"'], "is no address to listen on"),
        (["box-2", "--store", '/x"'], "is no folder that a server's configuration could name"),
        (["box-2", "--ca", "/nowhere.pem", "/nowhere.key"], "/nowhere.pem: no such file"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_changes_nothing(
    folder: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert enroll(folder, *arguments) in (ExitCode.USAGE, ExitCode.MISSING)
    assert says in complaint(capsys)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["box-1"], "holds no site yet; say --site NAME and --hub ADDRESS"),
        (["box-1", "--site", "a b", "--hub", "10.0.0.1"], "'a b' is no name for a site"),
        (["box-1", "--site", "lobby", "--hub", "10.0.0.1", "--hub", "10.0.0.2"], "one hub or three"),
        (["box-1", "--site", "lobby", "--hub", 'x"; include "y'], "each with a host name or an address"),
        (["--revoke", "box-1"], "nothing was enrolled here"),
    ],
)
def test_a_site_begins_with_its_name_and_its_hub(
    tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enroll(tmp_path / "new", *arguments) == ExitCode.USAGE
    assert says in complaint(capsys)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"servers": {}, "service": "x", "boxes": {}}'])
def test_a_folder_that_was_tampered_with_is_named(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "site.json").write_text(text)
    capsys.readouterr()
    assert enroll(folder, "box-2") == ExitCode.MISSING
    assert "site.json: not what" in complaint(capsys)

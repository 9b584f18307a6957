"""Logins of cameras: how they are kept, found and refused."""

import io
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge import credentials
from spoton_edge.cli import main
from spoton_edge.errors import CredentialError, UsageError
from tests.process import as_nobody

SITE = "cameras: [{name: c09, source: 'rtsp://{cred:c09}@10.0.0.9/s'}, {name: b, source: 'rtsp://{cred:c09}@h/t'}]"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's folder of logins, which is empty; outside of the service."""
    monkeypatch.setattr(credentials, "FOLDER", tmp_path / "credentials")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return tmp_path / "credentials"


def test_a_login_is_kept_for_its_owner_alone(folder: Path) -> None:
    path = credentials.store("c09", "admin:secret\n")
    assert path.read_text() == "admin:secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert credentials.read("c09") == "admin:secret"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_login_takes_the_place_of_the_last(folder: Path) -> None:
    credentials.store("c09", "admin:old")
    credentials.store("c09", "admin:new")
    assert credentials.read("c09") == "admin:new"


@pytest.mark.parametrize("login", ["", "password", "a:b\nc:d", "a:b\x00", ":\x1b[2J"])
def test_what_is_no_login_changes_nothing(login: str, folder: Path) -> None:
    credentials.store("c09", "admin:old")
    with pytest.raises(UsageError, match="one line user:password"):
        credentials.store("c09", login)
    assert credentials.read("c09") == "admin:old"


@given(name=st.text(max_size=70))
def test_a_name_never_leads_out_of_the_folder(name: str) -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        folder = Path(scratch) / "credentials"
        patch.setattr(credentials, "FOLDER", folder)
        try:
            path = credentials.store(name, "a:b")
        except UsageError:
            assert not folder.exists()
        else:
            assert path.parent == folder
            assert list(Path(scratch).rglob("*")) == [folder, path]


def test_the_service_finds_what_systemd_has_loaded_under_either_name(folder: Path, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    (loaded / "camera_c09").write_text("admin:folder")
    environment = {"CREDENTIALS_DIRECTORY": str(loaded)}
    assert credentials.read("c09", environment) == "admin:folder"
    (loaded / "c09").write_text("admin:drop-in")
    assert credentials.read("c09", environment) == "admin:drop-in"


def test_the_service_does_not_look_beyond_what_was_loaded(folder: Path, tmp_path: Path) -> None:
    credentials.store("c09", "admin:secret")
    with pytest.raises(CredentialError, match=r"credential set c09, and restart the service$"):
        credentials.read("c09", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_the_command_reads_standard_input_and_never_shows_the_login(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("admin:sesame\n"))
    assert main(["credential", "set", "c09"]) == 0
    assert credentials.read("c09") == "admin:sesame"
    assert "sesame" not in "".join(capsys.readouterr())


def test_a_login_on_the_command_line_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["credential", "set", "c09", "admin:sesame"])
    assert ended.value.code == 2
    assert not folder.exists()


def test_check_tells_of_a_login_that_is_absent(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE)
    assert main(["check", str(site)]) == 4
    assert capsys.readouterr().err == ("error: there is no credential c09; as root: spoton-edge credential set c09\n")
    credentials.store("c09", "admin:secret")
    assert main(["check", str(site)]) == 0
    assert capsys.readouterr().out.endswith("good\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's place")
def test_check_says_that_it_may_not_look_at_logins(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE)
    credentials.store("c09", "admin:secret")
    with as_nobody(tmp_path):
        assert main(["check", str(site)]) == 0
    assert capsys.readouterr().err.startswith("not checked: credentials c09; only root may read ")

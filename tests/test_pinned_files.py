"""A fetched file is whole and the pinned one, or not there: wrong hashes, full disks, kills in the middle."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge import pinned_files
from spoton_edge.errors import ModelError
from spoton_edge.manifests import LocalFile, Pinned
from spoton_edge.pinned_files import by_hand_path, fetch_file
from tests.fetching import AGAIN, CONTENT, fetch, github_source, hashed, left_in, server


def test_what_is_fetched_can_be_read_by_the_service_user(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"raw")
    fetch([LocalFile(kind="file", path=str(tmp_path / "raw"), sha256=hashed(b"raw"))], tmp_path / "it")
    assert stat.S_IMODE((tmp_path / "it").stat().st_mode) == 0o644


def test_the_first_source_that_has_the_file_wins_and_the_others_are_not_asked(
    tmp_path: Path,
) -> None:
    here = tmp_path / "here.bin"
    here.write_bytes(CONTENT)
    absent = LocalFile(kind="file", path=str(tmp_path / "absent"), sha256=hashed(CONTENT))
    local = LocalFile(kind="file", path=str(here), sha256=hashed(CONTENT))
    lines: list[str] = []
    used = fetch_file([absent, local, github_source()], tmp_path / "it.bin", lines.append, again=AGAIN)
    assert used == local
    assert not any("some/one" in line for line in lines)
    assert any("not on this machine" in line for line in lines)


def test_each_source_is_held_to_its_own_hash(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old edition")
    new.write_bytes(b"new edition")
    wrong = LocalFile(kind="file", path=str(old), sha256=hashed(b"new edition"))
    right = LocalFile(kind="file", path=str(new), sha256=hashed(b"new edition"))
    assert fetch([wrong, right], tmp_path / "it") == right
    assert (tmp_path / "it").read_bytes() == b"new edition"


def test_a_wrong_file_leaves_the_good_one_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "it.bin"
    target.parent.mkdir()
    target.write_bytes(b"yesterday's")
    (tmp_path / "bad").write_bytes(b"bad")
    with pytest.raises(ModelError, match=f"sha256 {hashed(b'bad')} instead of {hashed(CONTENT)}"):
        fetch([LocalFile(kind="file", path=str(tmp_path / "bad"), sha256=hashed(CONTENT))], target)
    assert target.read_bytes() == b"yesterday's"
    assert left_in(target.parent) == ["it.bin"]


def test_a_file_brought_by_hand_comes_before_all_sources_and_is_checked(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "it.bin"
    by_hand = by_hand_path(target)
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"not it")
    with pytest.raises(ModelError, match="wrong content"):
        fetch([github_source()], target)
    by_hand.write_bytes(CONTENT)
    fetch([github_source()], target)
    assert target.read_bytes() == CONTENT


def test_what_finishing_makes_of_the_file_is_what_appears(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"raw")
    source = LocalFile(kind="file", path=str(tmp_path / "raw"), sha256=hashed(b"raw"))
    fetch([source], tmp_path / "it", finish=lambda path: path.write_bytes(path.read_bytes() + b", cooked"))
    assert (tmp_path / "it").read_bytes() == b"raw, cooked"


def test_a_failure_while_finishing_leaves_nothing(tmp_path: Path) -> None:
    def burn(path: Path) -> None:
        path.write_bytes(b"half")
        raise ModelError("burnt")

    (tmp_path / "raw").write_bytes(b"raw")
    source = LocalFile(kind="file", path=str(tmp_path / "raw"), sha256=hashed(b"raw"))
    with pytest.raises(ModelError, match="burnt"):
        fetch([source], tmp_path / "cache" / "it", finish=burn)
    assert left_in(tmp_path / "cache") == []


@settings(max_examples=40, deadline=None)
@given(contents=st.lists(st.binary(max_size=40), min_size=1, max_size=5), pinned=st.binary(max_size=40))
def test_only_the_pinned_bytes_ever_appear(contents: list[bytes], pinned: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources: list[Pinned] = []
        for number, content in enumerate(contents):
            (folder / str(number)).write_bytes(content)
            sources.append(LocalFile(kind="file", path=str(folder / str(number)), sha256=hashed(pinned)))
        target = folder / "cache" / "it"
        if pinned in contents:
            assert fetch(sources, target) == sources[contents.index(pinned)]
            assert target.read_bytes() == pinned
        else:
            with pytest.raises(ModelError):
                fetch(sources, target)
            assert not target.exists()


FETCH_IN_A_CHILD = """
import resource, sys
from pathlib import Path
from spoton_edge.errors import ModelError
from spoton_edge.file_sources import GithubHosts
from spoton_edge.manifests import GithubFile, LocalFile
from spoton_edge.pinned_files import fetch_file
kind, where, target, sha256, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
github = dict(kind="github", repository="some/one", commit="a" * 40, path="it", sha256=sha256)
source = LocalFile(kind="file", path=where, sha256=sha256) if kind == "file" else GithubFile(**github)
try:
    fetch_file([source], Path(target), print, again="again", hosts=GithubHosts(raw=where, git="file:///nonexistent"))
except ModelError as error:
    sys.exit(str(error))
"""


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH_IN_A_CHILD, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


def test_a_file_that_the_disk_cannot_hold_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(CONTENT)
    target = tmp_path / "cache" / "it"
    with child("file", tmp_path / "big", target, hashed(CONTENT), 65536) as process:
        _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words.startswith("it cannot be written: ")
    assert "free some space" in words
    assert left_in(target.parent) == []


def test_a_full_disk_leaves_nothing_and_the_old_file_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = mounted and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk]).returncode
    if not mounted:
        pytest.skip("no right to mount a small disk")
    try:
        (tmp_path / "big").write_bytes(CONTENT)
        (disk / "it").write_bytes(b"yesterday's")
        with pytest.raises(ModelError, match="No space left on device; free some space"):
            fetch([LocalFile(kind="file", path=str(tmp_path / "big"), sha256=hashed(CONTENT))], disk / "it")
        assert left_in(disk) == ["it"]
        assert (disk / "it").read_bytes() == b"yesterday's"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(ModelError, match=r"cannot be written.*choose another folder with --cache"):
        fetch([github_source()], tmp_path / "file" / "it")


def test_killed_in_the_middle_nothing_half_written_stays_and_the_next_fetch_sweeps(tmp_path: Path) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def stalls(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[: len(CONTENT) // 2])
        request.wfile.flush()
        halfway.set()
        go_on.wait(60)

    target = tmp_path / "cache" / "it"
    with server(stalls) as url, child("github", url, target, hashed(CONTENT), 0) as process:
        assert halfway.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        go_on.set()
    (scratch,) = target.parent.iterdir()
    assert scratch.name.startswith(pinned_files.SCRATCH)

    (tmp_path / "good").write_bytes(CONTENT)
    source = LocalFile(kind="file", path=str(tmp_path / "good"), sha256=hashed(CONTENT))
    past = time.time() - 2 * pinned_files.YOUNG_S
    os.utime(scratch, (past, past))
    fetch([source], target)
    assert left_in(target.parent) == ["it"]
    assert target.read_bytes() == CONTENT


def test_a_sweep_spares_the_scratch_of_a_fetch_that_runs(tmp_path: Path) -> None:
    with pinned_files.scratch_folder(tmp_path) as scratch:
        past = time.time() - 2 * pinned_files.YOUNG_S
        os.utime(scratch, (past, past))
        pinned_files.sweep(tmp_path)
        assert scratch.is_dir()
    assert left_in(tmp_path) == []

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.errors import ExitCode, StateError
from spoton_edge.ids import Ids
from tests.process import NOBODY, as_nobody

pytestmark = pytest.mark.timeout(60)


def test_ids_count_up_from_one(tmp_path: Path) -> None:
    ids = Ids(tmp_path / "ids.json", block=10)
    assert [ids.take() for _ in range(100)] == list(range(1, 101))
    ids.close()


def test_without_a_file_they_count_up_too() -> None:
    ids = Ids()
    assert [ids.take() for _ in range(3)] == [1, 2, 3]
    ids.close()


def test_a_stop_wastes_none(tmp_path: Path) -> None:
    for first in (1, 6, 11):
        ids = Ids(tmp_path / "ids.json")
        assert [ids.take() for _ in range(5)] == list(range(first, first + 5))
        ids.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=6), st.integers(1, 10))
def test_no_id_is_given_twice_however_often_it_is_killed(runs: list[int], block: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # slow, and for power cuts only
        given_ids: list[int] = []
        for count in runs:
            ids = Ids(Path(folder) / "ids.json", block=block)
            given_ids += [ids.take() for _ in range(count)]
            # Killed: nothing is given back, the kernel drops the lock.
            if ids._reserving is not None:
                ids._reserving.join()
            assert ids._lock_file is not None
            os.close(ids._lock_file)
        assert given_ids == sorted(set(given_ids))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's place")
def test_after_a_run_in_root_s_shell_the_service_goes_on_counting(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    by_root = Ids(folder / "ids.json")
    assert by_root.take() == 1
    by_root.close()
    with as_nobody(tmp_path):
        ids = Ids(folder / "ids.json")
        assert ids.take() == 2
        ids.close()


def test_a_kill_gives_no_id_twice(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from spoton_edge.ids import Ids; ids = Ids(Path(sys.argv[1]), block=7)\n"
        "while True: print(ids.take(), flush=True)"
    )
    seen: list[int] = []
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "ids.json")], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            seen += [int(process.stdout.readline()) for _ in range(50)]
            process.send_signal(signal.SIGKILL)
            seen += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    assert len(seen) == len(set(seen))


def test_two_daemons_cannot_keep_one_file(tmp_path: Path) -> None:
    first = Ids(tmp_path / "ids.json")
    with pytest.raises(StateError, match="another spoton-edge") as caught:
        Ids(tmp_path / "ids.json")
    assert caught.value.exit_code == ExitCode.MISSING
    first.close()
    Ids(tmp_path / "ids.json").close()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"next_id": -1}', '{"next_id": "5"}', '{"next_id": true}'])
def test_a_damaged_file_is_said_and_started_anew(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ids.json").write_text(content)
    ids = Ids(tmp_path / "ids.json")
    assert ids.take() == 1
    assert "damaged" in caplog.text
    ids.close()
    assert json.loads((tmp_path / "ids.json").read_text()) == {"next_id": 2}


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such file or directory") as caught:
        Ids(tmp_path / "nowhere" / "ids.json")
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_an_error_before_an_id_is_given_unreserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = Ids(tmp_path / "ids.json", block=4)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert [ids.take() for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(StateError, match="no space left"):
        ids.take()
    monkeypatch.undo()
    assert ids.take() == 5  # there is space again
    ids.close()

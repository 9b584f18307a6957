"""Over a restart: who was in view keeps the id, nobody takes another's, and the file of it survives anything."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.association import Associator
from spoton_edge.people_file import MOST_PEOPLE, PeopleFile
from spoton_edge.resumption import Known
from spoton_edge.types import TrackState
from tests.test_association import associator, play
from tests.world import World, corridor, room, wanderers

S = 1_000_000_000
SOMEBODY = Known(7, 3 * S, 5 * S, (1.25, -2.5), (0.5, 0.0), 0.1, 1, (320.0, 400.0), 180.0)
CAMERAS = ["a", "b"]


def kept(path: Path, people: list[Known], boot: str = "this") -> Path:
    file = PeopleFile(path, boot=boot)
    file.keep(people, CAMERAS)
    file.close()
    return path


def read(path: Path, boot: str = "this", cameras: list[str] = CAMERAS) -> list[Known]:
    file = PeopleFile(path, boot=boot)
    try:
        return file.read(cameras)
    finally:
        file.close()


def test_what_is_kept_is_read_again_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    people = [SOMEBODY, replace(SOMEBODY, global_id=8, xy=None, camera=-1)]
    path = kept(tmp_path / "people.json", people)
    assert sorted(read(path), key=lambda known: known.global_id) == people
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["people.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_after_a_run_in_root_s_shell_the_file_is_the_service_s(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    path = kept(tmp_path / "people.json", [SOMEBODY])
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_the_file_holds_where_people_are_and_not_what_they_look_like(tmp_path: Path) -> None:
    data = json.loads(kept(tmp_path / "people.json", [SOMEBODY]).read_text())
    assert data.keys() == {"version", "boot", "people"}
    assert data["people"] == [
        {
            "global_id": 7,
            "born_ns": 3 * S,
            "seen_ns": 5 * S,
            "xy": [1.25, -2.5],
            "velocity": [0.5, 0.0],
            "sd_m": 0.1,
            "camera": "b",
            "foot": [320.0, 400.0],
            "height_px": 180.0,
        }
    ]


def test_cameras_are_found_again_by_name(tmp_path: Path) -> None:
    path = kept(tmp_path / "people.json", [SOMEBODY])
    assert [known.camera for known in read(path, cameras=["b", "x", "a"])] == [0]
    assert [known.camera for known in read(path, cameras=["x"])] == [-1]


def test_another_start_of_the_machine_has_another_clock(tmp_path: Path) -> None:
    assert read(kept(tmp_path / "people.json", [SOMEBODY]), boot="another") == []
    assert not list(tmp_path.glob("*.bad"))


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    assert read(tmp_path / "people.json") == []


def test_only_the_last_seen_are_kept_where_they_are_too_many(tmp_path: Path) -> None:
    crowd = [replace(SOMEBODY, global_id=n, seen_ns=n * S) for n in range(1, MOST_PEOPLE + 11)]
    people = read(kept(tmp_path / "people.json", crowd))
    assert {known.global_id for known in people} == set(range(11, MOST_PEOPLE + 11))


ROW = {
    "global_id": 7,
    "born_ns": 1,
    "seen_ns": 2,
    "xy": [0, 0],
    "velocity": [0, 0],
    "sd_m": 0.1,
    "camera": "a",
    "foot": [1, 2],
    "height_px": 9,
}


def written(**changes: Any) -> str:
    return json.dumps({"version": 1, "boot": "this", "people": [ROW | changes]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({"version": 2, "boot": "this", "people": []}),
        json.dumps({"version": 1, "boot": "this", "people": 7}),
        json.dumps({"version": 1, "boot": "this", "people": [ROW] * (MOST_PEOPLE + 1)}),
        written(global_id=-1),
        written(global_id=True),
        written(global_id=2**70),
        written(seen_ns=1.5),
        written(xy=[float("nan"), 0]),
        written(xy=[1]),
        written(xy="12"),
        written(velocity=[1e300, 0]),
        written(height_px=None),
    ],
)
def test_a_file_that_is_not_understood_is_set_aside_and_told(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "people.json"
    path.write_text(text)
    assert read(path) == []
    assert not path.exists()
    assert (tmp_path / "people.json.bad").read_text() == text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "people.json.bad" in caplog.text
    assert read(kept(path, [SOMEBODY])) == [SOMEBODY]  # and the next one is good


@given(st.binary(max_size=300))
def test_no_file_whatever_its_bytes_stops_the_start(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.json"
        path.write_bytes(content)
        assert read(path) == []


def test_a_disk_that_is_full_is_told_once_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = PeopleFile(tmp_path / "no folder" / "people.json", boot="this")
    for _ in range(3):
        file.keep([SOMEBODY], CAMERAS)
        time.sleep(0.02)
    file.close()
    assert len(caplog.records) == 1


# ---- who is whom ----------------------------------------------------------------------------------------------------


def restart(world: World, at_s: float, gap_s: float, resume_s: float = 10.0) -> tuple[int, int, int]:
    """People in view before and after a restart: who kept the id, who has a new one, who has another's."""
    before = associator(world)
    first = play(replace(world, seconds=at_s), before)
    _, tracks, _ = first.steps[-1]
    people = before.known()
    assert {known.global_id for known in people} >= set(tracks.global_id[tracks.state == TrackState.VISIBLE].tolist())
    given = max(tracks.global_id.tolist(), default=0)
    after = associator(world, first_id=given + 1000)
    after.resume(people, resume_s)
    second = play(Later(world, at_s + gap_s), after)
    old = {person: ids[-1] for person, ids in first.ids.items() if ids and ids[-1] in {k.global_id for k in people}}
    outcome = Counter[str]()
    for person, ids in second.ids.items():
        if person in old and ids:
            outcome["kept" if ids[-1] == old[person] else "other" if ids[-1] <= given else "new"] += 1
    return outcome["kept"], outcome["new"], outcome["other"]


class Later(World):
    """The same world, from a time on, for three seconds."""

    def __init__(self, world: World, start_s: float) -> None:
        super().__init__(world.cameras, world.walkers, start_s + 3.0, seed=world.seed + 1)
        self._start_ns = int(start_s * S)

    def steps(self) -> Any:
        return (seen for seen in super().steps() if seen.captured_ns >= self._start_ns)


@pytest.mark.parametrize(("gap_s", "share"), [(1.0, 0.9), (3.0, 0.3)])
def test_those_in_view_keep_their_id_over_a_restart_as_long_as_it_is_clear_who_is_who(
    gap_s: float, share: float
) -> None:
    """Six people who turn and stop as they like in a room of 10 m x 8 m: after three seconds most could be another."""
    total = np.zeros(3, int)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        world = World(room(3), wanderers(6, 10.0, rng, stay_s=(25.0, 40.0)), seconds=30.0, seed=seed)
        total += restart(world, 6.0, gap_s)
    kept_id, new, other = total.tolist()
    assert kept_id + new + other >= 10
    assert kept_id >= share * (kept_id + new + other)
    assert other <= 0.1 * (kept_id + new + other)


@pytest.mark.parametrize("resume_s", [0.0, 2.0])
def test_nobody_is_taken_up_after_too_long(resume_s: float) -> None:
    world = World(room(2), wanderers(4, 10.0, np.random.default_rng(0), stay_s=(25.0, 40.0)), seconds=30.0)
    kept_id, new, other = restart(world, 5.0, 3.0, resume_s)
    assert (kept_id, other) == (0, 0)
    assert new > 0


def test_where_no_floor_is_known_the_picture_tells() -> None:
    kept_id = others = 0
    for seed in range(3):
        world = World(corridor(1), wanderers(2, 20.0, np.random.default_rng(seed), stay_s=(25.0, 40.0)), seconds=30.0)
        result = restart_unplaced(world)
        kept_id, others = kept_id + result[0], others + result[1]
    assert kept_id > 0
    assert others == 0


def restart_unplaced(world: World) -> tuple[int, int]:
    first = Associator([None])
    ran = play(replace(world, seconds=12.0), first)
    people = first.known()
    assert all(known.xy is None for known in people)
    after = Associator([None], first_id=1000)
    after.resume(people, 10.0)
    then = play(Later(world, 13.0), after)
    old = {person: ids[-1] for person, ids in ran.ids.items() if ids}
    pairs = [(old[person], ids[-1]) for person, ids in then.ids.items() if ids and person in old]
    return sum(a == b for a, b in pairs), sum(a != b and b < 1000 for a, b in pairs)

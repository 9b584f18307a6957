"""People who are taken for another when they come out where he went in, and are told apart by how they look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spoton_edge.gallery import Appearance
from spoton_edge.global_track import TRACK
from spoton_edge.impostors import KEPT_CROPS, Crop, Impostors
from tests.test_association import Run, associator, looks_of, play
from tests.world import Walker, World, room

LIKE = Appearance(same_mean=0.92, same_sd=0.03, different_mean=0.0, different_sd=0.18)
VECTOR = looks_of(1)[0]


def row(uid: int, xy: tuple[float, float] = (0.0, 0.0)) -> np.void:
    record = np.zeros(1, TRACK)
    record["uid"], record["seen_xy"] = uid, xy
    return record[0]


def crop(at_ns: int) -> Crop:
    return Crop(VECTOR, 0, at_ns)


def test_a_crop_that_agrees_takes_back_as_much_doubt_as_it_is_worth() -> None:
    impostors = Impostors(2.0, 5.0)
    assert impostors.look(row(7), 1.0, crop(0))
    assert not impostors.look(row(7), -3.0, crop(1))
    assert impostors.doubted(np.array([7, 8])).tolist() == [True, False]
    assert impostors.look(row(7), 1.5, crop(2))
    assert not impostors.doubted(np.array([7])).any()
    for at in range(20):
        impostors.look(row(7), -3.0 if at % 2 else 3.0, crop(at))
    assert impostors.found() == []


def test_an_impostor_is_told_once_with_where_the_person_was_last_himself() -> None:
    impostors = Impostors(2.0, 5.0)
    impostors.look(row(7, (1.0, 2.0)), 1.0, crop(0))
    for at in range(6):
        assert impostors.found() == []
        impostors.look(row(7, (3.0 + at, 2.0)), -0.9, crop(at))
    (found,) = impostors.found()
    assert (found.uid, found.person["seen_xy"].tolist()) == (7, [1.0, 2.0])
    assert found.doubt.since["seen_xy"].tolist() == [3.0, 2.0]
    assert [kept.captured_ns for kept in found.doubt.crops] == list(range(6))[-KEPT_CROPS:]
    assert impostors.found() == []


def test_who_never_looked_like_himself_is_no_impostor() -> None:
    impostors = Impostors(2.0, 5.0)
    impostors.look(row(7), -9.0, crop(0))
    assert impostors.found() == []
    impostors.keep(set())
    assert not impostors.doubted(np.array([7])).any()


def exchange(alike: bool) -> Run:
    """One camera. The first walks to the middle and is hidden there; the second, hidden there until then, walks on;
    the first comes out again 3 s later and walks back."""
    looks = looks_of(2, seed=3)
    first = np.array([[0.0, 1.5, 3.0], [5.0, 4.0, 3.0], [8.0, 4.0, 3.0], [13.0, 1.5, 3.0]])
    second = np.array([[0.0, 4.0, 3.0], [5.0, 4.0, 3.0], [10.0, 6.5, 3.0], [13.0, 6.5, 3.2]])
    walkers = [
        Walker(first, looks[0], hidden_s=((5.0, 8.0),)),
        Walker(second, looks[0 if alike else 1], hidden_s=((0.0, 5.0),)),
    ]
    world = World(room(4)[:1], walkers, seconds=13.0, seed=1)
    return play(world, associator(world, appearance=replace(LIKE)))


def test_who_comes_out_where_another_went_in_is_split_off_by_his_looks_and_the_other_gets_his_id_back() -> None:
    run = exchange(alike=False)
    (split,) = run.events("split")
    at_the_end = {
        person: int(tracks.global_id[tracks.views.row[k]])
        for seen, tracks, _ in run.steps[-1:]
        for k in range(len(tracks.views.row))
        for person in seen.who[0].tolist()
        if np.allclose(tracks.views.xyxy[k], seen.boxes[0][seen.who[0].tolist().index(person)])
    }
    assert at_the_end == {0: split.global_id, 1: split.other}
    assert split.reason is not None
    assert split.reason.gate == "looks"


def test_look_alikes_are_not_split() -> None:
    run = exchange(alike=True)
    assert run.events("split") == []

"""Prototypes of people, and what a cosine is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.gallery import OTHER_CAMERA, SAME_CAMERA, Appearance, Evidence, Gallery
from spoton_edge.types import F4
from tests.world import appearances

GOOD = Appearance(same_mean=0.8, same_sd=0.1, different_mean=0.1, different_sd=0.15)


def axis(k: int, dimension: int = 8) -> F4:
    return np.eye(dimension, dtype=np.float32)[k]


def compare(gallery: Gallery, vector: F4, camera: int, entry: int) -> tuple[float, float]:
    one = np.zeros(1, np.int32)
    best = gallery.compare(vector[None], np.array([camera], np.int16), one, one + entry)
    return float(best[0, SAME_CAMERA]), float(best[0, OTHER_CAMERA])


def test_a_person_seen_from_behind_is_another_prototype_and_both_are_known() -> None:
    gallery = Gallery(people=2, prototypes=4)
    gallery.add(0, axis(0), 0, 1)
    gallery.add(0, axis(1), 0, 2)
    assert compare(gallery, axis(0), 0, 0)[0] == 1.0
    assert compare(gallery, axis(1), 0, 0)[0] == 1.0


def test_crops_of_one_camera_and_of_others_are_compared_apart() -> None:
    gallery = Gallery(people=2, prototypes=4)
    gallery.add(0, axis(0), 3, 1)
    assert compare(gallery, axis(0), 3, 0) == (1.0, -2.0)
    assert compare(gallery, axis(0), 1, 0) == (-2.0, 1.0)
    assert compare(gallery, axis(0), 1, 1) == (-2.0, -2.0)


def test_a_like_crop_is_blended_and_stays_a_unit_vector() -> None:
    gallery = Gallery(people=1)
    near = (axis(0) + 0.3 * axis(1)) / np.float32(np.sqrt(1.09))
    for when in range(20):
        gallery.add(0, axis(0) if when % 2 else near, 0, when)
    same, _ = compare(gallery, axis(0), 0, 0)
    assert 0.97 < same <= 1.0 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=60))
def test_a_gallery_never_outgrows_its_places(crops: list[tuple[int, int]]) -> None:
    gallery = Gallery(people=1, prototypes=4)
    for when, (camera, k) in enumerate(crops):
        gallery.add(0, axis(k), camera, when)
    assert (gallery._camera[0] >= 0).sum() <= 4
    if crops:
        camera, k = crops[-1]
        assert max(compare(gallery, axis(k), camera, 0)) > 0.05  # the latest crop left its mark


def test_joined_entries_keep_the_newest_and_free_the_other() -> None:
    gallery = Gallery(people=2, prototypes=2)
    for when, k in enumerate((0, 1)):
        gallery.add(0, axis(k), k, when)
        gallery.add(1, axis(2 + k), k, 10 + when)
    gallery.move(1, 0)
    assert max(compare(gallery, axis(2), 0, 0)) == 1.0
    assert max(compare(gallery, axis(0), 0, 0)) < 0.5
    assert compare(gallery, axis(2), 0, 1) == (-2.0, -2.0)


def test_evidence_speaks_for_the_same_and_against_the_different_and_is_never_boundless() -> None:
    evidence = Evidence(GOOD)
    nats = evidence.nats(SAME_CAMERA, np.linspace(-1, 1, 41).astype(np.float32))
    assert (np.diff(nats) >= 0).all()
    assert nats[0] == -4.0
    assert nats[-1] == 4.0


def test_a_model_that_does_not_tell_people_apart_says_nothing() -> None:
    weak = Evidence(Appearance(0.83, 0.16, 0.80, 0.18))
    assert not weak.tells(SAME_CAMERA)
    assert (weak.nats(SAME_CAMERA, np.array([0.0, 0.9], np.float32)) == 0).all()
    assert not Evidence(None).tells(OTHER_CAMERA)


def test_what_a_cosine_is_worth_is_learned_on_the_site() -> None:
    evidence, rng = Evidence(None), np.random.default_rng(0)
    for _ in range(100):
        evidence.learn(OTHER_CAMERA, False, rng.normal(0.7, 0.1, 5).tolist())
        evidence.learn(OTHER_CAMERA, True, rng.normal(0.2, 0.1, 5).tolist())
    low, high = evidence.nats(OTHER_CAMERA, np.array([0.2, 0.7], np.float32))
    assert low < -3
    assert high > 3
    assert not evidence.tells(SAME_CAMERA)


@given(st.integers(0, 2**32 - 1))
def test_pairs_of_people_are_compared_all_at_once_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gallery, crops = Gallery(people=4, prototypes=4), appearances(7, 8, rng)
    who, camera = rng.integers(0, 3, 7), rng.integers(0, 2, 7)  # the last entry stays empty
    for crop, entry, c in zip(crops, who.tolist(), camera.tolist(), strict=True):
        gallery.add(entry, crop, c, 1)
    one, other = (at.astype(np.int32).ravel() for at in np.meshgrid(np.arange(4), np.arange(4)))
    for pair, got in zip(zip(one, other, strict=True), gallery.between(one, other), strict=True):
        mine = np.flatnonzero(gallery._camera[pair[0]] >= 0)
        best = [compare(gallery, gallery._vectors[pair[0], k], int(gallery._camera[pair[0], k]), pair[1]) for k in mine]
        for kind in (SAME_CAMERA, OTHER_CAMERA):
            known = [cosines[kind] for cosines in best if cosines[kind] > -2]
            assert got[kind] == pytest.approx(np.mean(known) if known else -2, abs=1e-5)

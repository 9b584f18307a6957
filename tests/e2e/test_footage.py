"""Whole clips of real footage from pixels, through the daemon: who keeps his id, and how far off people are placed."""

from pathlib import Path

import pytest

from tests import ufes
from tests.clip import estimate, write_blind_site, write_site
from tests.e2e.daemon import hear, running
from tests.pets import BLIND, Estimate, Score, Truth, score

REID = "person-reid-retail-0287_dynbatch.onnx"
pytestmark = pytest.mark.soak


def played(site: Path, scratch: Path) -> Estimate:
    with running(site, scratch, "--fast", "--wait-for-subscriber", "60") as daemon:
        return estimate(hear(daemon))


def scored(truth: Truth, site: Path, scratch: Path) -> Score:
    return score(truth, played(site, scratch))


def test_most_people_keep_their_ids_from_one_camera_to_the_next(
    clip: Path, detector: str, shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    site = write_site(tmp_path, clip, detector, reid={"model": str(shared_models / REID)})
    result = scored(Truth(shared_data), site, tmp_path)
    assert result.handoffs == 28
    assert result.kept >= 24
    assert result.taken <= 4
    assert result.ground_median_m < 0.25


def test_most_people_keep_their_ids_over_a_stretch_that_nobody_sees(
    clip: Path, detector: str, shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    site = write_blind_site(tmp_path, clip, detector, reid={"model": str(shared_models / REID)})
    truth = Truth(shared_data, BLIND, inside=0.5)
    assert all(truth.hidden(handoff) > 0 for handoff in truth.handoffs())
    result = scored(truth, site, tmp_path)
    assert result.handoffs == 28
    assert result.kept >= 20
    assert result.taken <= 3


def test_two_walkers_in_a_laboratory_keep_one_id_each_and_nobody_who_sits_has_it(
    detector: str, shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    sections = {"detector": {"model": detector, "input": [640, 384]}, "reid": {"model": str(shared_models / REID)}}
    result = ufes.score(shared_data, played(ufes.write_site(shared_data, tmp_path, detector, **sections), tmp_path))
    assert [len(count) for count in result.ids.values()] == [1, 1]
    assert result.confused == 0
    assert result.placed > 0.9
    assert result.median_m < 0.12

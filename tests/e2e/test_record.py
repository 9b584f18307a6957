"""Recording a real daemon, replaying what was recorded, and asking the daemon why."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from spoton_edge import cli, control, recording
from spoton_edge.client import Tracks
from tests.clip import write_site
from tests.e2e.daemon import hear, running


def test_a_recording_of_a_daemon_replays_to_what_it_published(
    clip: Path, detector: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write_site(tmp_path, clip, detector)
    endpoint = yaml.safe_load(site.read_text())["runtime"]["control"]
    with running(site, tmp_path, "--wait-for-subscriber", "60") as daemon:
        hear(daemon, until_seq=5)
        out = tmp_path / "recorded"
        assert cli.main(["record", "--control", endpoint, "--out", str(out), "--seconds", "4", "--embeddings"]) == 0
        status = control.ask(endpoint, "status")
        published = [
            message for message in hear(daemon, until_seq=status["batches"] + 1) if isinstance(message, Tracks)
        ]
        person = published[-1].tracks[0].id
        assert cli.main(["explain", str(person), "--control", endpoint]) == 0
        life = capsys.readouterr().out
        assert cli.main(["explain", "987654", "--control", endpoint]) == 2
        assert "no person 987654" in capsys.readouterr().err
        assert daemon.stop() == 0
    assert re.match(rf"person {person}\n +\d+\.\d s ago  appeared in [WE]", life)
    assert status["people"] > 0
    assert {camera["name"] for camera in status["cameras"]} == {"W", "E"}

    found = recording.read(out, ["W", "E"])
    assert found.image_sizes == {"W": (448, 576), "E": (448, 576)}
    assert all(len(camera) > 20 for camera in found.cameras)
    assert all(camera.embedding is not None and camera.embedding.any(axis=1).sum() > 3 for camera in found.cameras)
    assert cli.main(["replay", str(tmp_path / "running.yaml"), "--detections", str(out), "--out", str(tmp_path)]) == 0
    views = np.genfromtxt(tmp_path / "views.csv", delimiter=",", skip_header=1, usecols=(0, 2))
    assert len(np.unique(views[:, 1])) >= status["people"] - 2
    assert json.loads((out / recording.ABOUT).read_text())["site"] == yaml.safe_load(site.read_text())["site"]

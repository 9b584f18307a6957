"""The daemon on a site of which some cameras are calibrated wrongly: they are named, and the others give places."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from spoton_edge.calibration.desk import Desk
from spoton_edge.calibration.draft import Draft
from spoton_edge.client import Site, Status, Subscriber, Tracks
from tests.clip import write_site
from tests.e2e.daemon import running
from tests.test_systemd import Manager

BAD = {
    "identity": {"homography": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]},
    "mirrored": {"homography": [[0.02974626, -0.00939808, 1.750269], [0.02478855, 0.0112777, -60.16502],
                                [0, -0.01119693, 1]]},
    "collinear": {"points": [[100, 100, 0, 0], [200, 200, 1, 1], [300, 300, 2, 2], [400, 350, 3, 3]]},
    "singular": {"homography": [[1, 2, 3], [2, 4, 6], [0, 0, 1]]},
}  # fmt: skip
REASONS = {
    "identity": "is the identity",
    "mirrored": "mirrored: ",
    "collinear": "lie on one line",
    "singular": "is not invertible",
}


def test_cameras_that_are_calibrated_wrongly_are_named_everywhere_and_the_others_give_places(
    tmp_path: Path, clip: Path, detector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    path = write_site(tmp_path, clip, detector)
    site = yaml.safe_load(path.read_text())
    site["cameras"] += [
        {"name": name, "source": "test:192x108@5", "ground": {"image_size": [1920, 1080], **ground}}
        for name, ground in BAD.items()
    ]
    path.write_text(yaml.safe_dump(site))
    with running(path, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:
        placed: set[str] = set()
        seen: set[str] = set()
        said: dict[str, str | None] = {}
        floors: dict[str, bool] = {}
        supervised: list[str] = []
        while not (placed >= {"W", "E"} and seen >= BAD.keys() and said and floors and supervised):
            supervised += [line for line in manager.heard() if line.startswith("STATUS=6 of 6 cameras live; ")]
            message = subscriber.receive(60.0)
            assert message is not None, daemon.log
            if isinstance(message, Status):
                said = {camera["name"]: camera["unplaced"] for camera in message.cameras}
            elif isinstance(message, Site):
                floors = {camera["name"]: bool(camera["footprint"]) for camera in message.cameras}
            elif isinstance(message, Tracks):
                seen |= message.captured.keys()
                placed |= {view.camera for person in message.tracks if person.x is not None for view in person.views}
        status = [sys.executable, "-m", "spoton_edge", "status", "--control", f"ipc://{tmp_path}/control"]
        told = subprocess.run(status, capture_output=True, text=True, timeout=60, check=True).stdout
        assert daemon.stop() == 0
        log = daemon.log
    manager.socket.close()
    assert floors == {"W": True, "E": True, **dict.fromkeys(BAD, False)}
    assert (said["W"], said["E"]) == (None, None)
    for name, reason in REASONS.items():
        assert (said[name] or "").startswith("calibration refused: ")
        assert reason in (said[name] or "")
        assert f"camera {name}: {said[name]}; its people are tracked but have no place" in log
        assert f"no places: {said[name]}" in told
    assert "W: live" in told
    shown = (
        "; identity (and mirrored, collinear, singular): calibration refused: is the identity: it calls pixels metres"
    )
    assert all(shown in line for line in supervised)


def test_what_the_calibrator_saves_is_taken_up_by_the_command_that_it_names(
    tmp_path: Path, clip: Path, detector: str
) -> None:
    path = write_site(tmp_path, clip, detector)
    site = yaml.safe_load(path.read_text())
    pixels = np.array([(60, 250), (400, 230), (30, 540), (420, 560), (230, 400), (120, 330), (330, 300)])
    floor = np.column_stack([pixels, np.ones(len(pixels))]) @ np.array(site["cameras"][0]["ground"]["homography"]).T
    points = np.column_stack([pixels, floor[:, :2] / floor[:, 2:]]).round(3).tolist()
    site["cameras"][0]["ground"]["homography"] = np.eye(3).tolist()
    path.write_text(yaml.safe_dump(site))
    with running(path, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:

        def until_placed(wanted: dict[str, bool]) -> None:
            said: dict[str, bool] = {}
            while said != wanted:
                message = subscriber.receive(60.0)
                assert message is not None, daemon.log
                if isinstance(message, Status):
                    said = {camera["name"]: camera["unplaced"] is None for camera in message.cameras}

        until_placed({"W": False, "E": True})
        desk = Desk(tmp_path / "running.yaml")
        draft = {"read": desk.open()["read"], "cameras": {"W": {"points": points, "image_size": [448, 576]}}}
        answer = desk.save(Draft.parse(json.dumps(draft).encode()), confirmed=False)
        assert answer["saved"], answer
        program, *command = answer["reload"].split()
        assert program == "spoton-edge"
        reload = [sys.executable, "-m", "spoton_edge", *command]
        done = subprocess.run(reload, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "camera W: ground changed\n"), done.stderr
        until_placed({"W": True, "E": True})


def test_a_matrix_that_is_none_is_still_a_fault_of_the_file(tmp_path: Path) -> None:
    site = {"cameras": [{"name": "c", "source": "test:", "ground": {"homography": [[1, 2], [3, 4]]}}]}
    (tmp_path / "site.yaml").write_text(json.dumps(site))
    command = [sys.executable, "-m", "spoton_edge", "run", str(tmp_path / "site.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "cameras[0].ground.homography: needs 3 entries" in done.stderr

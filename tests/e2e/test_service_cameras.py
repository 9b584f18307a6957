"""The installed service with four RTSP cameras: what a reload leaves alone, and who keeps the id after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from tests.e2e.installed import ROOT, UNIT, Hearing, Installed
from tests.e2e.machine import Machine
from tests.e2e.rtsp import RtspCamera, access_units, need_server

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cameras(machine: Machine, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RtspCamera]]:
    """Four RTSP cameras in the machine, and a fifth: people who stand still, so that nothing but us ends a track."""
    need_server()
    with av.open(str(clip)) as container:
        scene = next(islice(container.decode(video=0), 300, None)).to_ndarray(format="bgr24")[:, :448]
    still = np.ascontiguousarray(scene)
    units = tmp_path_factory.mktemp("still") / "still.h264"
    access_units(units, "h264", range(10), (448, 576), draw=lambda *_: still)
    made = [RtspCamera(units) for _ in range(5)]
    try:
        for camera in made:
            camera.start("--fps", "4", prefix=tuple(machine.enter("net")))
        yield made
    finally:
        for camera in made:
            camera.kill()


def watched(cameras: list[RtspCamera], shift_m: float = 0.0) -> dict[str, object]:
    """The sections of a site: cameras k1, k2, ..., each over ground of its own; `shift_m` moves the first one's."""
    homography = np.array(
        yaml.safe_load((ROOT / "calibration" / "demo-site.yaml").read_text())["cameras"][0]["ground"]["homography"]
    )
    sections = []
    for number, camera in enumerate(cameras):
        move = np.array([[1, 0, 200.0 * number + (0 if number else shift_m)], [0, 1, 0], [0, 0, 1]])
        ground = {"homography": (move @ homography).tolist(), "image_size": [448, 576]}
        sections.append({"name": f"k{number + 1}", "source": camera.url, "ground": ground})
    return {"cameras": sections, "detector": {"input": [320, 416]}, "identity": {"resume_s": 60}}


def test_reloads_change_what_they_say_and_no_other_camera_s_people(
    service: Installed, cameras: list[RtspCamera]
) -> None:
    four = {"k1", "k2", "k3", "k4"}
    service.site(**watched(cameras[:4]))
    service.drop_in("TimeoutStopSec=2")  # systemd would kill what takes longer, and say so
    service.start()
    connections = [camera.clients for camera in cameras[:4]]
    with service.heard() as hearing:
        hearing.until_people(four)
        before = hearing.views(8)

        hearing.reload()  # nothing has changed
        assert lost(before, hearing) == set()

        service.site(**watched(cameras[:4]) | {"tracker": {"high_score": 7}})
        refused = hearing.reload(ok=False)
        assert refused["detail"].startswith("refused: ")
        assert "tracker.high_score" in refused["detail"]
        assert "tracker.high_score" in service.said()
        assert "reload refused: " in service.show("StatusText")
        assert "tracker.high_score" in service.show("StatusText")
        assert service.show("ActiveState") == "active"
        assert lost(before, hearing) == set()

        service.site(**watched(cameras))
        hearing.reload()
        hearing.until_people(four | {"k5"})
        assert lost(before, hearing) == set()

        service.site(**watched(cameras, shift_m=50.0))
        places = {camera: where(hearing, camera) for camera in ("k1", "k2")}
        hearing.reload()
        assert lost({key: who for key, who in before.items() if key[0] != "k1"}, hearing) == set()
        moved = pytest.approx(places["k1"] + 50.0, abs=1.0)
        service.machine.wait(lambda: where(hearing, "k1") == moved, "the people of k1 where it says now")
        assert where(hearing, "k2") == pytest.approx(places["k2"], abs=1.0)
    assert [camera.clients for camera in cameras[:4]] == connections  # none was connected anew

    somebody = next(iter(before.values()))
    assert f"person {somebody}: " in service.said(f"SPOTON_GLOBAL_ID={somebody}")
    assert "camera k5: added" in service.said("SPOTON_EVENT=reload")
    service.machine.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"


def where(hearing: Hearing, camera: str) -> float:
    """The mean x of the people of a camera, metres."""
    placed: list[float] = []

    def somebody() -> bool:
        placed.extend(person["x"] for person in hearing.people(camera).values() if person["x"] is not None)
        return bool(placed)

    hearing.machine.wait(somebody, f"somebody with a place in {camera}")
    return float(np.mean(placed))


def lost(before: dict[tuple[str, int], int], hearing: Hearing) -> set[tuple[str, int]]:
    """Tracks that have another id than before, once each has been seen again."""
    now: dict[tuple[str, int], int] = {}

    def all_seen() -> bool:
        now.update(hearing.views())
        return before.keys() <= now.keys()

    hearing.machine.wait(all_seen, f"every track of {before}")
    return {key for key, identity in before.items() if now[key] != identity}


def test_killed_it_comes_back_and_people_in_view_keep_their_ids(service: Installed, cameras: list[RtspCamera]) -> None:
    service.site(**watched(cameras[:4]))
    service.drop_in("RestartSec=100ms")
    service.start()
    with service.heard() as hearing:
        hearing.until_people({"k1", "k2", "k3", "k4"})
        known = lambda: all(person["age_s"] > 3 for person in hearing.people().values())  # noqa: E731
        service.machine.wait(known, "everybody has been there for a while")
        before = hearing.people()
        service.machine.run("systemctl", "kill", "--signal=KILL", UNIT)
        service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd starts it again")
        service.machine.wait(lambda: service.show("ActiveState") == "active", "it is READY again")
        hearing.until_people({"k1", "k2", "k3", "k4"})
        after = hearing.people()
    assert set(before) <= set(after)

"""The service as an operator has it: the Debian package under a real systemd, with no network but loopback."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from tests.e2e.harness import lacking
from tests.e2e.installed import ROOT, SITE, UNIT, Hearing, Installed
from tests.e2e.machine import Machine, booted
from tests.e2e.rtsp import RtspCamera, access_units, need_server

pytestmark = pytest.mark.timeout(900)
HERE = Path(__file__).parent
PYTHON = "/usr/lib/spoton-edge/bin/python3"  # the package's


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def installed(machine: Machine, package: Path) -> Installed:
    return Installed(machine, package)


@pytest.fixture
def service(installed: Installed) -> Iterator[Installed]:
    """The service, stopped, with a site of one made-up camera."""
    installed.site()
    yield installed
    installed.afresh()


def test_systemd_finds_nothing_wrong_with_what_the_package_brings(service: Installed) -> None:
    units = [f"/usr/lib/systemd/system/{name}" for name in (UNIT, "spoton-edge@.service")]
    assert not service.machine.run("systemd-analyze", "verify", "--recursive-errors=yes", *units).stderr
    assert service.machine.run("systemctl", "is-enabled", UNIT, ok=False).stdout.strip() == "disabled"


def test_what_root_has_prepared_is_used_without_a_download_or_a_build(service: Installed) -> None:
    def files() -> dict[str, tuple[int, int]]:
        found = [path for path in (service.cache / "models").rglob("*") if path.is_file()]
        return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = files()
    assert before
    service.start()
    assert files() == before
    assert "Started spoton-edge.service" in service.said("_PID=1", f"UNIT={UNIT}")


@pytest.fixture
def gpu(service: Installed) -> Iterator[str]:
    """The program of a box with a GPU, which the service runs; no engine is built yet."""
    for source in (HERE / "gpu_service.py", ROOT / "tests" / "gpu_on_host.py"):
        shutil.copyfile(source, service.machine.path("/srv") / source.name)
    program = f"{PYTHON} /srv/gpu_service.py"
    service.drop_in("ExecStart=", f"ExecStart={program} run {SITE}", "TimeoutStartSec=6")
    yield program
    service.machine.path("/srv/finish").unlink(missing_ok=True)
    service.machine.run("systemctl", "stop", UNIT)
    shutil.rmtree(service.cache / "engines")


def test_engines_that_root_has_built_are_used_without_a_build(service: Installed, gpu: str) -> None:
    def engines() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (service.cache / "engines").glob("*.engine")}

    finish = service.machine.path("/srv/finish")
    finish.touch()
    service.machine.run(*gpu.split(), "engines", "build", SITE)
    before = engines()
    assert len(before) == 1
    finish.unlink()  # another build would never end
    service.start()
    assert "runs on tensorrt_rtx" in service.said()
    assert "building" not in service.said()
    assert engines() == before


def test_a_first_build_may_take_longer_than_a_start_and_shows_how_far_it_is(service: Installed, gpu: str) -> None:
    machine = service.machine
    machine.run("systemctl", "start", "--no-block", UNIT)
    machine.wait(lambda: "building an engine: 40 %" in service.show("StatusText"), "the build in STATUS")

    def running_s() -> float:
        return time.monotonic() - int(service.show("InactiveExitTimestampMonotonic")) / 1e6

    machine.wait(lambda: running_s() > 7, "the start has taken longer than TimeoutStartSec")
    assert service.show("ActiveState") == "activating"
    machine.path("/srv/finish").touch()
    machine.wait(lambda: service.show("ActiveState") == "active", "READY after the build")
    assert service.show("NRestarts") == "0"
    assert "runs on tensorrt_rtx" in service.said()


def test_it_runs_as_its_own_user_in_its_sandbox(service: Installed) -> None:
    service.start()
    pid = service.show("MainPID")
    status = dict(line.split(":\t", 1) for line in service.machine.path(f"/proc/{pid}/status").read_text().splitlines())
    uid = service.machine.run("id", "-u", "spoton-edge").stdout.strip()
    assert set(status["Uid"].split()) == {uid} != {"0"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"  # a filter of system calls
    video = service.machine.run("getent", "group", "video").stdout.split(":")[2]
    assert video in status["Groups"].split()
    view = service.machine.path(f"/proc/{pid}/root")
    assert not list((view / "root").iterdir())
    assert not list((view / "home").iterdir())


def test_a_credential_reaches_the_service_and_nobody_else(service: Installed) -> None:
    machine = service.machine
    login = machine.run("spoton-edge", "credential", "set", "c09", say="admin:sesame\n")
    assert "sesame" not in login.stdout + login.stderr
    cameras = [{"name": "a", "source": "test:160x120@5"}, {"name": "c", "source": "rtsp://{cred:c09}@127.0.0.1:9/x"}]
    service.site(cameras=cameras)
    assert machine.run("spoton-edge", "check", SITE).stdout.strip() == f"{SITE}: good"
    asking = ["runuser", "-u", "nobody", "--", "spoton-edge", "check", SITE]
    assert "not checked: credentials c09" in machine.run(*asking).stderr
    service.start()
    machine.wait(lambda: "1 of 2 cameras live" in service.show("StatusText"), "one camera is live")

    service.site(cameras=[*cameras, {"name": "d", "source": "rtsp://{cred:door}@127.0.0.1:9/x"}])
    machine.run("spoton-edge", "credential", "set", "door", say="admin:sesame\n")  # systemd has loaded what was there
    machine.run("systemctl", "reload", UNIT)
    assert "1 of 2 cameras live" in service.show("StatusText")
    assert "needs restart: cameras (d)" in service.show("StatusText")
    assert "there is no credential door" in service.said()
    machine.run("systemctl", "restart", UNIT)
    machine.wait(lambda: "1 of 3 cameras live" in service.show("StatusText"), "the third camera")
    assert "needs restart" not in service.show("StatusText")
    assert "sesame" not in machine.run("journalctl", "--no-pager").stdout


def test_the_doctor_sees_what_the_service_would_see(service: Installed) -> None:
    machine, model = service.machine, service.cache / "models" / "yolox-nano.onnx"
    machine.run("spoton-edge", "credential", "set", "c09", say="admin:sesame\n")
    service.site(cameras=[{"name": "a", "source": "rtsp://{cred:c09}@127.0.0.1:9/x"}])
    mode = model.stat().st_mode
    model.chmod(0o600)  # root's, and so no trouble for root
    try:
        with ThreadPoolExecutor() as both:
            asked = both.submit(machine.run, "spoton-edge", "doctor", ok=False)
            found = machine.run("spoton-edge", "doctor", "--service", "--report", "/run/report", ok=False)
            plain = asked.result().stdout
    finally:
        model.chmod(mode)
    lines = {name: line for line in plain.splitlines() for name in ["detector.model"] if f" {name}: " in line}
    assert lines["detector.model"].startswith("good")
    assert "not checked the service: " in plain
    said = dict(line[12:].split(": ", 1) for line in found.stdout.splitlines() if line[11:12] == " ")
    assert found.returncode == 1
    assert "may not be read by this user" in said["detector.model"]
    assert said["camera a"].startswith("offline")  # with its login, which only the service and root have
    assert said["state"].startswith("/var/lib/spoton-edge, ")
    assert "the service" not in said
    report = machine.path("/run/report").read_text()
    assert "may not be read by this user" in report
    assert "sesame" not in report


@pytest.mark.parametrize(
    ("site", "code", "reason"),
    [
        ({"cameras": [{"name": "a", "source": "test:", "croop": 1}]}, "2", "cameras[0].croop"),
        ({"cameras": [{"name": "a", "source": "test:160x120", "crop": [0, 0, 900, 9]}]}, "2", "not inside the picture"),
        ({"reid": {"model": "reid-0287"}}, "4", "spoton-edge models fetch reid-0287"),
        (
            {"cameras": [{"name": "a", "source": "rtsp://{cred:none}@127.0.0.1/x"}]},
            "4",
            "spoton-edge credential set none",
        ),
    ],
)
def test_what_another_start_would_not_mend_is_not_started_again(
    service: Installed, site: dict[str, object], code: str, reason: str
) -> None:
    service.site(**site)
    assert service.machine.run("systemctl", "start", UNIT, ok=False).returncode != 0
    assert service.show("ActiveState") == "failed"
    assert service.show("ExecMainStatus") == code
    assert service.show("NRestarts") == "0"
    assert reason in service.show("StatusText")
    assert reason in service.said("PRIORITY=3", f"_SYSTEMD_INVOCATION_ID={service.show('InvocationID')}")


def test_it_ends_in_order_within_two_seconds(service: Installed) -> None:
    service.drop_in("TimeoutStopSec=2")  # systemd would kill what takes longer, and say so
    service.start()
    service.machine.run("systemctl", "stop", UNIT)
    assert service.show("Result") == "success"
    assert service.show("ExecMainStatus") == "0"


def test_the_journal_is_searched_by_camera(service: Installed) -> None:
    service.site(
        cameras=[{"name": "c09", "source": "test:160x120@5"}, {"name": "c13", "source": "rtsp://127.0.0.1:9/x"}]
    )
    service.start()
    about = service.said("SPOTON_CAMERA=c09", f"_SYSTEMD_INVOCATION_ID={service.show('InvocationID')}")
    assert "camera c09: live" in about
    assert "c13" not in about


@pytest.mark.parametrize(
    ("fault", "limits", "result"),
    [
        ("hang", ("WatchdogSec=3",), "Failed with result 'watchdog'"),
        ("grow", ("MemoryMax=320M",), "killed"),
    ],
)
def test_a_daemon_that_hangs_or_grows_is_started_again(
    service: Installed, fault: str, limits: tuple[str, ...], result: str
) -> None:
    shutil.copyfile(HERE / "troubled_service.py", service.machine.path("/srv/troubled_service.py"))
    service.machine.path("/var/lib/spoton-edge/struck").unlink(missing_ok=True)
    service.site(runtime={"stall_s": 1})
    program = f"{PYTHON} /srv/troubled_service.py {fault} run {SITE}"
    service.drop_in("ExecStart=", f"ExecStart={program}", "RestartSec=100ms", *limits)
    service.start()
    if service.show("MemoryCurrent") == "[not set]":
        lacking("no memory controller for the machine's cgroups")
    service.machine.wait(lambda: service.show("NRestarts") == "1", "systemd starts it again")
    service.machine.wait(lambda: service.show("ActiveState") == "active", "it is READY again")
    assert result in service.said("_PID=1", f"UNIT={UNIT}")


def test_two_sites_run_beside_each_other_and_each_reloads_its_own(service: Installed) -> None:
    machine, roof = service.machine, "spoton-edge@roof.service"
    publish = {"bind": ["tcp://127.0.0.1:5691"], "snapshot": "tcp://127.0.0.1:5692"}
    site = {"site": "above", "cameras": [{"name": "r", "source": "test:160x120@5"}], "publish": publish}
    path = machine.path("/etc/spoton-edge/roof.yaml")
    path.write_text(yaml.safe_dump(site))
    service.start()
    machine.run("systemctl", "start", roof)
    try:
        path.write_text(yaml.safe_dump(site | {"identity": {"forget_s": -1}}))
        machine.run("systemctl", "reload", UNIT)
        assert machine.run("systemctl", "reload", roof, ok=False).returncode != 0
        assert "identity.forget_s" not in service.said()
        machine.run("systemctl", "stop", UNIT)
        assert "1 of 1 cameras live" in machine.show(roof, "StatusText")
        assert "r: live" in machine.run("spoton-edge", "status", "--site", "above").stdout
    finally:
        machine.run("systemctl", "stop", roof)
        path.unlink()


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


def test_the_package_is_upgraded_removed_and_purged_and_an_environment_takes_its_place(
    installed: Installed, package: Path, clip: Path
) -> None:
    """The last test here: it takes the package away. What it runs is the demo's site."""
    machine = installed.machine
    shutil.copyfile(clip, machine.path("/srv/vtest.avi"))
    demo = (ROOT / "calibration" / "demo-site.yaml").read_text().replace("${SPOTON_DEMO_VIDEO}", "/srv/vtest.avi")
    machine.path(SITE).write_text(demo)
    machine.run("spoton-edge", "credential", "set", "c09", say="admin:sesame\n")
    installed.start()
    with installed.heard() as hearing:
        hearing.until_people({"W", "E"})
    starts = len(installed.starts())

    installed.install(package)  # the same version again goes the way of an upgrade
    machine.wait(lambda: installed.show("ActiveState") == "active", "the upgraded service is READY")
    assert len(installed.starts()) == starts + 1
    assert machine.path(SITE).read_text() == demo

    machine.run("cp", "--archive", "--link", "/usr/lib/spoton-edge", "/opt/environment")
    program = "/opt/environment/bin/spoton-edge"
    machine.run("sed", "-i", "1s|/usr/lib/spoton-edge|/opt/environment|", program)
    assert "the Debian package is installed" in machine.run(program, "install", ok=False).stderr
    machine.run("dpkg", "--remove", "spoton-edge")
    assert machine.run("systemctl", "is-active", UNIT, ok=False).stdout.strip() == "inactive"
    assert not machine.path("/usr/lib/spoton-edge").exists()
    for kept in (SITE, "/etc/spoton-edge/credentials/c09", "/var/lib/spoton-edge", "/var/cache/spoton-edge/models"):
        assert machine.path(kept).exists(), kept

    machine.run("dpkg", "--purge", "spoton-edge")
    assert machine.run("id", "spoton-edge", ok=False).returncode != 0
    assert left_behind(machine) == []

    machine.run(program, "install")
    installed.bring_models()
    installed.start()
    assert f"path={program} ;" in installed.show("ExecStart")
    machine.run(program, "uninstall", "--purge")
    assert machine.run("id", "spoton-edge", ok=False).returncode != 0
    assert left_behind(machine) == []


def left_behind(machine: Machine) -> list[str]:
    """What of the program is still there, outside of the folder of the environment."""
    return [path for path in machine.changes() if "spoton" in path and not path.startswith("/opt/environment")]

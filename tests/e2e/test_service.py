"""The service as an operator has it: the Debian package under a real systemd, with no network but loopback."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tests.e2e.harness import lacking
from tests.e2e.installed import HERE, PYTHON, ROOT, SITE, UNIT, Installed

pytestmark = pytest.mark.timeout(900)


def test_systemd_finds_nothing_wrong_with_what_the_package_brings(service: Installed) -> None:
    units = [f"/usr/lib/systemd/system/{name}" for name in (UNIT, "spoton-edge@.service")]
    assert not service.machine.run("systemd-analyze", "verify", "--recursive-errors=yes", *units).stderr
    assert service.machine.run("systemctl", "is-enabled", UNIT, ok=False).stdout.strip() == "disabled"


def test_the_package_shows_the_map_and_says_how_it_gets_what_it_lacks(service: Installed) -> None:
    service.machine.run(PYTHON, "-c", "import spoton_edge.view.command, uvicorn, websockets")
    lacking = service.machine.run("spoton-edge", "calibrate", "serve", SITE, ok=False, timeout_s=30.0)
    assert lacking.returncode == 4
    assert "make deb EXTRAS=" in lacking.stderr
    assert lacking.stderr.count("\n") == 1


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
    service.drop_in("ExecStart=", f"ExecStart={program} run {SITE}", "TimeoutStartSec=10")
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

    machine.wait(lambda: running_s() > 11, "the start has taken longer than TimeoutStartSec")
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


def test_prometheus_reads_the_service_from_the_machine_itself(service: Installed) -> None:
    service.site(runtime={"metrics": "127.0.0.1:9477"})
    service.start()
    asked = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9477/metrics').read().decode())"

    def told() -> list[str]:
        return service.machine.run(PYTHON, "-c", asked).stdout.splitlines()

    service.machine.wait(lambda: 'spoton_camera_up{camera="a"} 1.0' in told(), "a live camera in the figures")


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

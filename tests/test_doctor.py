"""What the doctor finds on boxes and sites with known faults."""

import json
import socket
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import yaml

from spoton_edge import config, credentials
from spoton_edge.cli import main
from spoton_edge.doctor import Finding, box, examine, sandbox, unit_of, write_report
from spoton_edge.doctor import cameras as looking
from spoton_edge.doctor.cameras import cameras
from spoton_edge.doctor.findings import good
from spoton_edge.engine.driver import Gpu, NoDriver
from spoton_edge.errors import UsageError
from tests.footage import write_clip

DISK = namedtuple("DISK", "total used free")


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PATIENCE_S", 3.0)
    monkeypatch.setattr(looking, "LOOK_S", 0.5)


def site(tmp_path: Path, **sections: Any) -> config.Site:
    return config.load(site_file(tmp_path, **sections))


def site_file(tmp_path: Path, **sections: Any) -> Path:
    data = {"cameras": [{"name": "a", "source": "test:160x120@10"}]} | sections
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "site.yaml"


def verdicts(findings: Any) -> dict[str, tuple[str, str]]:
    """What was looked at, with its verdict and all that is said of it."""
    return {found.what: (found.verdict, f"{found.text}; {found.remedy}") for found in findings}


def no_driver() -> Gpu:
    raise NoDriver("there is no NVIDIA driver (libcuda.so.1)")


def test_without_a_gpu_a_site_runs_on_the_cpu_unless_it_asks_for_one(tmp_path: Path) -> None:
    (found,) = box.gpu(site(tmp_path), no_driver)
    assert (found.verdict, "on the CPU" in found.text) == ("note", True)
    (found,) = box.gpu(site(tmp_path, runtime={"backend": "tensorrt"}), no_driver)
    assert found.verdict == "wrong"
    assert "runtime.backend" in found.remedy


def test_a_gpu_is_described(tmp_path: Path) -> None:
    found = verdicts(box.gpu(site(tmp_path), lambda: Gpu("RTX 4060", (8, 9), 8 << 30, "13.0")))
    assert found["GPU"][0] == "good"
    assert "RTX 4060, 8 GiB, compute capability 8.9, driver for CUDA 13.0" in found["GPU"][1]


def test_libraries_and_decoders_of_this_environment_are_good() -> None:
    found = verdicts(box.libraries())
    assert found["engines"][0] == found["decoders"][0] == "good"
    assert "onnxruntime" in found["engines"][1]


def test_a_model_that_is_absent_comes_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    found = verdicts(box.networks(site(tmp_path, reid={"model": "reid-0287"}), tmp_path / "cache"))
    for key, name in (("detector.model", "yolox-nano"), ("reid.model", "reid-0287")):
        assert found[key][0] == "wrong"
        assert f"; run spoton-edge models fetch {name}" in found[key][1]


def test_a_full_disk_and_a_closed_folder_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found.verdict for found in box.folders(tmp_path / "cache", tmp_path)] == ["good", "good"]
    monkeypatch.setattr(box.shutil, "disk_usage", lambda _: DISK(1 << 40, 1 << 40, 5 << 20))
    assert "5 MiB left" in verdicts(box.folders(tmp_path / "cache", tmp_path))["cache"][1]
    monkeypatch.setattr(box.os, "access", lambda *_, **__: False)
    assert "may not be written" in verdicts(box.folders(tmp_path / "cache", tmp_path))["state"][1]


def test_the_clock_is_asked() -> None:
    (found,) = box.clock()
    assert found.what == "clock"
    assert found.verdict in ("good", "note", "not checked")


def test_an_endpoint_that_somebody_else_has_or_no_machine_has_is_wrong(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        foreign = "tcp://192.0.2.1:5591"  # an address for documentation
        publish = {"bind": [taken, foreign, f"ipc://{tmp_path}/s"], "snapshot": "tcp://127.0.0.1:0", "insecure": True}
        found = verdicts(box.endpoints(site(tmp_path, publish=publish)))
    assert found[taken] == ("wrong", "in use by another program; find it: ss -ltnp; or name another port")
    assert found[foreign][0] == "wrong"
    assert found["tcp://127.0.0.1:0"][0] == found[f"ipc://{tmp_path}/s"][0] == "good"


def test_each_camera_is_opened_and_what_it_sends_is_told(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", range(100), rate=25)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    named = {
        "pattern": "test:160x120@10",
        "clip": "clip.mp4",
        "broken": "broken.mp4",
        "silent": "rtsp://admin:sesame@127.0.0.1:1/x",
        "device": "/dev/video_that_is_not_there",
    }
    described = site(tmp_path, cameras=[{"name": name, "source": source} for name, source in named.items()])
    findings = list(cameras(described, running=False))
    found = verdicts(findings)
    assert found["camera pattern"][0] == found["camera clip"][0] == "good"
    assert found["camera pattern"][1].startswith("160x120 px, ")
    assert found["camera clip"][1].startswith("192x96 px, ")
    assert {found[f"camera {name}"][0] for name in ("broken", "silent", "device")} == {"wrong"}
    assert "offline" in found["camera silent"][1]
    assert "sesame" not in str(findings)


def test_a_calibration_is_judged_by_what_the_camera_sends(tmp_path: Path) -> None:
    ground = {"homography": [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]], "image_size": [400, 400]}
    described = site(tmp_path, cameras=[{"name": "a", "source": "test:160x120@10", "ground": ground}])
    found = verdicts(cameras(described, running=False))["calibration of a"]
    assert found[0] == "wrong"
    assert "has no calibration" not in found[1]


def test_a_login_that_is_absent_is_told_before_the_camera_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "FOLDER", tmp_path / "credentials")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    described = site(tmp_path, cameras=[{"name": "a", "source": "rtsp://{cred:c09}@127.0.0.1:1/x"}])
    found = verdicts(cameras(described, running=False))["camera a"]
    assert found == ("wrong", "there is no credential c09; as root: spoton-edge credential set c09")


def test_a_faulty_site_file_is_all_that_is_said(tmp_path: Path) -> None:
    path = site_file(tmp_path, detector={"inptu": 1})
    assert [found.verdict for found in examine(path, tmp_path, tmp_path)] == ["wrong"]


def test_the_plain_examination_says_what_it_leaves_out(tmp_path: Path) -> None:
    publish = {"bind": ["tcp://127.0.0.1:0"], "snapshot": "tcp://127.0.0.1:0"}
    *_, last = examine(site_file(tmp_path, publish=publish), tmp_path, tmp_path)
    assert last.verdict == "not checked"
    assert "doctor --service" in last.remedy


def test_the_command_ends_with_an_error_where_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_file(tmp_path, detector={"inptu": 1})
    assert main(["doctor", str(path)]) == 1
    assert "detector.inptu" in capsys.readouterr().out
    assert main(["doctor", "--json", str(path)]) == 1
    (found,) = (Finding(**entry) for entry in json.loads(capsys.readouterr().out))
    assert found.verdict == "wrong"


def test_a_report_holds_findings_versions_and_site_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "FOLDER", tmp_path / "credentials")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    credentials.store("c09", "admin:open sesame")
    sources = ["rtsp://{cred:c09}@127.0.0.1:1/x", "rtsp://root:swordfish@127.0.0.1:1/x?key=abracadabra"]
    path = site_file(tmp_path, cameras=[{"name": f"c{i}", "source": source} for i, source in enumerate(sources)])
    said = good("camera c0", "it said: open sesame, rtsp://root:swordfish@127.0.0.1/")
    write_report(tmp_path / "report", path, [said])
    text = (tmp_path / "report").read_text()
    assert "== versions ==\nspoton-edge " in text
    assert "camera c0: it said: ***" in text
    assert "cameras:" in text
    for secret in ("sesame", "swordfish", "abracadabra"):
        assert secret not in text
    assert (tmp_path / "report").stat().st_mode & 0o077 == 0


def test_the_properties_of_a_unit_are_those_that_say_what_it_may_do() -> None:
    text = (
        Path(__file__).parents[1] / "systemd" / "spoton-edge.service"
    ).read_text() + "\n# drop-in\n[Service]\nExecStart=\nMemoryMax=1G\n"
    properties, program = sandbox.parse(text)
    assert program == "/usr/bin/spoton-edge"
    assert {"User=spoton-edge", "NoNewPrivileges=yes", "CapabilityBoundingSet="} <= set(properties)
    assert [line for line in properties if line.startswith("MemoryMax")] == ["MemoryMax=4G", "MemoryMax=1G"]
    assert not [line for line in properties if line.startswith(("Exec", "Type", "Restart", "Watchdog", "#", "After"))]


def test_a_site_is_examined_by_the_unit_that_runs_it(tmp_path: Path) -> None:
    assert unit_of(Path("/etc/spoton-edge/site.yaml")) == "spoton-edge.service"
    assert unit_of(Path("/etc/spoton-edge/roof.yaml")) == "spoton-edge@roof.service"
    with pytest.raises(UsageError, match="no unit runs"):
        unit_of(tmp_path / "site.yaml")

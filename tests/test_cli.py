"""Every mistake of a user is a line and an exit code: the command line as a process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from spoton_edge import __version__
from spoton_edge.errors import ExitCode
from tests.clip import write_site

ROOT = Path(__file__).parents[1]


def spoton(*arguments: str | Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    options = ["--cache", str(cache)] if cache else []
    command = [sys.executable, "-m", "spoton_edge", *map(str, arguments), *options]
    with tempfile.TemporaryDirectory() as state:
        environment = os.environ | {"STATE_DIRECTORY": state}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def only_error(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr that is no log line."""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("INFO", "WARNING"))]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture
def site(tmp_path: Path, clip: Path, detector: str) -> Path:
    path = write_site(tmp_path, clip, detector)
    path.write_text(path.read_text().replace("ENDPOINT", f"ipc://{tmp_path}/tracks"))
    return path


def change(site: Path, **sections: object) -> None:
    content = yaml.safe_load(site.read_text())
    for name, values in sections.items():
        content[name] = values if isinstance(values, list) else {**content.get(name, {}), **values}  # type: ignore[dict-item]
    site.write_text(yaml.safe_dump(content))


def test_help_names_every_command_and_the_exit_codes() -> None:
    result = spoton("--help")
    assert result.returncode == ExitCode.STOPPED
    for verb in ("run", "check", "schema", "models", "watch", "demo"):
        assert f"\n    {verb} " in result.stdout
    assert "exit codes" in result.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    assert spoton("fly").returncode == ExitCode.USAGE


def test_version_is_the_packages() -> None:
    assert spoton("--version").stdout == f"spoton-edge {__version__}\n"


def test_the_shipped_example_lacks_nothing_but_its_files() -> None:
    result = spoton("check", ROOT / "calibration" / "example-site.yaml")
    assert result.returncode == ExitCode.USAGE
    faults = result.stderr.splitlines()
    assert faults
    assert all("no such" in fault for fault in faults), result.stderr


def test_check_prints_all_faults_at_once_with_line_and_remedy(site: Path) -> None:
    change(site, detector={"inptu": [416, 416]}, tracker={"high_score": 7})
    result = spoton("check", site)
    assert result.returncode == ExitCode.USAGE
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{site}:") for line in lines)
    assert "detector.inptu" in result.stderr
    assert "input" in result.stderr
    assert "tracker.high_score" in result.stderr


def test_check_show_prints_what_loads_again(site: Path, tmp_path: Path) -> None:
    shown = spoton("check", site, "--show")
    assert shown.returncode == ExitCode.STOPPED
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    assert spoton("check", again).returncode == ExitCode.STOPPED


def test_schema_is_json_schema_of_sites_and_messages() -> None:
    assert "cameras" in json.loads(spoton("schema").stdout)["properties"]
    assert {"tracks", "events", "site", "status"} <= set(json.loads(spoton("schema", "--messages").stdout))


def test_models_list_names_what_can_be_fetched(tmp_path: Path) -> None:
    result = spoton("models", "list", cache=tmp_path)
    assert result.returncode == ExitCode.STOPPED
    assert any(line.split()[:3] == ["yolox-nano", "detector", "absent"] for line in result.stdout.splitlines())


def test_an_unknown_model_is_one_line(tmp_path: Path) -> None:
    result = spoton("models", "fetch", "yolox-giga", cache=tmp_path)
    assert result.returncode == ExitCode.MISSING
    assert "yolox-giga" in only_error(result)


def test_a_model_that_was_not_fetched_is_fatal_and_says_the_command(site: Path, tmp_path: Path) -> None:
    change(site, detector={"model": "yolox-nano"})
    result = spoton("run", site, cache=tmp_path / "empty")
    assert result.returncode == ExitCode.MISSING
    assert f"spoton-edge models fetch yolox-nano --cache {tmp_path}/empty" in only_error(result)


def test_a_missing_site_file_is_one_line(tmp_path: Path) -> None:
    result = spoton("run", tmp_path / "absent.yaml")
    assert result.returncode == ExitCode.USAGE
    assert "absent.yaml" in only_error(result)


def test_a_missing_video_is_one_line(site: Path) -> None:
    content = yaml.safe_load(site.read_text())
    content["cameras"][1]["source"] = "absent.avi"
    change(site, cameras=content["cameras"])
    result = spoton("run", site, "--fast")
    assert result.returncode == ExitCode.USAGE
    assert "cameras[1].source: no such file" in only_error(result)
    assert "absent.avi" in only_error(result)
    assert only_error(result).removeprefix("error: ") == spoton("check", site).stderr.strip()


def test_a_truncated_video_is_used_as_far_as_it_goes_and_told(site: Path, clip: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.avi"
    short.write_bytes(clip.read_bytes()[:400_000])
    site.write_text(site.read_text().replace(str(clip), str(short)))
    result = spoton("run", site, "--fast")
    assert result.returncode == ExitCode.UNEXPECTED
    assert "Traceback" not in result.stderr
    assert "camera W: ended (breaks off after" in result.stderr
    assert "of 795 frames" in result.stderr


def test_a_video_cut_in_its_header_is_one_line(site: Path, clip: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.avi"
    short.write_bytes(clip.read_bytes()[:2000])
    site.write_text(site.read_text().replace(str(clip), str(short)))
    result = spoton("run", site, "--fast")
    assert result.returncode != 0
    assert "short.avi" in only_error(result)


def test_a_corrupt_model_is_one_line(site: Path, tmp_path: Path, detector: str) -> None:
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(Path(detector).read_bytes()[:100_000])
    change(site, detector={"model": str(corrupt)})
    result = spoton("run", site, "--fast")
    assert result.returncode == ExitCode.MISSING
    assert "corrupt.onnx" in only_error(result)


def test_a_typo_in_a_key_is_one_line_with_its_place_and_the_right_key(site: Path) -> None:
    site.write_text(site.read_text().replace("detector:", "detecter:"))
    result = spoton("run", site)
    assert result.returncode == ExitCode.USAGE
    line = only_error(result)
    number = 1 + site.read_text().splitlines().index("detecter:")
    assert f"{site}:{number}: detecter" in line
    assert "detector" in line.split("detecter", 1)[1]


def test_three_points_are_no_homography(site: Path) -> None:
    content = yaml.safe_load(site.read_text())
    content["cameras"][0]["ground"] = {"points": [[0, 0, 0, 0], [100, 0, 1, 0], [0, 100, 0, 1]]}
    change(site, cameras=content["cameras"])
    result = spoton("run", site)
    assert result.returncode == ExitCode.USAGE
    line = only_error(result)
    assert "cameras[0].ground.points" in line
    assert "4" in line


def test_an_endpoint_in_use_is_one_line(site: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        change(site, publish={"bind": [endpoint]})
        result = spoton("run", site, "--fast")
    assert result.returncode == ExitCode.USAGE
    assert endpoint in only_error(result)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_daemon_still_starts_ends_it_with_zero(number: signal.Signals, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    os.mkfifo(site)
    command = [sys.executable, "-m", "spoton_edge", "run", str(site)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, site.open("w"):
        # Opened here means that it is being read there: a daemon that waits for its config.
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == ExitCode.STOPPED
    assert said == ""


def test_a_fetch_that_is_ended_takes_its_client_along(tmp_path: Path) -> None:
    pip = tmp_path / "pip"
    pip.mkdir()
    pid = tmp_path / "pid"
    os.mkfifo(pid)
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text(
        f"import os, sys, time\nif 'download' in sys.argv:\n    open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(300)\n"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "spoton_edge", "models", "fetch", "yolox-nano", "--cache", str(cache)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        client = int(pid.read_text())
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(client, 0)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["map.txt", "absent/map.png", "folder.png"])
def test_a_demo_that_could_not_write_its_picture_says_so_before_it_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    result = spoton("demo", "--out", tmp_path / name, cache=tmp_path / "empty")
    assert result.returncode == ExitCode.USAGE
    assert name in only_error(result)
    assert not (tmp_path / "empty").exists()


def test_watch_on_what_is_no_endpoint_is_a_usage_error() -> None:
    result = spoton("watch", "nowhere")
    assert result.returncode == ExitCode.USAGE
    assert "nowhere" in only_error(result)


def test_output_into_a_closed_pipe_is_no_error() -> None:
    shell = shutil.which("sh")
    assert shell
    result = subprocess.run(
        [shell, "-c", f"'{sys.executable}' -m spoton_edge schema | head -n 1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""

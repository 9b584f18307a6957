"""One recording, read in Python, JavaScript and C, is the same people at the same places. `make test-clients` runs all
three; where a language is missing, its test is skipped and says what to do."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.messages import CAMERA_NUMBERS, CAPTURED_NS, encoder, people, site, status

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"
PLAYER = """
import sys
from spoton_edge.play import run
any_port = "tcp://127.0.0.1:0"
sys.exit(run(sys.argv[1], bind=[any_port], snapshot=any_port, wait_for_subscriber_s=30))
"""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 batches of people who come, go, stand on zero and cannot be placed."""
    by = encoder()
    lines = [by.site(site()).payload(1)]
    for batch in range(60):
        crowd = replace(people(batch % 7, 2, seed=batch), state=np.arange(batch % 7, dtype=np.uint8) % 3)
        crowd.xy[::3] = np.nan
        crowd.xy[1::5] = -0.0001
        lines.append(by.tracks(crowd, CAMERA_NUMBERS, CAPTURED_NS + batch, 10.0).payload(batch + 1))
        if batch % 20 == 0:
            lines.append(by.status(status()).payload(batch + 1))
    path = tmp_path_factory.mktemp("recording") / "lobby.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def expected(recording: Path) -> list[str]:
    lines = []
    for payload in map(json.loads, recording.read_text().splitlines()):
        for person in payload.get("tracks", ()):
            place = "- -" if person["x"] is None else f"{person['x']:.3f} {person['y']:.3f}"
            lines.append(f"{payload['seq']} {person['id']} {place} {person['state']}")
    return lines


@contextmanager
def played(recording: Path) -> Iterator[str]:
    """A recording that begins when somebody subscribes; gives its endpoint."""
    command = [sys.executable, "-c", PLAYER, str(recording)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as player:
        assert player.stderr is not None
        try:
            yield player.stderr.readline().split()[-1]
        finally:
            player.kill()


def read(recording: Path, *client: str) -> list[str]:
    wanted = expected(recording)
    with (
        played(recording) as endpoint,
        subprocess.Popen([*client, endpoint], stdout=subprocess.PIPE, text=True, cwd=ROOT) as reader,
    ):
        assert reader.stdout is not None
        try:
            return [reader.stdout.readline().rstrip("\n") for _ in wanted]
        finally:
            reader.kill()


def test_python_reads_the_recording(recording: Path) -> None:
    assert read(recording, sys.executable, str(CLIENTS / "subscriber.py")) == expected(recording)


def test_javascript_reads_the_recording(recording: Path) -> None:
    node = shutil.which("node")
    modules = ROOT / "build" / "clients" / "node_modules"
    if node is None or not (modules / "zeromq").is_dir():
        pytest.skip("no node, or no zeromq for it: make test-clients")
    assert read(recording, "env", f"NODE_PATH={modules}", node, str(CLIENTS / "subscriber.js")) == expected(recording)


def test_c_reads_the_recording(recording: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    probe = "#include <zmq.h>\n#include <cjson/cJSON.h>\n"
    libraries = ["-lzmq", "-lcjson"]
    if compiler is None or subprocess.run([compiler, "-E", "-"], input=probe.encode(), capture_output=True).returncode:
        pytest.skip("no C compiler, or no libzmq3-dev and libcjson-dev: make test-clients")
    program = tmp_path / "subscriber"
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run([compiler, *strict, str(CLIENTS / "subscriber.c"), "-o", str(program), *libraries], check=True)
    assert read(recording, str(program)) == expected(recording)

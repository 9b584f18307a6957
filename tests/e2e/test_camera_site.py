"""The daemon on four cameras of a real RTSP server: one absent at start, one lost and found, and no login anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from spoton_edge.client import Event, Message, Status, Subscriber, Tracks
from tests.e2e.daemon import Daemon, running
from tests.e2e.rtsp import RtspCamera, access_units, need_server

USER, PASSWORD = "gatekeeper", "p@ss:w/rd%20?"
CAMERAS = ("c0", "c1", "absent", "lost")


class Site:
    """Four cameras behind logins, and everything that the daemon and its verbs say of them."""

    def __init__(self, folder: Path, detector: str) -> None:
        units = access_units(folder / "units", "h264", range(60))
        self.cameras = {name: RtspCamera(units, login=f"{USER}:{PASSWORD}") for name in CAMERAS}
        self.heard: list[Message] = []
        self.said: list[str] = []
        self.path = folder / "site.yaml"
        sources = {name: camera.url.replace("rtsp://", "rtsp://{cred:door}@") for name, camera in self.cameras.items()}
        site = {
            "cameras": [{"name": name, "source": source} for name, source in sources.items()],
            "detector": {"model": detector, "input": [96, 64]},
            "publish": {"bind": ["ENDPOINT"], "snapshot": "ENDPOINT-snapshot"},
            "runtime": {"control": f"ipc://{folder}/control", "stall_s": 2},
        }
        self.path.write_text(yaml.safe_dump(site))

    def listen(self, subscriber: Subscriber, until: Callable[[Message], bool], within_s: float = 30.0) -> None:
        """Hear messages until one is as wanted."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            message = subscriber.receive(0.5)
            if isinstance(message, Message):
                self.heard.append(message)
                if until(message):
                    return
        pytest.fail(f"not heard within {within_s} s; the last: {self.heard[-1:]}")

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb and keep what it prints."""
        command = [sys.executable, "-m", "spoton_edge", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.said += [done.stdout, done.stderr]
        return done


@pytest.fixture
def site(tmp_path: Path, detector: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    need_server()
    (tmp_path / "door").write_text(f"{USER}:{PASSWORD}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    made = Site(tmp_path, detector)
    with ExitStack() as undo:
        for name, camera in made.cameras.items():
            undo.callback(camera.kill)
            if name != "absent":
                camera.start()
        yield made


def states(wanted: dict[str, str]) -> Callable[[Message], bool]:
    """Whether a message is a status that gives these cameras these states."""

    def given(message: Message) -> bool:
        said = {c["name"]: c["state"] for c in message.cameras} if isinstance(message, Status) else {}
        return wanted.items() <= said.items()

    return given


def lines_of(daemon: Daemon, camera: str) -> list[str]:
    """The states that the log tells of a camera, in order."""
    starts = f"camera {camera}: "
    return [line.split(starts)[1].split(" (")[0] for line in daemon.log.splitlines() if starts in line]


def test_the_daemon_tells_of_every_camera_that_fails_and_shows_no_login(site: Site, tmp_path: Path) -> None:
    with running(site.path, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:
        site.listen(subscriber, states({"c0": "live", "c1": "live", "absent": "offline", "lost": "live"}), 60.0)

        site.cameras["absent"].start()
        site.listen(subscriber, states(dict.fromkeys(CAMERAS, "live")))
        site.listen(subscriber, lambda message: isinstance(message, Tracks) and "absent" in message.captured)

        site.cameras["lost"].kill()
        site.listen(subscriber, states({"c0": "live", "c1": "live", "absent": "live", "lost": "offline"}))
        site.listen(subscriber, lambda message: isinstance(message, Tracks) and {"c0", "c1"} & message.captured.keys())

        running_site = str(tmp_path / "running.yaml")
        gone = site.verb("snapshot", running_site, "lost", str(tmp_path / "gone.jpg"))
        assert (gone.returncode, gone.stderr.count("\n")) == (1, 1)
        assert not (tmp_path / "gone.jpg").exists()
        taken = site.verb("snapshot", running_site, "c0", str(tmp_path / "c0.jpg"))
        assert taken.returncode == 0, taken.stderr
        assert site.verb("status", "--control", f"ipc://{tmp_path}/control").returncode == 0
        assert site.verb("check", "--show", running_site).returncode == 0

        site.cameras["lost"].start()
        site.listen(subscriber, states(dict.fromkeys(CAMERAS, "live")))
        watch = [sys.executable, "-m", "spoton_edge", "watch", "--json", daemon.endpoint]
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(40)]
            process.terminate()
        site.said += printed
        assert {"tracks", "status"} <= {json.loads(line)["kind"] for line in printed}
        assert daemon.stop() == 0
        log = daemon.log

    # One line and one event for each change, and none for the attempts in between.
    told = {name: lines_of(daemon, name) for name in CAMERAS}
    besides = ("has no calibration", "stamped by its sender reports")
    told = {name: [line for line in lines if not line.startswith(besides)] for name, lines in told.items()}
    assert told == {
        "c0": ["live"],
        "c1": ["live"],
        "absent": ["offline", "live"],
        "lost": ["live", "offline", "live"],
    }
    events = [message for message in site.heard if isinstance(message, Event) and message.event == "camera"]
    # The first of each may have been before this subscriber was there.
    assert [event.detail for event in events if event.camera == "lost"][-2:] == ["offline", "live"]
    assert [event.detail for event in events if event.camera == "absent"][-1:] == ["live"]
    assert sum(event.camera == "lost" for event in events) <= 3
    everything = "\n".join([log, *site.said, *(json.dumps(message.raw) for message in site.heard)])
    assert "***@" in log  # errors do name the source
    for secret in (USER, PASSWORD, "p%40ss", "w%2Frd"):
        assert secret not in everything


def test_a_refused_login_is_tried_again_at_once_on_reload(site: Site, tmp_path: Path) -> None:
    (tmp_path / "door").write_text(f"{USER}:{PASSWORD}, once\n")
    with running(site.path, tmp_path) as daemon, Subscriber(daemon.endpoint) as subscriber:
        site.listen(subscriber, states({"c0": "refused", "c1": "refused", "lost": "refused"}), 60.0)
        (tmp_path / "door").write_text(f"{USER}:{PASSWORD}\n")
        reloaded = site.verb("reload", "--control", f"ipc://{tmp_path}/control")
        assert reloaded.returncode == 0, reloaded.stderr
        site.listen(subscriber, states({"c0": "live", "c1": "live", "lost": "live"}))
        assert [site.cameras[name].clients for name in ("c0", "c1", "lost")] == [2, 2, 2]
        assert daemon.stop() == 0
        for secret in (USER, PASSWORD, "p%40ss"):
            assert secret not in "\n".join([daemon.log, *site.said])

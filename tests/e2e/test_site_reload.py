"""Reloads of a daemon that watches four cameras of real RTSP servers: those that are not touched notice nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from spoton_edge.client import Event, Subscriber, Tracks
from spoton_edge.errors import ExitCode
from tests.e2e.daemon import Daemon, running
from tests.e2e.rtsp import RtspCamera, access_units, need_server
from tests.steady import SIZE, camera, write_detector, write_site

NAMES = ("c0", "c1", "c2", "c3")
People = dict[tuple[str, bool], tuple[int, int]]  # camera, whether the right one of its two -> id, track id


class Site:
    """Five cameras, the last of which is not in the site yet, and the file that the daemon reads."""

    def __init__(self, folder: Path) -> None:
        units = access_units(folder / "units", "h264", range(60), size=(SIZE, SIZE))
        self.folder = folder
        self.servers = {name: RtspCamera(units) for name in (*NAMES, "c4")}
        self.model = write_detector(folder)
        self.write(NAMES, "site.yaml", endpoint="ENDPOINT")

    def write(
        self, names: tuple[str, ...], file: str = "running.yaml", endpoint: str = "", **moved: float
    ) -> list[dict[str, Any]]:
        """The cameras' views lie ten metres apart; moved: metres by which one lies elsewhere."""
        endpoint = endpoint or f"ipc://{self.folder}/tracks"
        cameras = [
            camera(name, 10.0 * number + moved.get(name, 0.0), self.servers[name].url)
            for number, name in enumerate(names)
        ]
        publish = {"bind": [endpoint], "snapshot": f"{endpoint}-snapshot"}
        runtime = {"control": f"ipc://{self.folder}/control"}
        write_site(self.folder / file, self.model, cameras, publish=publish, runtime=runtime)
        return cameras

    def reload(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spoton_edge", "reload", "--control", f"ipc://{self.folder}/control"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    need_server()
    made = Site(tmp_path)
    with ExitStack() as undo:
        for server in made.servers.values():
            undo.callback(server.kill)
            server.start()
        yield made


def people(daemon: Daemon, names: tuple[str, ...], heard: Callable[[Tracks], None] = lambda tracks: None) -> People:
    """Who is seen by these cameras, as soon as all are in one message."""
    deadline = time.monotonic() + 60.0
    seen: People = {}
    with Subscriber(daemon.endpoint) as subscriber:
        while time.monotonic() < deadline:
            message = subscriber.receive(1.0)
            if not isinstance(message, Tracks):
                continue
            heard(message)
            # A camera that is not in a message has sent nothing since the last.
            seen |= {
                (view.camera, view.box[0] > SIZE / 3): (person.id, view.track_id)
                for person in message.tracks
                for view in person.views
                if view.box is not None and view.camera in message.captured
            }
            if {camera for camera, _ in seen} >= set(names) and len(seen) >= 2 * len(names):
                return seen
    raise AssertionError(f"not all of {names} were seen: {seen}\n{daemon.log}")


def of(seen: People, *names: str) -> People:
    return {key: value for key, value in seen.items() if key[0] in names}


def test_cameras_that_a_reload_does_not_touch_keep_connection_reader_and_ids(site: Site, tmp_path: Path) -> None:
    with running(tmp_path / "site.yaml", tmp_path) as daemon:
        before = people(daemon, NAMES)
        assert len({identity for identity, _ in before.values()}) == 8

        # A good one that changes numbers.
        site.write(NAMES)
        text = (tmp_path / "running.yaml").read_text()
        (tmp_path / "running.yaml").write_text(text + "tracker: {buffer_s: 2.0}\n")
        done = site.reload()
        assert (done.returncode, done.stdout) == (0, "tracker.buffer_s: changed\n")
        assert people(daemon, NAMES) == before

        # A bad one: refused whole, with the reason, by the verb and by the signal.
        (tmp_path / "running.yaml").write_text(text.replace("detector:", "detecter:") + "tracker: {buffer_s: 3.0}\n")
        done = site.reload()
        assert done.returncode == ExitCode.USAGE
        assert "detecter" in done.stderr
        assert "Traceback" not in done.stderr
        with Subscriber(daemon.endpoint) as subscriber:
            assert subscriber.receive(10.0) is not None
            daemon.process.send_signal(signal.SIGHUP)
            while not (isinstance(message := subscriber.receive(10.0), Event) and message.event == "reload"):
                assert message is not None
            assert "detecter" in message.raw["detail"]
        assert people(daemon, NAMES) == before

        # A camera more.
        site.write((*NAMES, "c4"))
        done = site.reload()
        assert (done.returncode, done.stdout) == (0, "camera c4: added\ntracker.buffer_s: changed\n")
        during = people(daemon, (*NAMES, "c4"))
        assert of(during, *NAMES) == before
        assert {identity for identity, _ in of(during, "c4").values()}.isdisjoint(i for i, _ in before.values())

        # Another homography for one of them.
        site.write((*NAMES, "c4"), c3=50.0)
        assert site.reload().stdout == "camera c3: ground changed\n"
        places: dict[int, float] = {}

        def note(message: Tracks) -> None:
            places.update({person.id: person.x for person in message.tracks if person.x is not None})

        deadline = time.monotonic() + 30.0
        while not any(x > 75.0 for x in places.values()):
            assert time.monotonic() < deadline, places
            after = people(daemon, (*NAMES, "c4"), note)
        assert of(after, "c0", "c1", "c2", "c4") == of(during, "c0", "c1", "c2", "c4")
        # The tracks of the one that was moved go on, too: its reader was not touched.
        assert {track for _, track in of(after, "c3").values()} == {track for _, track in of(during, "c3").values()}

        assert [site.servers[name].clients for name in (*NAMES, "c4")] == [1] * 5
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log

"""Boxes without cameras: what a daemon would publish of people who walk, the programs that make boxes one site."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import yaml

from spoton_edge.publisher import Publisher
from spoton_edge.types import CameraDescription, GlobalTracks, SiteDescription, TrackState, Views
from spoton_edge.wire import Clock, Encoder
from tests.e2e.nats import Server

AREA = ((0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (0.0, 10.0))


class Program:
    """`spoton-edge VERB FILE` as a process, whose clock may be ahead of ours; `log` is its stderr."""

    def __init__(self, server: Server | None, log_file: Path, *arguments: str | Path, ahead_s: float = 0.0) -> None:
        prefix = [] if server is None else server.place.prefix
        program = ["tests.e2e.wrong_clock", str(ahead_s)] if ahead_s else ["spoton_edge"]
        self._command = [*prefix, sys.executable, "-m", *program, "--log-level", "debug", *map(str, arguments)]
        self._log_file = log_file
        self.process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as log:
            environment = os.environ | {"PYTHONUNBUFFERED": "1"}
            return subprocess.Popen(self._command, stderr=log, env=environment, cwd=Path(__file__).parents[2])

    @property
    def log(self) -> str:
        return self._log_file.read_text(errors="replace")

    def again(self) -> None:
        """Kill it, as by kill -9, and start it again."""
        self.process.kill()
        self.process.wait()
        self.process = self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Daemon:
    """What subscribers see of a box's daemon, of people who are where they are put. Its clock may be ahead of ours."""

    def __init__(self, site: str, box: str, folder: Path, *, ahead_s: float = 0.0) -> None:
        self.box = box
        self.run = os.urandom(8).hex()
        clock = Clock(time.monotonic_ns, lambda: time.time_ns() + round(1e9 * ahead_s))
        self._encoder = Encoder(site, box, self.run, ("c1",), clock=clock)
        self.endpoint, self.snapshot = f"ipc://{folder}/{box}", f"ipc://{folder}/{box}-snapshot"
        self._publisher = Publisher(self._encoder, [self.endpoint], snapshot=self.snapshot)
        self._publisher.publish(self._encoder.site(SiteDescription([CameraDescription("c1", (1280, 720), None, AREA)])))

    def show(self, people: Mapping[int, Sequence[float]]) -> None:
        """Publish where people are now, by id (x, y) m on the box's ground."""
        count, now_ns = len(people), time.monotonic_ns()
        tracks = GlobalTracks(
            global_id=np.array(sorted(people), np.int64),
            xy=np.array([people[number] for number in sorted(people)], np.float64).reshape(-1, 2),
            velocity=np.zeros((count, 2)),
            cov=np.tile([0.01, 0.0, 0.01], (count, 1)),
            state=np.full(count, TrackState.VISIBLE, np.uint8),
            age_s=np.ones(count),
            best_view=np.zeros(count, np.int16),
            views=Views(
                np.arange(count, dtype=np.int32),
                np.zeros(count, np.int16),
                np.arange(1, count + 1, dtype=np.int64),
                np.zeros((count, 4), np.float32),
                np.ones(count, np.float32),
            ),
        )
        self._publisher.publish(self._encoder.tracks(tracks, np.zeros(1, np.int16), np.array([now_ns]), 0.0))

    def close(self) -> None:
        self._publisher.close()


def uplink_file(path: Path, daemon: Daemon, site: str, leaf: Server, **uplink: Any) -> Path:
    """A box's site file, for its uplink."""
    data = {
        "site": site,
        "box": daemon.box,
        "cameras": [{"name": "c1", "source": "test:"}],
        "publish": {"bind": [daemon.endpoint], "snapshot": daemon.snapshot},
        "uplink": {"server": leaf.own_url, "identities": f"{daemon.endpoint}-identities", "keep_mb": 16, **uplink},
    }
    path.write_text(yaml.safe_dump(data))
    return path


def hub_file(
    path: Path, site: str, server: str | list[str], boxes: Sequence[str], *, domain: str | None = None, **more: Any
) -> Path:
    """The file of the site service; domain: of all boxes, where they have no leaf nodes."""
    listed = [{"name": box} if domain is None else {"name": box, "domain": domain} for box in boxes]
    path.write_text(yaml.safe_dump({"site": site, "server": server, "boxes": listed, **more}))
    return path

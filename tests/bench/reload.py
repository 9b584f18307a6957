"""What a reload costs the cameras that it does not touch: the loop's time, their frames, their people's ids."""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge.client import Subscriber, Tracks
from spoton_edge.errors import SpotOnError
from tests.steady import camera
from tests.test_reloading import Site, running

UNTOUCHED = [camera(name, 10.0 * number, "test:64x64@15") for number, name in enumerate(("k1", "k2", "k3", "k4"))]
OTHER, FLOOR = camera("other", 50.0, "test:64x64@15"), camera("other", 60.0, "test:64x64@15")
TIMES = 20
SETTLE_S = 0.3  # between two reloads
Owners = dict[tuple[str, int], int]  # (camera, track) -> id


class Hearing(threading.Thread):
    """Who is who in the untouched cameras, and how often that changed."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site = site
        self.owners: Owners = {}
        self.changed = 0
        self.start()

    def run(self) -> None:
        names = {section["name"] for section in UNTOUCHED}
        with Subscriber(self._site.endpoint) as subscriber:
            for message in subscriber:
                for person in message.tracks if isinstance(message, Tracks) else ():
                    for view in person.views:
                        if view.camera in names:
                            known = self.owners.setdefault((view.camera, view.track_id), person.id)
                            self.changed += known != person.id


def dropped(site: Site) -> int:
    """Frames of the untouched cameras that nobody had time for."""
    names = {section["name"] for section in UNTOUCHED}
    return sum(status.dropped for status in site.service.capture.status() if status.name in names)


def reloads() -> dict[str, Callable[[Site, int], Any]]:
    """Kinds of reload, each done so many times."""
    return {
        "nothing changed": lambda site, _: site.reload([*UNTOUCHED, OTHER]),
        "refused": lambda site, _: site.reload([*UNTOUCHED, OTHER], tracker={"high_score": 7.0}),
        "numbers": lambda site, turn: site.reload([*UNTOUCHED, OTHER], identity={"forget_s": 60.0 + turn}),
        "another floor": lambda site, turn: site.reload([*UNTOUCHED, (OTHER, FLOOR)[turn % 2]]),
        "a camera goes, comes": lambda site, turn: site.reload([*UNTOUCHED, *[OTHER][: turn % 2]]),
    }


def main() -> None:
    logging.disable()  # what is refused is meant to be
    with tempfile.TemporaryDirectory(prefix="spoton") as folder, running(Path(folder)) as site:
        site.reload([*UNTOUCHED, OTHER])
        hearing = Hearing(site)
        take, spent = site.service._take, list[float]()

        def timed(update: Any) -> None:
            began = time.thread_time()
            take(update)
            spent.append(1e3 * (time.thread_time() - began))

        site.service._take = timed  # type: ignore[method-assign]
        time.sleep(2.0)
        lost = dropped(site)
        time.sleep(TIMES * SETTLE_S)
        print(f"four untouched cameras at 15 Hz; without a reload for {TIMES * SETTLE_S:.0f} s they drop ", end="")
        print(f"{dropped(site) - lost} frames")
        for kind, reload in reloads().items():
            lost = dropped(site)
            spent.clear()
            for turn in range(TIMES):
                try:
                    reload(site, turn)
                except SpotOnError:
                    assert kind == "refused"
                time.sleep(SETTLE_S)
            cost = f"{np.median(spent):.2f} ms, at most {max(spent):.2f}" if spent else "nothing"
            print(f"{TIMES} x {kind}: the loop spends {cost}; {dropped(site) - lost} frames dropped")
        print(f"of {len(hearing.owners)} people in the untouched cameras, {hearing.changed} sightings with another id")


if __name__ == "__main__":
    main()

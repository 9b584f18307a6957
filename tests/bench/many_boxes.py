"""Many boxes, one site: cost, latency, rebuilding, and how well people are known again.

    python -m tests.bench.many_boxes

Boxes of four cameras and five people each stand along a simulated street (`tests/site_world.py`). The first table is of
the service's knowledge alone, CPU time a second of the site; the second of the whole: all boxes' messages written to a
real nats-server at the pace of the clock, read, decided and answered by `spoton-edge site` as a process of its own
(`nice -n -10` as root: other work on the machine stands back). That one is killed when the boxes have told for longer
than it reads when it starts anew. CMC is split over two boxes of two cameras each, in every way, with either half of
its four frames a second told, where boxes share how tall people are read and where not; the gate is 1 m, as in
tests/bench/identity.py. How much of these figures is chance is shown by the same with another 5 % of the detections
left out at a time. Blind handoffs are between boxes 6 m apart, of people some of whom look like somebody else. How the
cost grows is drawn into build/bench/many_boxes.png.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import nats
import numpy as np
from nats.aio.msg import Msg

from spoton_edge.site import messages, streams
from spoton_edge.site.identity import SiteIdentity
from tests.bench.identity import SHARED
from tests.e2e.boxes import Program, hub_file
from tests.e2e.nats import Site
from tests.e2e.networks import network
from tests.site_split import PHASES, split_score
from tests.site_world import START_S, Street, mistaken, play

BOXES = (10, 25, 50, 75, 100)
SPLITS = ([[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]])
DRAWS = 12
SECONDS = 60.0
LIVE_S = 165.0  # longer than what the service reads when it starts anew
PICTURE = Path(__file__).resolve().parents[2] / "build" / "bench" / "many_boxes.png"


def main() -> None:
    costs = [cost(boxes) for boxes in BOXES]
    print("boxes  people  CPU ms a second  us a person")
    for boxes, (people, ms) in zip(BOXES, costs, strict=True):
        print(f"{boxes:5}  {people:6}  {ms:15.1f}  {1e3 * ms / people:11.1f}  {'#' * round(ms)}")
    slope = np.polyfit(np.log(BOXES), np.log([ms for _, ms in costs]), 1)[0]
    print(f"CPU time grows as boxes to the power {slope:.2f}")
    draw([ms for _, ms in costs])
    print(f"drawn: {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE.name}")
    print(asyncio.run(live(100)))
    if (SHARED / "data" / "cmc").is_dir():
        for sequence in ("CMC1", "CMC2"):
            for boxes in ([[0, 1, 2, 3]], *SPLITS, *([box] for ways in SPLITS for box in ways)):
                for shares in (False, True)[: len(boxes)]:
                    print(split(sequence, boxes, shares=shares))
    for share in (0.0, 0.005, 0.02, 0.05):
        print(blind(share))


def split(sequence: str, boxes: Sequence[Sequence[int]], *, shares: bool) -> str:
    """IDF1 of a recorded site, as recorded and with a part of the detections left out."""
    phases = range(PHASES if len(boxes) > 1 else 1)
    scores = " and ".join(f"{100 * split_score(sequence, boxes, phase, shares=shares):.1f}" for phase in phases)
    spoiled = [100 * split_score(sequence, boxes, phase, k, shares=shares) for phase in phases for k in range(DRAWS)]
    of = f"on average {np.mean(spoiled):.1f}, from {min(spoiled):.1f} to {max(spoiled):.1f}"
    cameras = " | ".join(" ".join(str(camera + 1) for camera in box) for box in boxes)
    cameras += ", which share how tall people are read" if shares else ""
    return f"{sequence}: cameras {cameras}: IDF1 {scores}; with detections left out {of}, of {len(spoiled)} draws"


def cost(boxes: int) -> tuple[int, float]:
    """People on the site, and CPU ms of the service's knowledge a second."""
    street = Street(boxes, gap_m=-2.0)
    identity, spent = SiteIdentity(street.rules), 0.0
    for now, told, _ in street.steps(SECONDS):
        start = time.thread_time()
        for message in told:
            identity.take(message, now + 0.03)
        for k in range(5):
            identity.advance(now + 0.05 + 0.1 * k)
        spent += time.thread_time() - start
    return boxes * street.people, 1e3 * spent / SECONDS


def draw(costs_ms: Sequence[float]) -> None:
    """The plot of CPU time over boxes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    boxes = np.array(BOXES)
    axes.plot(boxes, costs_ms, "o-", label="measured")
    axes.plot(boxes, costs_ms[-1] / boxes[-1] * boxes, ":", color="grey", label="in proportion")
    axes.set(xlim=(0, None), ylim=(0, None), xticks=boxes, xlabel="boxes, five people each")
    axes.set(ylabel="CPU time of the site service a second, ms", title="who is whom on a site")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(PICTURE, dpi=120, bbox_inches="tight")
    plt.close(figure)


async def live(boxes: int) -> str:
    """The whole, at the pace of the clock: from the birth on a box to the answer, and what the service costs."""
    street = Street(boxes, gap_m=-2.0)
    heard: dict[tuple[str, int], float] = {}
    known: dict[tuple[str, int], int] = {}

    async def hear(message: Msg) -> None:
        for row in json.loads(message.data).get("identities", ()):
            heard.setdefault((row["box"], row["id"]), time.time())
            known[row["box"], row["id"]] = row["site_id"]

    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        servers = Site(undo.enter_context(network()), folder / "nats").start()
        undo.callback(servers.close)
        client = await nats.connect(servers.hub.url, pending_size=64 << 20)
        js = client.jetstream()
        for name in street.names:
            await streams.ensure_box(js, "street", name, keep_bytes=4 << 20, keep_s=3600.0, looks_s=120.0)
        file = folder / "hub.yaml"
        hub_file(file, "street", servers.hub.own_url, street.names, domain="hub")
        await client.subscribe(messages.identities("street"), cb=hear)
        service = undo.enter_context(Program(servers.hub, folder / "site.log", "site", file))
        while "known again" not in service.log:
            await asyncio.sleep(0.1)
        await asyncio.sleep(6.0)  # until the hub's stream has found its sources
        born: dict[tuple[str, int], float] = {}
        began, before = time.time() + 0.5, cpu_s(service.process.pid)
        for now, told, _ in street.steps(LIVE_S):
            due = began + now - START_S
            await asyncio.sleep(max(0.0, due - time.time()))
            for message in told:
                raw = json.loads(messages.encode(message)) | {"time": round(due, 3)}
                name = messages.subject("street", message.head.box, messages.kind_of(message))
                await client.publish(name, json.dumps(raw).encode())
                for row in raw.get("tracks", ()):
                    born.setdefault((message.head.box, row[0]), due)
            await client.flush()
        used = cpu_s(service.process.pid) - before
        await asyncio.sleep(2.0)
        waits = [heard[key] - when for key, when in born.items() if key in heard and when > began + 2.0]
        missing = len([key for key in born if key not in heard])
        before_kill, began = dict(known), time.monotonic()
        service.again()
        while service.log.count("known again") < 2:
            await asyncio.sleep(0.1)
        took_s = time.monotonic() - began
        reading = service.log.rpartition("known again in ")[2].partition(" s")[0]
        await asyncio.sleep(2.0)  # for what it may have to correct
        renamed = len([key for key, site_id in before_kill.items() if known[key] != site_id])
        await client.close()
    p50, p95 = (1e3 * float(np.quantile(waits, q)) for q in (0.5, 0.95))
    return (
        f"live, {boxes} boxes, {len(born)} people of boxes: {used / LIVE_S:.2f} of a core; birth to answer p50 "
        f"{p50:.0f} p95 {p95:.0f} ms, {missing} without; everything known again {took_s:.1f} s after kill -9 and a new "
        f"start, of which {reading} s to connect, read and decide; {renamed} have another id"
    )


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def blind(look_alikes: float) -> str:
    """How often people are known again over blind stretches, and how often mistaken."""
    known = wrong = arrivals = 0
    for seed in range(3):
        street = Street(10, gap_m=6.0, dimension=64, look_alikes=look_alikes, seed=seed)
        _, truth, told = play(street, 180.0)
        answers = {(binding.box, binding.run, binding.id): binding.site_id for binding in told}
        first: dict[int, tuple[str, str, int]] = {}
        for key, person in truth.items():
            if person not in first:
                first[person] = key
            elif key[0] != first[person][0] and key in answers:
                arrivals += 1
                known += answers[key] == answers.get(first[person])
            first[person] = key
        wrong += mistaken(answers, truth)
    return (
        f"blind, {100 * look_alikes:.1f} % look-alikes: of {arrivals} who came to another box "
        f"{100 * known / arrivals:.1f} % keep their id, {100 * wrong / arrivals:.1f} % take another's"
    )


if __name__ == "__main__":
    main()

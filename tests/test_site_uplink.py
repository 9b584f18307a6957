"""What an uplink makes of its daemon's messages, and what it does where nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.errors import ServiceUnavailableError

from spoton_edge import config
from spoton_edge.association import Associator
from spoton_edge.control import ControlServer
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.messages import Message, parse
from spoton_edge.site import messages
from spoton_edge.site.clock import Offset
from spoton_edge.site.digest import Digest, Pose
from spoton_edge.site.messages import BoxEvent, BoxMessage, Look, Sights, Statures
from spoton_edge.site.outbox import Letter, Outbox
from spoton_edge.site.streams import kept_s as kept_for
from spoton_edge.site.uplink import Uplink
from tests.world import OracleTracker, World, room, wanderers

START = 1_800_000_000.0
DOOR = {"door": [(4.0, 0.0), (6.0, 0.0), (6.0, 2.0), (4.0, 2.0)]}


def tracks(time: float, people: dict[int, tuple[float, float]], run: str = "aa", state: str = "visible") -> Message:
    rows = [
        {
            "id": number,
            "x": x,
            "y": y,
            "vx": 0.0,
            "vy": 0.0,
            "cov": [0.01, 0.0, 0.01],
            "state": state,
            "age_s": 1.0,
            "best_view": None,
            "views": [],
        }
        for number, (x, y) in people.items()
    ]
    envelope = {"v": 1, "kind": "tracks", "site": "s", "box": "b", "run": run, "seq": 1, "time": time}
    message = parse({**envelope, "captured": {"c1": START + time}, "age_ms": 0.0, "tracks": rows})
    assert message is not None
    return message


def digest(pose: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Digest:
    return Digest("b", "0a", pose, DOOR, Offset())


def told(box: Digest, message: Message) -> list[BoxMessage]:
    return list(box.take(message, 0.0))


def events(messages: Iterator[BoxMessage] | list[BoxMessage]) -> list[str]:
    return [message.event for message in messages if isinstance(message, BoxEvent)]


def test_positions_are_told_twice_a_second_at_the_same_times_on_every_box() -> None:
    box = digest()
    times = []
    for step in range(100):
        message = tracks(0.05 + 0.066 * step, {1: (1.0, 1.0)})
        times += [m.head.time - START for m in told(box, message) if isinstance(m, Sights)]
    assert 12 <= len(times) <= 15
    assert all(time % 0.5 < 0.07 for time in times[1:])


def test_births_deaths_and_crossings_are_told_once_each() -> None:
    box = digest()
    heard = []
    for step in range(60):
        time = 0.1 * step
        where = {1: (0.2 + 0.2 * step, 1.0)} if step < 35 else {}
        heard += [
            (event.event, event.id, event.border)
            for event in told(box, tracks(time, where))
            if isinstance(event, BoxEvent)
        ]
    assert heard == [
        ("box", -1, None),
        ("born", 1, None),
        ("entered", 1, "door"),
        ("left", 1, "door"),
        ("died", 1, None),
    ]


def test_who_is_new_is_told_of_at_once_with_everybody_else() -> None:
    box = digest()
    told(box, tracks(0.0, {1: (1.0, 1.0)}))
    (born, sights) = told(box, tracks(0.1, {1: (1.0, 1.0), 2: (2.0, 2.0)}))
    assert isinstance(born, BoxEvent)
    assert isinstance(sights, Sights)
    assert sights.id.tolist() == [1, 2]


def test_numbers_of_a_kind_leave_none_out() -> None:
    box = digest()
    numbers: dict[str, list[int]] = {"events": [], "tracks": []}
    for step in range(50):
        for message in told(box, tracks(0.3 * step, {step // 10: (0.2 * step, 1.0)})):
            numbers[messages.kind_of(message)].append(message.head.seq)
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def test_a_box_stands_on_the_site_as_its_pose_says() -> None:
    (_, born, _) = told(digest((100.0, 50.0, 90.0)), tracks(0.0, {1: (3.0, 1.0)}))
    assert isinstance(born, BoxEvent)
    assert born.xy == pytest.approx((99.0, 53.0))


@given(st.floats(-360, 360), st.floats(0.001, 1), st.floats(0.001, 1), st.floats(-0.99, 0.99))
def test_a_turned_covariance_is_as_large_as_before(heading: float, xx: float, yy: float, along: float) -> None:
    xy = along * (xx * yy) ** 0.5
    turned = Pose((0.0, 0.0, heading)).spread(np.array([[xx, xy, yy]]))[0]
    assert turned[0] + turned[2] == pytest.approx(xx + yy)
    assert turned[0] * turned[2] - turned[1] ** 2 == pytest.approx(xx * yy - xy * xy, abs=1e-9)


def test_a_new_run_of_the_daemon_begins_anew() -> None:
    box = digest()
    told(box, tracks(0.0, {1: (1.0, 1.0)}))
    messages = told(box, tracks(0.1, {1: (1.0, 1.0)}, run="bb"))
    assert events(messages) == ["box", "born"]
    assert {message.head.run for message in messages} == {"bb"}


def test_the_shortest_round_trip_knows_the_time_best() -> None:
    offset = Offset(lambda: 100.0)
    assert offset.at(0.0) is None
    offset.measure(0.0, 105.4, 1.0)
    offset.measure(2.0, 107.01, 2.02)
    offset.measure(4.0, 109.3, 4.6)
    found = offset.at(4.6)
    assert found is not None
    assert found[0] == pytest.approx(5.0)
    assert 0.01 <= found[1] <= 0.011


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_clock_that_is_set_is_off_by_so_much_less_at_once(before: float, set_by: float) -> None:
    ahead = [before]
    offset = Offset(lambda: ahead[0])
    offset.measure(10.0, 500.0, 10.02)
    off = offset.at(11.0)
    ahead[0] += set_by
    now_off = offset.at(11.0)
    assert off is not None
    assert now_off is not None
    assert now_off[0] == pytest.approx(off[0] - set_by, abs=1e-6)
    assert now_off[1] == off[1]


class Leaf:
    """A leaf node whose disk may be full."""

    def __init__(self) -> None:
        self.full = False
        self.written: list[str] = []

    async def publish(self, subject: str, payload: bytes, timeout: float, headers: dict[str, str]) -> None:
        if self.full:
            raise ServiceUnavailableError(description="insufficient resources")
        self.written.append(headers["Nats-Msg-Id"])


def test_positions_go_first_where_nothing_can_be_written_and_the_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spoton_edge.site.outbox.AGAIN_S", 0.0)
    gaps: list[int] = []

    async def run() -> tuple[Leaf, Outbox]:
        leaf = Leaf()
        leaf.full = True
        outbox = Outbox(leaf, room_bytes=10_000)  # type: ignore[arg-type]
        writing = asyncio.ensure_future(outbox.run(gaps.append))
        for number in range(100):
            outbox.put(Letter("tracks", "t", bytes(200), f"tracks/{number}"))
            outbox.put(Letter("events", "e", bytes(50), f"events/{number}"))
            await asyncio.sleep(0)
        assert outbox.failing
        leaf.full = False
        while len(outbox):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        return leaf, outbox

    leaf, outbox = asyncio.run(run())
    events = [name for name in leaf.written if name.startswith("events")]
    positions = [name for name in leaf.written if name.startswith("tracks")]
    assert events == [f"events/{number}" for number in range(100)]
    assert positions == [f"tracks/{number}" for number in range(100 - len(positions), 100)]
    assert outbox.lost == {"tracks": 100 - len(positions)}
    assert sum(gaps) == outbox.lost.total()
    assert not outbox.failing


def test_what_a_leaf_node_keeps_is_told_by_the_measured_rate() -> None:
    kept_s = kept_for(1 << 20, 7200.0, {"tracks": 1024.0, "events": 64.0})
    assert kept_s == {"tracks": 512.0, "events": 7200.0}, "half of the bytes each, and no longer than is asked for"
    assert kept_for(1 << 20, 7200.0, {}) == {"tracks": 7200.0, "events": 7200.0}


def test_looks_are_asked_of_the_daemon_and_told_once_each_and_statures_with_every_report(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(
        "site: s\nbox: b\ncameras: [{name: c1, source: 'test:'}]\n"
        f"runtime: {{control: 'ipc://{tmp_path}/control'}}\n"
        f"uplink: {{server: nats://127.0.0.1, share_appearance: true, identities: 'ipc://{tmp_path}/identities'}}\n"
    )
    vectors = {1: (10, [0.6, 0.8]), 2: (20, [0.0, 1.0]), 9: (30, [1.0, 0.0])}  # the last is not in sight

    def looks(after_ns: int) -> dict[str, Any]:
        fresh = {number: look for number, look in vectors.items() if look[0] > after_ns}
        told = [{"id": n, "seen_ns": seen_ns, "vector": v} for n, (seen_ns, v) in fresh.items()]
        return {"looks": told, "statures": [{"id": n, "tall_m": 1.6 + 0.1 * n} for n in vectors]}

    letters: list[Letter] = []

    class Box:
        put = letters.append

    async def run() -> None:
        uplink = Uplink(config.load(site_file), server="nats://127.0.0.1")
        sharing = asyncio.ensure_future(uplink._share_looks(Box()))  # type: ignore[arg-type]
        for report, letters_then in enumerate((3, 4)):
            list(uplink._digest.take(tracks(0.5 * report, {1: (1.0, 1.0), 2: (2.0, 2.0)}), 0.0))
            uplink._reported.set()
            while len(letters) < letters_then:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.7)
        sharing.cancel()
        uplink._publisher.close()

    with ControlServer(f"ipc://{tmp_path}/control", {"looks": looks}):
        asyncio.run(run())
    told = [messages.parse(letter.subject, letter.payload) for letter in letters]
    assert [(look.id, look.vector.round(1).tolist()) for look in told if isinstance(look, Look)] == [
        (1, [pytest.approx(0.6), pytest.approx(0.8)]),
        (2, [0.0, 1.0]),
    ]
    assert [(read.head.time, read.tall_m) for read in told if isinstance(read, Statures)] == [
        (START + 0.5 * report, {1: 1.7, 2: 1.8}) for report in (0, 1)
    ]


def test_an_associator_tells_what_people_looked_like_last_and_how_tall_they_have_been_read() -> None:
    rng = np.random.default_rng(0)
    cameras = room(2)
    walkers = [
        replace(walker, height_m=1.55 + 0.15 * k) for k, walker in enumerate(wanderers(3, 6.0, rng, stay_s=(6.0, 8.0)))
    ]
    world = World(cameras, [replace(w, knots=w.knots - [w.knots[0, 0] + 2.0, 0, 0]) for w in walkers], seconds=5.0)
    associator = Associator([GroundPlane(c.homography, c.image_size, projection=c.projection) for c in cameras])
    tracker, people = OracleTracker(), None
    for seen in world.steps():
        tracklets, _ = tracker.update(seen)
        step = np.arange(2, dtype=np.int16), np.full(2, seen.captured_ns)
        people, _ = associator.update(*step, associator.site.project(tracklets))
    assert people is not None
    looks = associator.looks_since(-1)
    assert looks
    assert set(looks) <= set(people.global_id.tolist())
    for vector, _ in looks.values():
        assert max(float(vector @ walker.appearance) for walker in walkers) > 0.9
    tall_m = associator.readings()
    assert tall_m.keys() <= set(people.global_id.tolist())
    np.testing.assert_allclose(np.diff(sorted(tall_m.values())), 0.15, atol=0.06)
    assert associator.readings() == {}, "each reading is told once"
    newest = max(when for _, when in looks.values())
    assert associator.looks_since(newest) == {}

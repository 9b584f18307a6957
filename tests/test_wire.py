import json
from dataclasses import replace
from typing import Any

import jsonschema
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

from spoton_edge import codecs, wire
from spoton_edge import people as listing
from spoton_edge.types import Delivery, Event, GlobalTracks, Status
from spoton_edge.wire import Encoder, Message
from tests.messages import (
    CAMERA_NUMBERS,
    CAMERAS,
    CAPTURED_NS,
    RUN,
    encoder,
    handoff,
    people,
    site,
    status,
    still_clock,
)

SCHEMAS = wire.schemas()
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)


def validate(payload: dict[str, Any], kind: str) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[kind], registry=REGISTRY).validate(payload)


def read(message: Message, seq: int = 1) -> dict[str, Any]:
    """The payload, after checking it against its schema; NaN is no JSON and refused."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} on the wire")

    payload: dict[str, Any] = json.loads(message.payload(seq), parse_constant=refuse)
    validate(payload, message.kind)
    return payload


def tracks(of: GlobalTracks, by: Encoder | None = None) -> Message:
    return (by or encoder(clock=still_clock())).tracks(of, CAMERA_NUMBERS, CAPTURED_NS, 12.34)


def test_every_schema_is_a_schema() -> None:
    assert set(SCHEMAS) == {*wire.KINDS, "snapshot", "preview", "identities"}
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_topic_names_version_site_and_kind() -> None:
    assert wire.topic("lobby", "tracks") == b"spoton/1/lobby/tracks"


@pytest.mark.parametrize("views_each", [0, 1, 4])
def test_tracks_carry_what_the_arrays_hold(views_each: int) -> None:
    of = people(5, views_each)
    payload = read(tracks(of), seq=77)
    assert list(payload)[:7] == ["v", "kind", "site", "box", "run", "seq", "time"]
    assert (payload["site"], payload["box"], payload["run"], payload["seq"]) == ("lobby", "box-1", RUN, 77)
    assert payload["time"] == 1000.0
    assert payload["captured"] == dict.fromkeys(CAMERAS, 999.0)
    assert payload["age_ms"] == 12.3
    for row, track in enumerate(payload["tracks"]):
        assert track["id"] == of.global_id[row]
        assert np.allclose([track["x"], track["y"]], of.xy[row], rtol=0, atol=5.01e-4)
        assert np.allclose([track["vx"], track["vy"]], of.velocity[row], rtol=0, atol=5.01e-4)
        assert np.allclose(track["cov"], of.cov[row], rtol=0, atol=5.01e-6)
        assert track["state"] == "visible"
        rows = np.flatnonzero(of.views.row == row)
        assert [view["track_id"] for view in track["views"]] == of.views.track_id[rows].tolist()
        assert [view["camera"] for view in track["views"]] == [CAMERAS[number] for number in of.views.camera[rows]]
        for view, at in zip(track["views"], rows, strict=True):
            assert np.allclose(view["box"], of.views.xyxy[at], rtol=0, atol=0.0501)
            assert abs(view["score"] - of.views.score[at]) < 5.01e-4


def test_nobody_on_the_site_is_an_empty_list() -> None:
    assert read(tracks(people(0)))["tracks"] == []


def test_who_cannot_be_placed_has_null_for_both_coordinates() -> None:
    of = people(3)
    of.xy[1, 1] = np.nan
    of.velocity[1] = np.inf
    of.cov[1, 0] = np.nan
    first, second, third = read(tracks(of))["tracks"]
    assert (second["x"], second["y"], second["vx"], second["vy"], second["cov"]) == (None,) * 5
    assert None not in (first["x"], first["vx"], first["cov"], third["x"], third["vx"], third["cov"])


def test_a_person_in_no_camera_has_no_best_view() -> None:
    of = replace(people(2, 0), best_view=np.array([-1, 2], np.int16), state=np.array([2, 1], np.uint8))
    lost, coasting = read(tracks(of))["tracks"]
    assert (lost["best_view"], lost["state"], lost["views"]) == (None, "lost", [])
    assert (coasting["best_view"], coasting["state"]) == ("c3", "coasting")


def test_without_boxes_no_pixel_is_published() -> None:
    payload = read(tracks(people(3, 2), encoder(boxes=False)))
    assert all(set(view) == {"camera", "track_id", "score"} for track in payload["tracks"] for view in track["views"])


def test_capture_times_follow_the_wall_clock_of_the_moment() -> None:
    payload = json.loads(encoder(clock=still_clock()).event(replace(handoff(), captured_ns=5_250_000_000)).payload(1))
    assert (payload["time"], payload["captured"]) == (1000.0, 999.25)


def test_events_say_why() -> None:
    payload = read(encoder().event(handoff()))
    assert (payload["event"], payload["id"], payload["other"]) == ("handed_off", 7, None)
    assert (payload["camera"], payload["from"]) == ("c2", "c1")
    assert payload["reason"] == {"gate": "link:c1", "distance_m": 0.51, "cosine": 0.21, "margin": 0.4}


def test_a_camera_event_has_no_person() -> None:
    payload = read(encoder().event(Event("camera", 1, camera=3, detail="stalled")))
    assert (payload["id"], payload["camera"], payload["detail"], payload["reason"]) == (None, "c4", "stalled", None)


def test_the_site_describes_cameras_links_and_map() -> None:
    payload = read(encoder().site(site()))
    assert payload["cameras"][0]["homography"][0] == [0.01, 0.0, 0.0]
    assert payload["cameras"][1] == {
        "name": "c2", "image_size": [640, 480], "homography": None, "footprint": [], "zones": {},
    }  # fmt: skip
    assert payload["links"] == [{"from": "c1", "to": "c2", "travel_s": [0.5, 20.0], "zone": "door", "enter": None}]
    assert payload["map"]["pixels_per_metre"] == 100.0


def test_the_status_tells_of_cameras_stages_and_delivery() -> None:
    payload = read(encoder().status(status(), Delivery(connections=2, sent={"tracks": 9})))
    assert payload["cameras"][0]["state"] == "live"
    assert payload["stages"] == {"detect": {"p50_ms": 31.5, "p95_ms": 40.25}}
    assert (payload["publish"]["connections"], payload["publish"]["sent"]) == (2, {"tracks": 9})


def test_a_rate_that_is_not_known_is_null() -> None:
    assert read(encoder().status(Status([], 0, float("nan"), 0)))["batch_rate_hz"] is None


def test_a_snapshot_nests_the_last_messages() -> None:
    by = encoder(clock=still_clock())
    latest = {"tracks": tracks(people(2), by).payload(5), "site": by.site(site()).payload(1)}
    snapshot = json.loads(by.snapshot({"spoton/1/lobby/tracks": 5, "spoton/1/lobby/site": 1}, latest))
    validate(snapshot, "snapshot")
    assert snapshot["seq"] == {"spoton/1/lobby/tracks": 5, "spoton/1/lobby/site": 1}
    assert snapshot["tracks"] == json.loads(latest["tracks"])
    assert snapshot["site"] == json.loads(latest["site"])
    assert snapshot["status"] is None


def messages_of_every_kind(by: Encoder) -> list[Message]:
    return [tracks(people(4, 3), by), by.event(handoff()), by.site(site()), by.status(status())]


def test_msgpack_says_the_same_as_json() -> None:
    pairs = zip(
        messages_of_every_kind(encoder(clock=still_clock())),
        messages_of_every_kind(encoder(encoding="msgpack", clock=still_clock())),
        strict=True,
    )
    for as_json, as_msgpack in pairs:
        for seq in (1, 127, 128, 70_000, 2**40):
            assert msgpack.unpackb(as_msgpack.payload(seq)) == json.loads(as_json.payload(seq))


def test_a_msgpack_snapshot_says_the_same_as_a_json_one() -> None:
    def snapshot(by: Encoder) -> bytes:
        return by.snapshot({"spoton/1/lobby/tracks": 5}, {"tracks": tracks(people(2), by).payload(5)})

    by_json, by_msgpack = encoder(clock=still_clock()), encoder(encoding="msgpack", clock=still_clock())
    assert msgpack.unpackb(snapshot(by_msgpack)) == json.loads(snapshot(by_json))


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (messages_of_every_kind(encoder(clock=still_clock())) for _ in range(2))
    assert [message.payload(3) for message in first] == [message.payload(3) for message in second]


coordinates = st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), float("inf"), -0.0, 1e-9, -4e-4])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[coordinates] * 7), max_size=6))
def test_any_numbers_make_a_valid_message_with_or_without_orjson(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows, np.float64).reshape(len(rows), 7)
    of = replace(people(len(rows), 2), xy=table[:, :2], velocity=table[:, 2:4], cov=table[:, 4:])
    fast = tracks(of)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codecs.importlib, "import_module", refuse_import)
        plain = tracks(of)
    assert read(fast) == read(plain)
    assert b"-0.0," not in fast.payload(1)


def refuse_import(name: str) -> None:
    raise ImportError(name)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(*[coordinates | st.floats(-1e9, 1e9)] * 8), max_size=5),
    st.lists(st.tuples(st.integers(0, 4), *[st.floats(width=32)] * 5), max_size=12),
    st.booleans(),
)
def test_compiled_json_says_what_the_slow_twin_says(
    rows: list[tuple[float, ...]], views: list[tuple[float, ...]], boxes: bool
) -> None:
    table = np.array(rows, np.float64).reshape(len(rows), 8)
    views = sorted(view for view in views if view[0] < len(rows))
    pixels = np.array(views, np.float64).reshape(len(views), 6)
    of = replace(
        people(len(rows), 0),
        xy=table[:, :2],
        velocity=table[:, 2:4],
        cov=table[:, 4:7],
        age_s=table[:, 7],
        best_view=np.arange(-1, len(rows) - 1, dtype=np.int16),
        state=np.arange(len(rows), dtype=np.uint8) % 3,
        views=replace(
            people(1, 4).views,
            row=pixels[:, 0].astype(np.int32),
            camera=np.arange(len(views), dtype=np.int16) % 4,
            track_id=np.arange(len(views), dtype=np.int64) * 10**14 - 5,
            xyxy=pixels[:, 1:5].astype(np.float32),
            score=pixels[:, 5].astype(np.float32),
        ),
    )
    fast = listing.as_json(of, tuple(json.dumps(name).encode() for name in CAMERAS), boxes=boxes)
    slow = listing.as_list(of, CAMERAS, boxes=boxes)
    largest = np.abs(np.nan_to_num(pixels[:, 1:], posinf=0, neginf=0)).max(initial=0)
    if fast is None:
        assert largest >= 0.99e12  # in units of 0.001
    else:
        assert json.loads(fast) == slow


def test_numbers_too_large_for_fixed_point_go_the_slow_way() -> None:
    of = people(2)
    of.xy[0, 0] = -1e15
    assert listing.as_json(of, (b'"c1"',), boxes=True) is None
    assert read(tracks(of))["tracks"][0]["x"] == -1e15


@pytest.mark.parametrize(
    "broken",
    [
        {"state": np.array([0, 3], np.uint8)},
        {"best_view": np.array([0, 4], np.int16)},
        {"best_view": np.array([-2, 0], np.int16)},
        {"age_s": np.zeros(3)},
        {"cov": np.zeros((2, 2))},
        {"views": replace(people(3, 2).views)},
        {"views": replace(people(2, 1).views, camera=np.array([0, -1], np.int16))},
        {"views": replace(people(2, 1).views, row=np.array([1, 0], np.int32))},
        {"views": replace(people(2, 1).views, row=np.array([-1, 0], np.int32))},
        {"views": replace(people(2, 1).views, score=np.zeros(1, np.float32))},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"different|does not exist|width"):
        tracks(replace(people(2, 1), **broken))

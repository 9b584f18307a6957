"""What boxes tell: it comes through whole, and what is not it is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.site import messages
from spoton_edge.site.messages import (
    BadMessageError,
    BoxEvent,
    BoxPlace,
    Head,
    Look,
    Sights,
    Statures,
    encode,
    parse,
    subject,
)

HEAD = Head("box-1", "ab12", "0f", 7, 1_800_000_000.125, 0.0125, 0.003)
EVENTS, TRACKS, LOOKS = (subject("mall", "box-1", kind) for kind in ("events", "tracks", "looks"))
coordinates = st.floats(-1e5, 1e5).map(lambda value: round(value, 3))


@given(
    st.lists(
        st.tuples(st.integers(0, messages.MAX_ID - 1), coordinates, coordinates), max_size=20, unique_by=lambda r: r[0]
    )
)
def test_positions_come_through(people: list[tuple[int, float, float]]) -> None:
    ids = np.array([row[0] for row in people], np.int64)
    xy = np.array([row[1:] for row in people], np.float64).reshape(-1, 2)
    cov = np.tile([0.0123, -0.004, 0.05], (len(people), 1))
    told = parse(TRACKS, encode(Sights(HEAD, ids, xy, cov, np.full(len(people), 1.5))))
    assert isinstance(told, Sights)
    assert told.head == HEAD
    assert told.id.tolist() == ids.tolist()
    assert np.allclose(told.xy, xy, atol=1e-3)
    assert np.allclose(told.cov, cov, rtol=1e-3)


@pytest.mark.parametrize(
    "event",
    [
        BoxEvent(HEAD, "born", 5, xy=(1.5, -2.25), cov=(0.01, 0.0, 0.02), age_s=0.5),
        BoxEvent(HEAD, "left", 5, xy=(1.5, -2.25), cov=(0.01, 0.0, 0.02), age_s=0.5, border="east"),
        BoxEvent(HEAD, "merged", 5, 6),
        BoxEvent(HEAD, "gap", lost=12),
        BoxEvent(
            HEAD,
            "box",
            place=BoxPlace(((0.0, 0.0), (4.0, 0.0), (4.0, 3.0)), {"door": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))}, True),
        ),
    ],
    ids=lambda event: event.event,
)
def test_events_come_through(event: BoxEvent) -> None:
    assert parse(EVENTS, encode(event)) == event


def test_looks_come_through_quantised() -> None:
    rng = np.random.default_rng(0)
    vector = rng.normal(size=512).astype(np.float32)
    vector /= np.linalg.norm(vector)
    told = parse(LOOKS, encode(Look(HEAD, 5, vector)))
    assert isinstance(told, Look)
    assert float(told.vector @ vector) > 0.999
    assert abs(float(np.linalg.norm(told.vector)) - 1) < 1e-5


def test_statures_come_through_to_the_centimetre() -> None:
    assert parse(LOOKS, encode(Statures(HEAD, {5: 1.724, 9: 1.811}))) == Statures(HEAD, {5: 1.72, 9: 1.81})


@pytest.mark.parametrize(
    "rows",
    [{}, [[1]], [[1.5, 1.7]], [[1, "tall"]], [[1, 0.0]], [[1, -1.7]], [[1, 17.0]], [[1, None]], [[1, 1.7], [1, 1.7]]],
    ids=str,
)
def test_statures_that_cannot_be_are_refused(rows: object) -> None:
    raw = json.loads(encode(Statures(HEAD, {5: 1.7}))) | {"statures": rows}
    with pytest.raises(BadMessageError):
        parse(LOOKS, json.dumps(raw).encode())


@given(st.binary(max_size=200), st.sampled_from([TRACKS, EVENTS, LOOKS]))
def test_bytes_that_are_no_message_are_refused(payload: bytes, name: str) -> None:
    with pytest.raises(BadMessageError):
        parse(name, payload)


GOOD = json.loads(
    encode(Sights(HEAD, np.array([1]), np.array([[1.0, 2.0]]), np.array([[0.1, 0.0, 0.1]]), np.array([1.0])))
)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"run": "../.."},
        {"link": 5},
        {"seq": 0},
        {"seq": True},
        {"time": "now"},
        {"time": 1e300},
        {"tracks": {}},
        {"tracks": [[1, 2]]},
        {"tracks": [[1.5, 1, 2, 0.1, 0, 0.1, 1]]},
        {"tracks": [[-1, 1, 2, 0.1, 0, 0.1, 1]]},
        {"tracks": [[1 << 60, 1, 2, 0.1, 0, 0.1, 1]]},
        {"tracks": [[1, None, 2, 0.1, 0, 0.1, 1]]},
        {"tracks": [[1, 1e12, 2, 0.1, 0, 0.1, 1]]},
        {"tracks": [[1, 1, 2, 0.1, 0.2, 0.1, 1]]},
        {"tracks": [[1, 1, 2, -0.1, 0, 0.1, 1]]},
        {"tracks": [[1, 1, 2, 0.1, 0, 0.1, 1]] * 2},
        {"tracks": [[1, 1, 2, 0.1, 0, 0.1, 1]] * (messages.MAX_PEOPLE + 1)},
    ],
    ids=str,
)
def test_a_message_with_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadMessageError):
        parse(TRACKS, json.dumps({**GOOD, **change})[:200_000].encode())


def test_what_cannot_be_written_as_a_number_is_refused() -> None:
    with pytest.raises(BadMessageError):
        parse(TRACKS, json.dumps({**GOOD, "tracks": [[1, float("nan"), 2, 0.1, 0, 0.1, 1]]}).encode())


def test_an_oversized_message_is_refused_unread() -> None:
    with pytest.raises(BadMessageError, match="bytes are more than"):
        parse(TRACKS, b" " * (messages.MAX_BYTES + 1))


def test_a_message_deeper_than_any_is_refused() -> None:
    with pytest.raises(BadMessageError):
        parse(TRACKS, b"[" * 100_000)

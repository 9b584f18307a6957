"""What boxes and the site tell each other over NATS, version 1: JSON, refused at the border unless it is what it says.

    spoton.1.<site>.<box>.tracks      where everybody on a box is, twice a second, on the site's ground
    spoton.1.<site>.<box>.events      births, deaths, merges and crossings of borders; what the box is; what was lost
    spoton.1.<site>.<box>.looks       prototypes of appearance, and statures, where the box shares them; kept in memory
                                      only
    spoton.1.<site>.identities        who is whom, by the site service
    spoton.1.<site>.clock             a question, answered with the site's time

Every message has `v`, the `run` of the box's daemon, `link`, the run of the uplink, a `seq` that counts per link and
kind from 1, and `time`, when what it tells of was captured, by the box's clock; `offset_ms` and `doubt_ms` say how far
that clock was behind the site's then, and how well that is known.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from spoton_edge.types import F4, F8, I8

VERSION = 1
MAX_BYTES = 256 * 1024  # of one message; a box of a thousand people stays below
MAX_PEOPLE = 2000  # in one message
MAX_VECTOR = 4096
MAX_ID = 1 << 46  # box ids count up from 1; as the site numbers them they must fit a tracklet's key
MAX_M = 1e6
MAX_TALL_M = 3.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RUN = re.compile(r"[0-9a-f]{1,32}")
EVENTS = ("born", "died", "merged", "entered", "left", "box", "gap")

Json: TypeAlias = dict[str, Any]
Polygon: TypeAlias = tuple[tuple[float, float], ...]


class BadMessageError(ValueError):
    """A message that is not what its subject says; the text says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """What every message of a box begins with. Times are Unix seconds."""

    box: str
    run: str  # of the box's daemon
    link: str  # the uplink's own run
    seq: int
    time: float  # by the box's clock
    offset_s: float | None = None  # to be added to it; None: not measured
    doubt_s: float = 0.0  # of the offset


@dataclass(frozen=True, slots=True)
class Sights:
    """Everybody on a box at one time, on the site's ground."""

    head: Head
    id: I8  # (n,) the box's ids
    xy: F8  # (n, 2) m
    cov: F8  # (n, 3) m^2: xx, xy, yy
    age_s: F8  # (n,) since the box saw them first


@dataclass(frozen=True, slots=True)
class BoxEvent:
    """Something that happened on a box: `event` is one of EVENTS."""

    head: Head
    event: str
    id: int = -1
    other: int = -1  # merged: the id that is no more
    xy: tuple[float, float] | None = None
    cov: tuple[float, float, float] | None = None
    age_s: float = 0.0
    border: str | None = None  # entered, left
    lost: int = 0  # gap: so many messages
    place: BoxPlace | None = None  # box


@dataclass(frozen=True, slots=True)
class BoxPlace:
    """Where a box's cameras see, and the edges of it that people cross, polygons on the site's ground; `shares`: it
    tells what people look like."""

    outline: Polygon
    borders: dict[str, Polygon]
    shares: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A prototype of what somebody looks like: a unit vector, of one camera of the box."""

    head: Head
    id: int
    vector: F4  # (D,)


@dataclass(frozen=True, slots=True)
class Statures:
    """How tall people on a box were read in the half second before it told where they are, at the time of that."""

    head: Head
    tall_m: dict[int, float]  # by the box's id


@dataclass(frozen=True, slots=True)
class Binding:
    """Who somebody on a box is on the site, since when (Unix s), and why."""

    box: str
    run: str
    id: int
    site_id: int
    since: float
    event: str  # appeared, handed_off, merged, split
    other: int | None = None  # what the answer was before
    gate: str | None = None


BoxMessage: TypeAlias = Sights | BoxEvent | Look | Statures


def subject(site: str, box: str, kind: str) -> str:
    """Where a box's messages of a kind go; "*" stands for every box."""
    return f"spoton.{VERSION}.{site}.{box}.{kind}"


def kind_of(message: BoxMessage) -> str:
    """The kind under which a message goes: the last part of its `subject`."""
    match message:
        case Sights():
            return "tracks"
        case BoxEvent():
            return "events"
        case Look() | Statures():
            return "looks"


def identities(site: str) -> str:
    """Where the site service's answers go."""
    return f"spoton.{VERSION}.{site}.identities"


def clock(site: str) -> str:
    """Where the site's time is asked for: an empty request, answered by Unix nanoseconds."""
    return f"spoton.{VERSION}.{site}.clock"


def parse(name: str, payload: bytes) -> BoxMessage:
    """The message that came on the subject `name`.

    Raises:
        BadMessageError: it is not one; its text is short and holds nothing of the payload.
    """
    *_, box, kind = name.split(".")
    if len(payload) > MAX_BYTES:
        raise BadMessageError(f"{len(payload)} bytes are more than {MAX_BYTES}")
    try:
        raw = orjson.loads(payload)
        if raw["v"] != VERSION:
            raise BadMessageError("another version")
        head = _head(box, raw)
        return _PARSERS[kind](head, raw)
    except BadMessageError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadMessageError(f"no message of {kind}: {type(error).__name__}") from None


def encode(message: BoxMessage) -> bytes:
    """The payload of a message; `parse` gives the message again, numbers as they are sent."""
    head = message.head
    raw: Json = {"v": VERSION, "run": head.run, "link": head.link, "seq": head.seq, "time": round(head.time, 3)}
    if head.offset_s is not None:
        raw |= {"offset_ms": round(1e3 * head.offset_s, 1), "doubt_ms": round(1e3 * head.doubt_s, 1)}
    match message:
        case Sights():
            rows = zip(message.id.tolist(), message.xy, message.cov, message.age_s.tolist(), strict=True)
            raw["tracks"] = [[i, *_rounded(xy, 3), *_rounded(cov, 5), round(age, 2)] for i, xy, cov, age in rows]
        case BoxEvent():
            raw["event"] = message.event
            raw |= {} if message.id < 0 else {"id": message.id, "age_s": round(message.age_s, 2)}
            raw |= {} if message.other < 0 else {"other": message.other}
            if message.xy is not None and message.cov is not None:
                raw["at"] = [*_rounded(message.xy, 3), *_rounded(message.cov, 5)]
            raw |= {} if message.border is None else {"border": message.border}
            raw |= {} if message.event != "gap" else {"lost": message.lost}
            if message.place is not None:
                raw |= {"outline": message.place.outline, "borders": message.place.borders}
                raw |= {"shares": True} if message.place.shares else {}
        case Look():
            scale = float(np.abs(message.vector).max()) / 127 or 1.0
            quantised = np.round(message.vector / scale).astype(np.int8)
            raw |= {"id": message.id, "vector": base64.b64encode(quantised.tobytes()).decode()}
        case Statures():
            raw["statures"] = [[i, round(tall_m, 2)] for i, tall_m in message.tall_m.items()]
    return orjson.dumps(raw)


def _head(box: str, raw: Json) -> Head:
    run, link, seq = raw["run"], raw["link"], raw["seq"]
    if (
        not (NAME.fullmatch(box) and RUN.fullmatch(run) and RUN.fullmatch(link))
        or type(seq) is not int
        or not 0 < seq < 1 << 53
    ):
        raise BadMessageError("no run or number")
    offset_s = None if raw.get("offset_ms") is None else 1e-3 * _number(raw["offset_ms"], 1e12)
    doubt_s = 1e-3 * _number(raw.get("doubt_ms", 0.0), 1e9)
    return Head(box, run, link, seq, _number(raw["time"], 1e11), offset_s, abs(doubt_s))


def _sights(head: Head, raw: Json) -> Sights:
    rows = raw["tracks"]
    if not isinstance(rows, list) or len(rows) > MAX_PEOPLE or any(len(row) != 7 for row in rows):
        raise BadMessageError("no list of people")
    ids = [_id(row[0]) for row in rows]
    table = np.array(rows, np.float64).reshape(-1, 7)[:, 1:]
    if len(set(ids)) != len(ids) or not (np.abs(table) <= MAX_M).all():
        raise BadMessageError("numbers that cannot be, or an id twice")
    xx, xy, yy = table[:, 2:5].T
    if not ((xx > 0) & (xx * yy > xy * xy)).all():
        raise BadMessageError("a covariance that is none")
    return Sights(head, np.array(ids, np.int64), table[:, :2], table[:, 2:5], table[:, 5])


def _event(head: Head, raw: Json) -> BoxEvent:
    event = raw["event"]
    if event not in EVENTS:
        raise BadMessageError("an event that is not known")
    person = _id(raw["id"]) if event not in ("box", "gap") else -1
    xy = cov = None
    if "at" in raw:
        x, y, xx, xy_, yy = (_number(value, MAX_M) for value in raw["at"])
        if not (xx > 0 and yy > 0 and xx * yy > xy_ * xy_):
            raise BadMessageError("a covariance that is none")
        xy, cov = (x, y), (xx, xy_, yy)
    border = raw.get("border")
    if border is not None and not NAME.fullmatch(border):
        raise BadMessageError("a border that is no name")
    place = None
    if event == "box":
        borders = {name: _polygon(corners) for name, corners in raw["borders"].items() if NAME.fullmatch(name)}
        place = BoxPlace(_polygon(raw["outline"]), borders, raw.get("shares") is True)
    other = _id(raw["other"]) if event == "merged" else -1
    lost = _id(raw["lost"]) if event == "gap" else 0
    return BoxEvent(head, event, person, other, xy, cov, _number(raw.get("age_s", 0.0), 1e9), border, lost, place)


def _look(head: Head, raw: Json) -> Look | Statures:
    if "statures" in raw:
        return _statures(head, raw["statures"])
    vector = np.frombuffer(base64.b64decode(raw["vector"], validate=True), np.int8).astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not 0 < len(vector) <= MAX_VECTOR or length == 0:
        raise BadMessageError("no vector")
    return Look(head, _id(raw["id"]), vector / np.float32(length))


def _statures(head: Head, rows: Any) -> Statures:
    if not isinstance(rows, list) or len(rows) > MAX_PEOPLE:
        raise BadMessageError("no list of statures")
    tall_m = {_id(number): _number(tall, MAX_TALL_M) for number, tall in rows}
    if len(tall_m) < len(rows) or not all(tall > 0 for tall in tall_m.values()):
        raise BadMessageError("a stature that is none, or an id twice")
    return Statures(head, tall_m)


_PARSERS: dict[str, Callable[[Head, Json], BoxMessage]] = {"tracks": _sights, "events": _event, "looks": _look}


def _id(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_ID:
        raise BadMessageError("no id")
    return value


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        raise BadMessageError("no number")
    return float(value)


def _polygon(corners: Any) -> Polygon:
    if not isinstance(corners, list) or len(corners) > 1000 or any(len(corner) != 2 for corner in corners):
        raise BadMessageError("no polygon")
    return tuple((_number(x, MAX_M), _number(y, MAX_M)) for x, y in corners)


def _rounded(values: Any, digits: int) -> list[float]:
    """Never so short that a small covariance is none."""
    return [round(float(value), digits) if digits < 5 else _significant(float(value)) for value in values]


def _significant(value: float) -> float:
    return value if value == 0 or not math.isfinite(value) else round(value, 4 - math.floor(math.log10(abs(value))))

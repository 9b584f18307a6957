"""The messages as a subscriber sees them. Standard library only; `schemas/*.json` says what each field means."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

Json: TypeAlias = dict[str, Any]

# Where a daemon publishes, and serves snapshots, unless its site file says otherwise.
ENDPOINT = "tcp://127.0.0.1:5591"
SNAPSHOT = "tcp://127.0.0.1:5592"
IDENTITIES = "tcp://127.0.0.1:5593"  # of an uplink


@dataclass(frozen=True, slots=True)
class View:
    """A camera's track of a person; box is x1, y1, x2, y2 in px, None where the site keeps boxes to itself."""

    camera: str
    track_id: int
    score: float
    box: tuple[float, float, float, float] | None


@dataclass(frozen=True, slots=True)
class Track:
    """A person: place in m, velocity in m/s, cov in m^2 (xx, xy, yy); None where not known."""

    id: int
    x: float | None
    y: float | None
    vx: float | None
    vy: float | None
    cov: tuple[float, float, float] | None
    state: str  # visible, coasting, lost
    age_s: float
    best_view: str | None
    views: tuple[View, ...]
    site_id: int | None = None  # where many boxes are one site and a Subscriber was given `identities`


@dataclass(frozen=True, slots=True)
class _Message:
    site: str
    box: str
    run: str
    seq: int
    time: float  # Unix seconds
    raw: Json  # the payload as it came, with what this version does not know


@dataclass(frozen=True, slots=True)
class Tracks(_Message):
    """Everybody on the site."""

    kind: ClassVar[str] = "tracks"
    captured: dict[str, float]  # Unix seconds by camera
    age_ms: float
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Event(_Message):
    """Something that happened to a person or a camera."""

    kind: ClassVar[str] = "events"
    event: str
    captured: float
    id: int | None
    other: int | None
    camera: str | None
    from_camera: str | None
    reason: Json | None  # gate, distance_m, cosine, margin
    detail: str | None


@dataclass(frozen=True, slots=True)
class Site(_Message):
    """What is fixed about the site."""

    kind: ClassVar[str] = "site"
    cameras: list[Json]
    links: list[Json]
    map: Json | None


@dataclass(frozen=True, slots=True)
class Status(_Message):
    """How the service fares."""

    kind: ClassVar[str] = "status"
    version: str
    cameras: list[Json]
    people: int
    batches: int
    batch_rate_hz: float | None
    stages: Json
    publish: Json


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody on a box is on the site, since when (Unix s)."""

    run: str  # of the box's daemon
    id: int
    site_id: int
    since: float


@dataclass(frozen=True, slots=True)
class Identities(_Message):
    """Everybody on the box who has a site id, as the box's uplink tells it."""

    kind: ClassVar[str] = "identities"
    heard_s: float | None  # how long ago the site was heard of; None: never
    identities: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """Not from the daemon: so many messages of a topic were lost on the way. The state is being mended meanwhile."""

    kind: ClassVar[str] = "missed"
    topic: str
    count: int


Message: TypeAlias = Tracks | Event | Site | Status | Identities


def parse(payload: Json) -> Message | None:
    """A typed message; None for a kind that this version does not know.

    Raises:
        KeyError, TypeError, ValueError: not a message of version 1.
    """
    build = _BUILDERS.get(payload["kind"])
    if payload["v"] != 1 or build is None:
        return None
    return build(payload)


def _tracks(raw: Json) -> Tracks:
    return Tracks(*_envelope(raw), raw["captured"], raw["age_ms"], tuple([_track(track) for track in raw["tracks"]]))


def _track(raw: Json) -> Track:
    return Track(
        raw["id"],
        raw["x"],
        raw["y"],
        raw["vx"],
        raw["vy"],
        raw["cov"] and tuple(raw["cov"]),
        raw["state"],
        raw["age_s"],
        raw["best_view"],
        tuple([_view(view) for view in raw["views"]]),
    )


def _view(raw: Json) -> View:
    box = raw.get("box")
    return View(raw["camera"], raw["track_id"], raw["score"], box and tuple(box))


def _event(raw: Json) -> Event:
    fields = ("event", "captured", "id", "other", "camera", "from", "reason", "detail")
    return Event(*_envelope(raw), *[raw[name] for name in fields])


def _site(raw: Json) -> Site:
    return Site(*_envelope(raw), raw["cameras"], raw["links"], raw["map"])


def _status(raw: Json) -> Status:
    fields = ("version", "cameras", "people", "batches", "batch_rate_hz", "stages", "publish")
    return Status(*_envelope(raw), *[raw[name] for name in fields])


def _identities(raw: Json) -> Identities:
    rows = [Identity(row["run"], row["id"], row["site_id"], row["since"]) for row in raw["identities"]]
    return Identities(*_envelope(raw), raw["heard_s"], tuple(rows))


def _envelope(raw: Json) -> tuple[str, str, str, int, float, Json]:
    return raw["site"], raw["box"], raw["run"], raw["seq"], raw["time"], raw


_BUILDERS: dict[str, Callable[[Json], Message]] = {
    "tracks": _tracks,
    "events": _event,
    "site": _site,
    "status": _status,
    "identities": _identities,
}


def decoder() -> Callable[[bytes], Json]:
    """Reads payloads: JSON (by orjson where it is installed) and, where the package msgpack is, msgpack."""
    try:
        from_json: Callable[[bytes], Any] = importlib.import_module("orjson").loads
    except ImportError:
        from_json = json.loads
    try:
        from_msgpack: Callable[[bytes], Any] | None = importlib.import_module("msgpack").unpackb
    except ImportError:
        from_msgpack = None

    def decode(payload: bytes) -> Json:
        if payload[:1] == b"{":
            value = from_json(payload)
        elif from_msgpack is not None:
            value = from_msgpack(payload)
        else:
            raise ValueError("the daemon publishes msgpack; pip install msgpack to read it")
        if not isinstance(value, dict):
            raise ValueError("the payload is no map")
        return value

    return decode

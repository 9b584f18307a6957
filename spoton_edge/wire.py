"""The message, v1: what subscribers read, as bytes. The only place where monotonic time becomes wall time.

A message is two frames, the topic `spoton/1/<site>/<kind>` and the payload, a JSON or msgpack map that begins with
`v, kind, site, box, run, seq, time`. `schemas/<kind>.json` documents each kind. Within `v` 1 fields are added, never
renamed, never given another meaning and never taken away; a reader ignores what it does not know. Metres and metres a
second are rounded to the millimetre, boxes to 0.1 px, times to the millisecond; NaN and infinity become null.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from spoton_edge import __version__
from spoton_edge.errors import MissingExtraError
from spoton_edge.types import (
    F8,
    I2,
    I8,
    CameraDescription,
    Delivery,
    Event,
    GlobalTracks,
    Reason,
    SiteDescription,
    Status,
    TrackState,
)

Encoding = Literal["json", "msgpack"]
Dump = Callable[[Any], bytes]

VERSION = 1
KINDS = ("tracks", "events", "site", "status")
STATES = tuple(state.name.lower() for state in TrackState)
SCHEMAS = Path(__file__).parent / "schemas"

# x, y, vx, vy to the millimetre; the covariance to (3 mm)^2; the age to the millisecond.
_TABLE_SCALE = np.array([1e3, 1e3, 1e3, 1e3, 1e5, 1e5, 1e5, 1e3])


def topic(site: str, kind: str) -> bytes:
    """The first frame. `spoton/1/<site>/` subscribes to everything of a site."""
    return f"spoton/{VERSION}/{site}/{kind}".encode()


def schemas() -> dict[str, Any]:
    """The JSON Schemas of every message by kind: the reference of what may be read."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))}


@dataclass(frozen=True, slots=True)
class Message:
    """A payload that only lacks its sequence number, which belongs to whoever sends it."""

    kind: str
    head: bytes  # the payload up to the value of `seq`
    tail: bytes  # the payload after it
    number: Callable[[int], bytes]  # a sequence number in the payload's encoding

    def payload(self, seq: int) -> bytes:
        return self.head + self.number(seq) + self.tail


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock and the wall clock, read together."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns


class Encoder:
    """Turns what the pipeline knows into messages of one run of one site.

    Args:
        site: name of the site.
        box: name of this machine.
        run: random hex, new at each start; together with an id unique for ever.
        cameras: names by number.
        encoding: "json", or "msgpack" (needs the package msgpack).
        boxes: false leaves the pixel boxes out.
        clock: gives `time`, and turns capture times into Unix seconds.

    Holds no state between calls: the same input and the same clock give the same bytes.
    """

    def __init__(
        self,
        site: str,
        box: str,
        run: str,
        cameras: Sequence[str],
        *,
        encoding: Encoding = "json",
        boxes: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.site_name = site
        self._cameras = tuple(cameras)
        self._boxes = boxes
        self._clock = clock or Clock()
        self._codec: Codec = _JsonCodec() if encoding == "json" else _MsgpackCodec()
        self._envelope = {
            kind: {"v": VERSION, "kind": kind, "site": site, "box": box, "run": run} for kind in (*KINDS, "snapshot")
        }

    def tracks(self, tracks: GlobalTracks, camera: I2, captured_ns: I8, age_ms: float) -> Message:
        """Everybody on the site, as of a batch.

        Args:
            tracks: the people.
            camera: (B,) numbers of the cameras that were in the batch.
            captured_ns: (B,) when their frames were captured, by the monotonic clock.
            age_ms: age of the oldest of these frames.
        """
        wall_ns, offset_ns = self._now()
        return self._message(
            "tracks",
            wall_ns,
            {
                "captured": {
                    self._cameras[number]: _seconds(at + offset_ns)
                    for number, at in zip(camera.tolist(), captured_ns.tolist(), strict=True)
                },
                "age_ms": round(age_ms, 1),
                "tracks": self._people(tracks),
            },
        )

    def event(self, event: Event) -> Message:
        """One thing that happened to an identity or a camera."""
        wall_ns, offset_ns = self._now()
        return self._message(
            "events",
            wall_ns,
            {
                "event": event.kind,
                "captured": _seconds(event.captured_ns + offset_ns),
                "id": _some(event.global_id),
                "other": _some(event.other),
                "camera": self._camera_name(event.camera),
                "from": self._camera_name(event.from_camera),
                "reason": event.reason and _reason(event.reason),
                "detail": event.detail or None,
            },
        )

    def site(self, site: SiteDescription) -> Message:
        """What is fixed about the site."""
        return self._message(
            "site",
            self._now()[0],
            {
                "cameras": [_camera(camera) for camera in site.cameras],
                "links": [
                    {
                        "from": link.source,
                        "to": link.target,
                        "travel_s": list(link.travel_s),
                        "zone": link.zone,
                        "enter": link.enter,
                    }
                    for link in site.links
                ],
                "map": site.map
                and {
                    "pixels_per_metre": site.map.pixels_per_metre,
                    "origin_px": list(site.map.origin_px),
                    "axes": site.map.axes,
                    "sha256": site.map.sha256,
                },
            },
        )

    def status(self, status: Status, delivery: Delivery | None = None) -> Message:
        """How the service fares."""
        delivery = delivery or Delivery()
        return self._message(
            "status",
            self._now()[0],
            {
                "version": __version__,
                "cameras": [
                    {
                        "name": camera.name,
                        "state": camera.state,
                        "fps": _rounded(camera.fps, 2),
                        "frames": camera.frames,
                        "dropped": camera.dropped,
                        "bad_frames": camera.bad_frames,
                        "skew_ms": _rounded(camera.skew_ms, 1),
                    }
                    for camera in status.cameras
                ],
                "people": status.people,
                "batches": status.batches,
                "batch_rate_hz": _rounded(status.batch_rate_hz, 2),
                "stages": {
                    name: {"p50_ms": _rounded(stage.p50_ms, 3), "p95_ms": _rounded(stage.p95_ms, 3)}
                    for name, stage in status.stages.items()
                },
                "publish": {name: getattr(delivery, name) for name in Delivery.__dataclass_fields__},
            },
        )

    def again(self, payload: Mapping[str, Any]) -> Message:
        """A recorded message of this site, to be sent once more: as it was, but of this run."""
        body = {name: value for name, value in payload.items() if name not in ("seq", *self._envelope["tracks"])}
        return Message(payload["kind"], *self._codec.split(self._envelope[payload["kind"]], body), self._codec.dumps)

    def snapshot(self, seq: Mapping[str, int], latest: Mapping[str, bytes]) -> bytes:
        """The answer to a snapshot request.

        Args:
            seq: by topic, the number of the last message sent.
            latest: by kind, the last payload sent, in this encoder's encoding.
        """
        envelope = {**self._envelope["snapshot"], "time": _seconds(self._clock.wall_ns()), "seq": seq}
        del envelope["site"]  # here the name stands for the message
        return self._codec.nest(envelope, {kind: latest.get(kind) for kind in ("site", "tracks", "status")})

    def _message(self, kind: str, wall_ns: int, body: Mapping[str, Any]) -> Message:
        head, tail = self._codec.split(self._envelope[kind], {"time": _seconds(wall_ns), **body})
        return Message(kind, head, tail, self._codec.dumps)

    def _now(self) -> tuple[int, int]:
        """The wall time, and what to add to a monotonic time now to make it one (the wall clock may step)."""
        wall_ns = self._clock.wall_ns()
        return wall_ns, wall_ns - self._clock.monotonic_ns()

    def _camera_name(self, number: int) -> str | None:
        return self._cameras[number] if number >= 0 else None

    def _people(self, tracks: GlobalTracks) -> list[dict[str, Any]]:
        cuts = np.searchsorted(tracks.views.row, np.arange(len(tracks) + 1)).tolist()
        views = self._views(tracks)
        # One table, one rounding, one conversion: this runs for every batch.
        table = np.empty((len(tracks), len(_TABLE_SCALE)))
        table[:, 0:2] = tracks.xy
        table[:, 2:4] = tracks.velocity
        table[:, 4:7] = tracks.cov
        table[:, 7] = tracks.age_s
        whole = bool(np.isfinite(table).all())
        rows = _fixed(table, _TABLE_SCALE).tolist()
        names = (*self._cameras, None)  # -1, no camera, is the last
        people = [
            {
                "id": number,
                "x": x,
                "y": y,
                "vx": vx,
                "vy": vy,
                "cov": [xx, xy, yy],
                "state": STATES[state],
                "age_s": age_s,
                "best_view": names[best_view],
                "views": views[start:end],
            }
            for (x, y, vx, vy, xx, xy, yy, age_s), number, state, best_view, start, end in zip(
                rows,
                tracks.global_id.tolist(),
                tracks.state.tolist(),
                tracks.best_view.tolist(),
                cuts,
                cuts[1:],
                strict=False,  # cuts has one more
            )
        ]
        if not whole:
            for person, row in zip(people, np.isfinite(table), strict=True):
                _unplace(person, row)
        return people

    def _views(self, tracks: GlobalTracks) -> list[dict[str, Any]]:
        views = tracks.views
        cameras = self._cameras
        scores = _fixed(np.nan_to_num(views.score.astype(np.float64)), 1000).tolist()
        if not self._boxes:
            return [
                {"camera": cameras[camera], "track_id": track_id, "score": score}
                for camera, track_id, score in zip(views.camera.tolist(), views.track_id.tolist(), scores, strict=True)
            ]
        return [
            {"camera": cameras[camera], "track_id": track_id, "box": box, "score": score}
            for camera, track_id, box, score in zip(
                views.camera.tolist(),
                views.track_id.tolist(),
                _fixed(np.nan_to_num(views.xyxy.astype(np.float64)), 10).tolist(),
                scores,
                strict=True,
            )
        ]


def _fixed(values: F8, scale: float | F8) -> F8:
    """Rounds to 1/scale; the 0.0 added makes -0.0 a plain zero."""
    rounded: F8 = np.rint(values * scale)
    rounded += 0.0
    rounded /= scale
    return rounded


def _unplace(person: dict[str, Any], finite: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    """Makes null what is not a number: a place, a velocity and a covariance each as a whole."""
    if not finite[0:2].all():
        person["x"] = person["y"] = None
    if not finite[2:4].all():
        person["vx"] = person["vy"] = None
    if not finite[4:7].all():
        person["cov"] = None
    if not finite[7]:
        person["age_s"] = None


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "gate": reason.gate,
        "distance_m": _rounded(reason.distance_m, 3),
        "cosine": _rounded(reason.cosine, 4),
        "margin": _rounded(reason.margin, 4),
    }


def _camera(camera: CameraDescription) -> dict[str, Any]:
    return {
        "name": camera.name,
        "image_size": camera.image_size and list(camera.image_size),
        "homography": None if camera.homography is None else camera.homography.tolist(),
        "footprint": [[round(x, 3), round(y, 3)] for x, y in camera.footprint],
        "zones": {name: [[u, v] for u, v in polygon] for name, polygon in camera.zones.items()},
    }


def _some(number: int) -> int | None:
    return number if number >= 0 else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits) + 0.0


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)


class _JsonCodec:
    """JSON by orjson where it is installed, else by the standard library."""

    def __init__(self) -> None:
        try:
            self.dumps: Dump = importlib.import_module("orjson").dumps
        except ImportError:
            self.dumps = _json_dumps

    def split(self, envelope: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """What stands before and after the value of `seq` in a map of all."""
        return self.dumps(envelope)[:-1] + b',"seq":', b"," + self.dumps(body)[1:]

    def nest(self, envelope: Mapping[str, Any], parts: Mapping[str, bytes | None]) -> bytes:
        """A map of the envelope and of parts that are encoded already."""
        members = [self.dumps(name) + b":" + (part or b"null") for name, part in parts.items()]
        return self.dumps(envelope)[:-1] + b"," + b",".join(members) + b"}"


class _MsgpackCodec:
    """msgpack, whose maps of up to 15 entries begin with one byte, the count in its low half. No kind has more."""

    def __init__(self) -> None:
        try:
            self.dumps: Dump = importlib.import_module("msgpack").packb
        except ImportError:
            raise MissingExtraError("publish.format msgpack needs the package msgpack; pip install msgpack") from None

    def split(self, envelope: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """What stands before and after the value of `seq` in a map of all."""
        head = self._header(len(envelope) + 1 + len(body)) + self.dumps(envelope)[1:] + self.dumps("seq")
        return head, self.dumps(body)[1:]

    def nest(self, envelope: Mapping[str, Any], parts: Mapping[str, bytes | None]) -> bytes:
        """A map of the envelope and of parts that are encoded already."""
        members = [self.dumps(name) + (part or self.dumps(None)) for name, part in parts.items()]
        return self._header(len(envelope) + len(parts)) + self.dumps(envelope)[1:] + b"".join(members)

    def _header(self, entries: int) -> bytes:
        assert entries <= 15
        return bytes([0x80 | entries])


Codec: TypeAlias = _JsonCodec | _MsgpackCodec


def _json_dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

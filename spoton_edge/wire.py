"""The message, v1: what subscribers read, as bytes. The only place where monotonic time becomes wall time.

A message is two frames, the topic `spoton/1/<site>/<kind>` and the payload, a JSON or msgpack map that begins with
`v, kind, site, box, run, seq, time`. `schemas/<kind>.json` documents each kind. Within `v` 1 fields are added, never
renamed, never given another meaning and never taken away; a reader ignores what it does not know. Metres and metres a
second are rounded to the millimetre, boxes to 0.1 px, times to the millisecond; NaN and infinity become null.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spoton_edge import __version__, people
from spoton_edge.codecs import Codec, JsonCodec, MsgpackCodec
from spoton_edge.types import (
    I2,
    I8,
    CameraDescription,
    Delivery,
    Event,
    GlobalTracks,
    Reason,
    SiteDescription,
    Status,
)

Encoding = Literal["json", "msgpack"]

VERSION = 1
KINDS = ("tracks", "events", "site", "status")
SCHEMAS = Path(__file__).parent / "schemas"


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
        self._quoted = tuple(json.dumps(name).encode() for name in cameras)
        self._boxes = boxes
        self._clock = clock or Clock()
        self._codec: Codec = JsonCodec() if encoding == "json" else MsgpackCodec()
        self._envelope = {
            kind: {"v": VERSION, "kind": kind, "site": site, "box": box, "run": run}
            for kind in (*KINDS, "snapshot", "preview", "identities")
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
        frames = zip(camera.tolist(), captured_ns.tolist(), strict=True)
        body: dict[str, Any] = {
            "captured": {self._cameras[number]: _seconds(at + offset_ns) for number, at in frames},
            "age_ms": round(age_ms, 1),
        }
        if isinstance(self._codec, JsonCodec):
            listed = people.as_json(tracks, self._quoted, boxes=self._boxes)
            if listed is not None:
                message = self._message("tracks", wall_ns, body)
                return replace(message, tail=message.tail[:-1] + b',"tracks":' + listed + b"}")
        body["tracks"] = people.as_list(tracks, self._cameras, boxes=self._boxes)
        return self._message("tracks", wall_ns, body)

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
                        "unplaced": camera.unplaced,
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

    def preview(self, camera: int, captured_ns: int, size: tuple[int, int]) -> Message:
        """The header of a small picture; size: its width and height in px."""
        wall_ns, offset_ns = self._now()
        captured = _seconds(captured_ns + offset_ns)
        return self._message(
            "preview", wall_ns, {"camera": self._cameras[camera], "captured": captured, "size": list(size)}
        )

    def identities(self, rows: Sequence[Mapping[str, Any]], heard_s: float | None) -> Message:
        """Who of this box is whom on the site: rows of `run`, `id`, `site_id`, `since`.

        heard_s: how long ago the site was heard of, seconds; None: never.
        """
        body = {"heard_s": _rounded(heard_s, 1), "identities": list(rows)}
        return self._message("identities", self._now()[0], body)

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

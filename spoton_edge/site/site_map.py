"""The whole site published as a box publishes itself, its boxes in the place of cameras: the live map shows it."""

from __future__ import annotations

import time

import numpy as np

from spoton_edge import config
from spoton_edge.client import snapshot_endpoint
from spoton_edge.publisher import Publisher
from spoton_edge.site.identity import SILENT_S, Answers, SiteIdentity
from spoton_edge.site.messages import Binding
from spoton_edge.types import (
    CameraDescription,
    CameraStatus,
    Event,
    GlobalTracks,
    LinkDescription,
    Reason,
    SiteDescription,
    Status,
    Views,
)
from spoton_edge.wire import Clock, Encoder


class SiteMap:
    """Publishes on its own endpoints. Raises PublishError, where one cannot be bound."""

    def __init__(self, hub: config.Hub, run: str) -> None:
        self._hub = hub
        self._boxes = [box.name for box in hub.boxes]
        self._encoder = Encoder(
            hub.site, "site", run, self._boxes, boxes=False, clock=Clock(time.time_ns, time.time_ns)
        )
        # Whoever opens the map later learns from the snapshot where the boxes see.
        snapshot = hub.publish.snapshot or snapshot_endpoint(hub.publish.bind[0])
        self._publisher = Publisher(self._encoder, hub.publish.bind, snapshot=snapshot)
        self._described = -1
        self._seen: dict[int, dict[int, int]] = {}  # by site id, when each box saw somebody last
        self._batches = 0
        self._people = 0
        self._before: tuple[float, int, list[int]] | None = None  # the last status: when, steps, messages by box

    @property
    def endpoint(self) -> str:
        """The first of its endpoints."""
        return self._publisher.endpoints[0]

    def close(self) -> None:
        """Release the endpoints."""
        self._publisher.close()

    def tell(self, answers: Answers, identity: SiteIdentity) -> None:
        """Publish what a step has changed, and everybody, by his site id."""
        for binding in answers.bindings:
            self._publisher.publish(self._encoder.event(self._event(binding)))
        told = answers.told
        if told is None or told.people is None:
            return
        self._describe(identity)
        people = _renamed(told.people, told.site_ids)
        captured_ns = np.array(told.captured_ns, np.int64)
        for site_id, box in zip(people.global_id[people.views.row].tolist(), people.views.camera.tolist(), strict=True):
            self._seen.setdefault(site_id, {})[box] = max(told.captured_ns)
        age_ms = (time.time_ns() - int(captured_ns.min())) / 1e6
        self._batches, self._people = self._batches + 1, len(people)
        self._publisher.publish(self._encoder.tracks(people, np.array(told.camera, np.int16), captured_ns, age_ms))

    def _event(self, binding: Binding) -> Event:
        """An answer, as a box tells of its cameras: who split off is the one who is new."""
        box, other = self._boxes.index(binding.box), -1 if binding.other is None else binding.other
        seen = {number: when for number, when in self._seen.get(binding.site_id, {}).items() if number != box}
        came = max(seen, key=lambda number: seen[number], default=box)
        self._seen.setdefault(binding.site_id, {})[box] = int(binding.since * 1e9)
        first, second = (other, binding.site_id) if binding.event == "split" else (binding.site_id, other)
        return Event(
            binding.event,
            int(binding.since * 1e9),
            first,
            other=second,
            camera=box,
            from_camera=came if binding.event == "handed_off" else -1,
            reason=None if binding.gate is None else Reason(binding.gate),
        )

    def status(self, identity: SiteIdentity, now_s: float) -> None:
        """Publish how the boxes fare; once a second."""
        known = set(identity.answers().values())
        self._seen = {site_id: boxes for site_id, boxes in self._seen.items() if site_id in known}
        told = [heard.told for heard in identity.heard.values()]
        before_s, batches, told_before = self._before or (now_s - 1.0, self._batches, told)
        span_s = max(now_s - before_s, 1e-3)
        self._before = now_s, self._batches, told
        cameras = [
            CameraStatus(
                name=name,
                state="connecting" if not heard.at_s else "live" if now_s - heard.at_s < SILENT_S else "offline",
                fps=(heard.told - before) / span_s,
                frames=heard.told,
                dropped=heard.refused,  # of no use any more, or from the future
                bad_frames=0,
                skew_ms=None if heard.offset_s is None else -1e3 * heard.offset_s,
            )
            for (name, heard), before in zip(identity.heard.items(), told_before, strict=True)
        ]
        rate_hz = (self._batches - batches) / span_s
        status = Status(cameras=cameras, batches=self._batches, batch_rate_hz=rate_hz, people=self._people)
        self._publisher.publish(self._encoder.status(status, self._publisher.delivery()))

    def _describe(self, identity: SiteIdentity) -> None:
        """Publish where the boxes see, when that has changed."""
        known = hash(tuple(sorted((name, place.outline) for name, place in identity.places.items())))
        if known == self._described:
            return
        self._described = known
        cameras = [
            CameraDescription(name, None, None, identity.places[name].outline if name in identity.places else ())
            for name in self._boxes
        ]
        links = [
            LinkDescription(link.leave.partition("/")[0], link.enter.partition("/")[0], link.travel_s)
            for link in self._hub.links
        ]
        self._publisher.publish(self._encoder.site(SiteDescription(cameras, links)))


def _renamed(people: GlobalTracks, site_ids: tuple[int, ...]) -> GlobalTracks:
    """The people who have a site id (0: none), in ascending order of it."""
    named = np.array(site_ids, np.int64)
    order = np.argsort(named, kind="stable")
    order = order[named[order] > 0]
    row_of = np.full(len(named), -1, np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)
    row = row_of[people.views.row]
    use = np.flatnonzero(row >= 0)
    use = use[np.argsort(row[use], kind="stable")]
    views = people.views
    return GlobalTracks(
        named[order],
        people.xy[order],
        people.velocity[order],
        people.cov[order],
        people.state[order],
        people.age_s[order],
        people.best_view[order],
        Views(row[use], views.camera[use], views.track_id[use], views.xyxy[use], views.score[use]),
    )

"""A simulated site: people walk on the plane, cameras of known geometry see them, and the truth is kept beside it.

Everything is drawn from one seed, so that the same world is the same bytes. Boxes are full-body boxes of a cylinder of
the person's height, spoiled as detectors spoil them: noise in proportion to the size, misses, false alarms, a foot
point that lies towards the camera (a box ends at the nearer shoe), people hidden by those in front or cut by the edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spoton_edge.types import F4, F8, I8, Bool, Detections, FrameBatch, Tracklets, TrackState

HALF_WIDTH_M = 0.25
SHOE_M = 0.12  # from the body's axis to the tip of the nearer shoe


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: `projection` (3, 4) takes metres to pixels, the floor is z = 0."""

    projection: F8
    image_size: tuple[int, int] = (1280, 720)

    @property
    def homography(self) -> F8:
        """Pixel of the floor -> metres, (3, 3)."""
        return np.linalg.inv(self.projection[:, [0, 1, 3]])

    @property
    def centre(self) -> F8:
        return -np.linalg.inv(self.projection[:, :3]) @ self.projection[:, 3]

    def pixel(self, xyz: F8) -> tuple[F8, F8]:
        """Pixels (n, 2) of points (n, 3) and their depth (n,), negative behind the camera."""
        p = xyz @ self.projection[:, :3].T + self.projection[:, 3]
        return p[:, :2] / p[:, 2:], p[:, 2]


def look_at(
    position: Sequence[float],
    target: Sequence[float],
    focal_px: float = 800.0,
    image_size: tuple[int, int] = (1280, 720),
) -> Camera:
    """The level camera at `position` (x, y, z) whose centre pixel sees `target` (x, y, z)."""
    centre, ahead = np.asarray(position, float), np.asarray(target, float) - np.asarray(position, float)
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(ahead, right), ahead])
    k = np.array([[focal_px, 0, image_size[0] / 2], [0, focal_px, image_size[1] / 2], [0, 0, 1.0]])
    return Camera(k @ np.column_stack([rotation, -rotation @ centre]), image_size)


def room(cameras: int = 4, size_m: tuple[float, float] = (10.0, 8.0), height_m: float = 2.8) -> list[Camera]:
    """Cameras along the walls of one room, all looking at its middle: every place is seen by most of them."""
    w, d = size_m
    angle = 2 * np.pi * (np.arange(cameras) + 0.5) / cameras
    reach = 0.5 * np.hypot(w, d) + 0.5
    at = np.stack([w / 2 + reach * np.cos(angle), d / 2 + reach * np.sin(angle)], axis=1)
    return [look_at((x, y, height_m), (w / 2, d / 2, 0.8), focal_px=700.0) for x, y in at]


def corridor(cameras: int = 3, spacing_m: float = 14.0) -> list[Camera]:
    """Cameras beside a corridor along x that see about 7 m of it each, with blind stretches as long between them."""
    return [look_at((spacing_m * i, -7.0, 3.0), (spacing_m * i, 0.0, 1.0), focal_px=1200.0) for i in range(cameras)]


@dataclass(frozen=True)
class Walker:
    """One person: the path through `knots` (k, 3) of (seconds, x, y), present from the first to the last."""

    knots: F8
    appearance: F4  # (D,) unit vector; equal vectors are look-alikes
    height_m: float = 1.72
    hidden_s: tuple[tuple[float, float], ...] = ()  # spans in which no camera sees the person

    def at(self, t: float) -> F8 | None:
        """Where the person is at time t, (2,) m; None while not on the site."""
        if not self.knots[0, 0] <= t <= self.knots[-1, 0]:
            return None
        return np.array([np.interp(t, self.knots[:, 0], self.knots[:, axis]) for axis in (1, 2)])

    def hidden(self, t: float) -> bool:
        return any(start <= t < end for start, end in self.hidden_s)


def appearances(people: int, dimension: int, rng: np.random.Generator) -> F4:
    """Random unit vectors (people, dimension)."""
    v = rng.normal(size=(people, dimension))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def wanderers(
    people: int,
    seconds: float,
    rng: np.random.Generator,
    area_m: tuple[float, float] = (10.0, 8.0),
    stay_s: tuple[float, float] = (20.0, 60.0),
    dimension: int = 32,
) -> list[Walker]:
    """People who come in over the border at random times, walk and stop between random places, and leave."""
    walkers = []
    for appearance in appearances(people, dimension, rng):
        t = float(rng.uniform(0, max(seconds - stay_s[0], 1.0)))
        end = t + float(rng.uniform(*stay_s))
        here = _on_border(area_m, rng)
        knots = [(t, *here)]
        while t < end:
            there = rng.uniform(0.1, 0.9, 2) * area_m
            t += float(np.linalg.norm(there - here)) / float(rng.uniform(0.5, 1.5))
            knots.append((t, *there))
            here = there
            if rng.random() < 0.4:
                t += float(rng.uniform(0.5, 6.0))
                knots.append((t, *here))
        out = _on_border(area_m, rng)
        knots.append((t + float(np.linalg.norm(out - here)) / 1.2, *out))
        walkers.append(Walker(np.array(knots), appearance, float(rng.normal(1.72, 0.08))))
    return walkers


def _on_border(area_m: tuple[float, float], rng: np.random.Generator) -> F8:
    at = rng.uniform(0, 1, 2)
    axis = int(rng.integers(2))
    at[axis] = float(rng.integers(2))
    return at * area_m


@dataclass(frozen=True)
class Seen:
    """One step of the world: the truth, and for every camera what its detector says; row i is one box."""

    frame_id: int
    captured_ns: int
    person: I8  # (P,) who is on the site
    xy: F8  # (P, 2) m
    boxes: list[F4]  # per camera (n, 4) px
    scores: list[F4]  # per camera (n,)
    who: list[I8]  # per camera (n,), -1: a false alarm
    looks: list[F4]  # per camera (n, D) unit rows
    clear: list[Bool]  # per camera (n,): neither cut nor covered


@dataclass
class World:
    """Cameras and people; iterate `steps()` for what is seen. `seed` decides all noise."""

    cameras: list[Camera]
    walkers: list[Walker]
    seconds: float
    frame_rate: float = 10.0
    seed: int = 0
    box_noise: float = 0.02  # sd of each edge, share of the box's height
    miss: float = 0.05
    false_alarms: float = 0.02  # per camera and frame
    look_noise: float = 0.3  # length of the noise vector added to a unit appearance
    occlusion: bool = True
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        self.dimension = len(self.walkers[0].appearance) if self.walkers else 32

    def steps(self) -> Iterator[Seen]:
        rng = np.random.default_rng(self.seed)
        for frame in range(int(self.seconds * self.frame_rate)):
            t = frame / self.frame_rate
            present = [(i, at) for i, w in enumerate(self.walkers) if (at := w.at(t)) is not None]
            person = np.array([i for i, _ in present], np.int64)
            xy = np.array([at for _, at in present]).reshape(-1, 2)
            views = [self._view(camera, person, xy, t, rng) for camera in self.cameras]
            boxes, scores, who, looks, clear = (list(part) for part in zip(*views, strict=True))
            captured_ns = int(frame * 1_000_000_000 / self.frame_rate)
            yield Seen(frame, captured_ns, person, xy, boxes, scores, who, looks, clear)

    def _view(
        self, camera: Camera, person: I8, xy: F8, t: float, rng: np.random.Generator
    ) -> tuple[F4, F4, I8, F4, Bool]:
        """The boxes of one camera; draws the same amount of randomness whatever it sees of each person."""
        width, height = camera.image_size
        order = np.argsort(np.linalg.norm(xy - camera.centre[:2], axis=1), kind="stable") if len(xy) else []
        rows: list[tuple[F8, int, bool]] = []
        in_front: list[F8] = []
        for i in order:
            walker = self.walkers[person[i]]
            noise, missed = rng.normal(size=4), bool(rng.random() < self.miss)
            full = self._body(camera, xy[i], walker.height_m)
            if full is None or walker.hidden(t):
                continue
            box = np.clip(full, 0, [width, height, width, height])
            covered = max((_covered(box, front) for front in in_front), default=0.0) if self.occlusion else 0.0
            in_front.append(full)
            if (box[2] - box[0]) * (box[3] - box[1]) < 0.4 * (full[2] - full[0]) * (full[3] - full[1]) or covered > 0.7:
                continue
            if covered > 0.3:  # the detector boxes what it sees: a body ends where the one in front begins
                box[3] -= 0.5 * covered * (box[3] - box[1])
            clear = covered < 0.1 and bool(np.array_equal(box, full))
            if not missed:
                box = box + noise * self.box_noise * (full[3] - full[1])
                rows.append((np.clip(box, 0, [width, height, width, height]), int(person[i]), clear))
        for _ in range(int(rng.poisson(self.false_alarms))):
            u, v = rng.uniform(0, width - 60), rng.uniform(0, height - 160)
            rows.append((np.array([u, v, u + 50, v + 150]), -1, True))
        boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
        who = np.array([row[1] for row in rows], np.int64)
        looks = rng.normal(size=(len(rows), self.dimension)) / np.sqrt(self.dimension)
        for k, i in enumerate(who):
            looks[k] = looks[k] if i < 0 else self.walkers[i].appearance + self.look_noise * looks[k]
        looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9)
        scores = np.where(who >= 0, rng.uniform(0.7, 0.95, len(rows)), rng.uniform(0.3, 0.75, len(rows)))
        clear = np.array([row[2] for row in rows], np.bool_)
        return boxes, scores.astype(np.float32), who, looks.astype(np.float32), clear

    @staticmethod
    def _body(camera: Camera, at: F8, height_m: float) -> F8 | None:
        """The box of a body standing at `at`: its axis, and the shoe that is nearer to the camera."""
        towards = camera.centre[:2] - at
        towards = towards / np.linalg.norm(towards)
        across = HALF_WIDTH_M * np.array([-towards[1], towards[0]])
        points = np.array(
            [
                [*(at + SHOE_M * towards), 0.0],
                [*at, height_m],
                [*(at + across), height_m / 2],
                [*(at - across), height_m / 2],
            ]
        )
        uv, depth = camera.pixel(points)
        if depth.min() < 0.3:
            return None
        box = np.array([uv[2:, 0].min(), uv[1, 1], uv[2:, 0].max(), uv[0, 1]])
        width, height = camera.image_size
        return None if box[2] < 0 or box[3] < 0 or box[0] > width or box[1] > height else box


def _covered(box: F8, front: F8) -> float:
    """The share of `box` that `front` covers."""
    w = min(box[2], front[2]) - max(box[0], front[0])
    h = min(box[3], front[3]) - max(box[1], front[1])
    return float(max(w, 0.0) * max(h, 0.0) / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9))


def detections(seen: Seen, cameras: Sequence[int] | None = None) -> tuple[FrameBatch, Detections]:
    """What the detector hands on: a batch (its images are empty) of all cameras or of some, in the order given."""
    order = range(len(seen.boxes)) if cameras is None else cameras
    batch = FrameBatch(
        camera=np.array(order, np.int16),
        frame_id=np.full(len(order), seen.frame_id, np.int64),
        captured_ns=np.full(len(order), seen.captured_ns, np.int64),
        images=[],
    )
    counts = [len(seen.boxes[c]) for c in order]
    return batch, Detections(
        xyxy=np.concatenate([seen.boxes[c] for c in order]) if counts else np.zeros((0, 4), np.float32),
        score=np.concatenate([seen.scores[c] for c in order]) if counts else np.zeros(0, np.float32),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
    )


class OracleTracker:
    """Tracklets as a perfect single-camera tracker would give them: a new track id only after `buffer_s` out of sight.

    `switch` is the chance per frame and camera that two tracks of a camera exchange their people, as trackers do.
    """

    def __init__(self, buffer_s: float = 1.0, switch: float = 0.0, seed: int = 0) -> None:
        self._buffer_ns = int(buffer_s * 1e9)
        self._switch = switch
        self._rng = np.random.default_rng(seed)
        self._tracks: dict[tuple[int, int], tuple[int, int]] = {}  # (camera, person) -> (track id, last seen)
        self._count: dict[int, int] = {}
        self.last: dict[int, I8] = {}  # per camera, the track ids of the boxes of the last step

    def update(self, seen: Seen, cameras: Sequence[int] | None = None) -> tuple[Tracklets, I8]:
        """The tracklets with appearance, and the person behind each row (-1: a false alarm)."""
        rows = [self._camera(seen, c) for c in (range(len(seen.boxes)) if cameras is None else cameras)]
        tracklets = Tracklets.tracked(
            camera=np.concatenate([np.full(len(ids), c, np.int16) for c, ids in rows]),
            track_id=np.concatenate([ids for _, ids in rows]),
            state=np.full(sum(len(ids) for _, ids in rows), TrackState.VISIBLE, np.uint8),
            xyxy=np.concatenate([seen.boxes[c] for c, _ in rows]),
            score=np.concatenate([seen.scores[c] for c, _ in rows]),
            captured_ns=np.full(sum(len(ids) for _, ids in rows), seen.captured_ns, np.int64),
        )
        clear = np.concatenate([seen.clear[c] for c, _ in rows])
        looks = np.concatenate([seen.looks[c] for c, _ in rows])
        looks = np.where(clear[:, None], looks, 0).astype(np.float32)
        embedded = replace(tracklets, embedding=looks, has_embedding=clear)
        return embedded, np.concatenate([seen.who[c] for c, _ in rows])

    def _camera(self, seen: Seen, camera: int) -> tuple[int, I8]:
        ids = np.zeros(len(seen.who[camera]), np.int64)
        for k, person in enumerate(seen.who[camera]):
            held = self._tracks.get((camera, int(person))) if person >= 0 else None
            if held is None or seen.captured_ns - held[1] > self._buffer_ns:
                self._count[camera] = self._count.get(camera, 0) + 1
                held = (self._count[camera], 0)
            ids[k] = held[0]
            if person >= 0:
                self._tracks[camera, int(person)] = (held[0], seen.captured_ns)
        people = np.flatnonzero(seen.who[camera] >= 0)
        if len(people) > 1 and self._rng.random() < self._switch:
            a, b = self._rng.choice(people, 2, replace=False)
            one, other = (camera, int(seen.who[camera][a])), (camera, int(seen.who[camera][b]))
            self._tracks[one], self._tracks[other] = self._tracks[other], self._tracks[one]
            ids[[a, b]] = ids[[b, a]]
        self.last[camera] = ids
        return camera, ids

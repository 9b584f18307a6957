"""Slow, obvious twins of the compiled modules: what they must agree with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# --- letterbox ------------------------------------------------------------------------------------------------------


def resize(image: np.ndarray, out_width: int, out_height: int) -> np.ndarray:
    """Bilinear resize of u8 (H, W, 3) to f8 (out_height, out_width, 3), pixel by pixel, weights in 1/256."""
    height, width = image.shape[:2]
    result = np.zeros((out_height, out_width, 3))
    for y in range(out_height):
        y0, wy = _tap(y, height, out_height)
        for x in range(out_width):
            x0, wx = _tap(x, width, out_width)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            upper = (1 - wx) * image[y0, x0].astype(float) + wx * image[y0, x1]
            lower = (1 - wx) * image[y1, x0].astype(float) + wx * image[y1, x1]
            result[y, x] = (1 - wy) * upper + wy * lower
    return result


def _tap(i: int, length: int, out_length: int) -> tuple[int, float]:
    """The source pixel left of output pixel i's centre, and how far towards the next one it lies."""
    doubled = (2 * i + 1) * length * 256 // out_length - 256  # twice the position, in 1/256 pixel
    position = min(max(math.trunc(doubled / 2), 0), (length - 1) * 256)
    return position // 256, position % 256 / 256


# --- detection ------------------------------------------------------------------------------------------------------


def decode_yolox(
    raw: np.ndarray, width: int, height: int, person: int, min_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """A YOLOX head f4 (anchors, 5 + classes) to boxes f8 (n, 4) in network pixels and scores, in anchor order."""
    boxes, scores, row = [], [], 0
    for stride in (8, 16, 32):
        for y in range(height // stride):
            for x in range(width // stride):
                score = raw[row, 4] * raw[row, 5 + person]
                if score >= np.float32(min_score):
                    cx, cy = (raw[row, 0] + x) * stride, (raw[row, 1] + y) * stride
                    w, h = math.exp(raw[row, 2]) * stride, math.exp(raw[row, 3]) * stride
                    boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                    scores.append(score)
                row += 1
    return np.array(boxes).reshape(-1, 4), np.array(scores)


def decode_yolov8(raw: np.ndarray, person: int, min_score: float) -> tuple[np.ndarray, np.ndarray]:
    """A YOLOv8 head f4 (4 + classes, anchors) to boxes f4 (n, 4) and scores, in anchor order."""
    boxes, scores = [], []
    for cx, cy, w, h, *classes in raw.T:
        if classes[person] >= np.float32(min_score):
            half_w, half_h = np.float32(0.5) * w, np.float32(0.5) * h
            boxes.append([cx - half_w, cy - half_h, cx + half_w, cy + half_h])
            scores.append(classes[person])
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)


def decode_detr(
    boxes: np.ndarray, logits: np.ndarray, width: int, height: int, person: int, min_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """Queries (n, 4) as shares and logits (n, classes) to boxes f8 in pixels and probabilities, best first."""
    found = []
    for query, ((cx, cy, w, h), row) in enumerate(zip(boxes.astype(float), logits.astype(float), strict=True)):
        probability = 1 / (1 + math.exp(-row[person]))
        if probability >= min_score:
            box = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
            found.append((-probability, query, box))
    found.sort()
    return np.array([box for _, _, box in found]).reshape(-1, 4), np.array([-score for score, _, _ in found])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes; 0 where they only touch."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def nms(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """Greedy non-maximum suppression; rows that stay, best first, equal scores in their order."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if all(iou(boxes[k], boxes[i]) <= max_iou for k in kept):
            kept.append(i)
    return kept


# --- ByteTrack ------------------------------------------------------------------------------------------------------
# Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022; the filter is that of
# Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016, with Wojke's state (cx, cy, aspect, height).

F8 = NDArray[np.float64]
TRACKED, LOST, REMOVED = 0, 1, 2


class MatrixFilter:
    """The 8-state constant-velocity Kalman filter as the papers write it, with its whole 8 x 8 covariance."""

    motion = np.block([[np.eye(4), np.eye(4)], [np.zeros((4, 4)), np.eye(4)]])
    measure = np.block([np.eye(4), np.zeros((4, 4))])

    def __init__(self, z: F8) -> None:
        h = z[3]
        self.mean = np.concatenate([z, np.zeros(4)])
        self.cov = np.diag(np.square([h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]))

    def predict(self) -> None:
        h = self.mean[3]
        noise = np.diag(np.square([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]))
        self.mean = self.motion @ self.mean
        self.cov = self.motion @ self.cov @ self.motion.T + noise

    def update(self, z: F8) -> None:
        h = self.mean[3]
        s = self.measure @ self.cov @ self.measure.T + np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        gain = np.linalg.solve(s, self.measure @ self.cov).T
        self.mean = self.mean + gain @ (z - self.measure @ self.mean)
        self.cov = self.cov - gain @ s @ gain.T


class Filter:
    """The same filter in blocks: coordinate i has a value, a rate and the covariance [p c; c v] of the two.

    Operation for operation what is compiled, so that both break ties between equal costs alike.
    """

    def __init__(self, z: F8) -> None:
        h = z[3]
        self.value, self.rate = z.copy(), np.zeros(4)
        self.p = self._noise(2 * (1 / 20) * h, 1e-2)
        self.c = np.zeros(4)
        self.v = self._noise(10 * (1 / 160) * h, 1e-5)

    @staticmethod
    def _noise(length: float, aspect: float) -> F8:
        return np.array([length * length, length * length, aspect * aspect, length * length])

    def predict(self) -> None:
        h = self.value[3]
        self.p = ((self.p + self.c) + (self.c + self.v)) + self._noise(1 / 20 * h, 1e-2)
        self.c = self.c + self.v
        self.v = self.v + self._noise(1 / 160 * h, 1e-5)
        self.value = self.value + self.rate

    def update(self, z: F8) -> None:
        s = self.p + self._noise(1 / 20 * self.value[3], 1e-1)
        gain, rate_gain, surprise = self.p / s, self.c / s, z - self.value
        self.value, self.rate = self.value + surprise * gain, self.rate + surprise * rate_gain
        self.p, self.c = self.p - gain * s * gain, self.c - gain * s * rate_gain
        self.v = self.v - rate_gain * s * rate_gain

    def box(self) -> F8:
        cx, cy, aspect, h = self.value
        w = aspect * h
        x, y = cx - w / 2, cy - h / 2
        return np.array([x, y, w + x, h + y])


@dataclass(eq=False)
class Detection:
    """A box as the published code holds it: corner and size, the size rounded to single precision."""

    x: float
    y: float
    w: float
    h: float
    score: np.float32

    def box(self) -> F8:
        return np.array([self.x, self.y, self.w + self.x, self.h + self.y])

    def measured(self) -> F8:
        return np.array([self.x + self.w / 2, self.y + self.h / 2, self.w / self.h, self.h])


@dataclass(eq=False)
class Track:
    """One person in one camera."""

    id: int
    filter: Filter
    frame: int
    score: np.float32
    start_frame: int
    confirmed: bool
    state: int = TRACKED
    removed_before: bool = False

    def box(self) -> F8:
        return self.filter.box()


def pixel_iou(a: F8, b: F8, pixel: float) -> float:
    """Intersection over union; `pixel` 1 is the PASCAL convention."""
    w = min(a[2], b[2]) - max(a[0], b[0]) + pixel
    h = min(a[3], b[3]) - max(a[1], b[1]) + pixel
    if w <= 0 or h <= 0:
        return 0.0
    areas = [(box[2] - box[0] + pixel) * (box[3] - box[1] + pixel) for box in (a, b)]
    return float(w * h / (areas[0] + areas[1] - w * h))


def assign(cost: F8, limit: float) -> list[int]:
    """Column of each row, -1 where unmatched, at the least sum of costs, an unmatched row counting `limit`.

    Rows are added one by one along a shortest augmenting path (Jonker & Volgenant 1987) in the matrix widened by a
    spare column of cost `limit` for each row. Of equal paths: a real column before a spare one, a free column before a
    taken one, the lower index first; of spare columns, the last.
    """
    rows, columns = cost.shape
    wide = np.full((rows, columns + rows), np.inf)
    wide[:, :columns] = np.where(cost < limit, cost, np.inf)
    wide[range(rows), range(columns, columns + rows)] = limit
    dual = np.zeros(columns + rows)
    owner = np.full(columns + rows, -1)
    taken = [-1] * rows
    for root in range(rows):
        distance = np.full(columns + rows, np.inf)
        via = np.full(columns + rows, -1)
        scanned = np.zeros(columns + rows, np.bool_)
        row, reach = root, 0.0
        while True:
            through = wide[row] - dual - reach
            nearer = ~scanned & (through < distance)
            distance[nearer], via[nearer] = through[nearer], row
            nearest = np.flatnonzero(~scanned & (distance == distance[~scanned].min()))
            end = min(nearest, key=lambda j: (j >= columns, owner[j] >= 0, -j if j >= columns else j))
            if owner[end] < 0:
                break
            scanned[end] = True
            row = owner[end]
            reach = wide[row, end] - dual[end] - distance[end]
        dual[scanned] += distance[scanned] - distance[end]
        while end >= 0:
            row = via[end]
            owner[end], end, taken[row] = row, taken[row], end
    return [column if column < columns else -1 for column in taken]


@dataclass
class ByteTrack:
    """The published tracker, one object a track, no thought for speed."""

    frame_rate: float = 30.0
    high_score: float = 0.5
    low_score: float = 0.1
    new_score: float = 0.6
    match_limit: float = 0.8
    second_match_limit: float = 0.5
    new_match_limit: float = 0.7
    duplicate_limit: float = 0.15
    buffer_s: float = 1.0
    pascal_iou: bool = True
    frame: int = 0
    last_id: int = 0
    tracked: list[Track] = field(default_factory=list)
    lost: list[Track] = field(default_factory=list)

    def update(self, xyxy: NDArray[np.float32], score: NDArray[np.float32]) -> list[Track]:
        """One frame; the active tracks in published order."""
        self.frame += 1
        size = xyxy[:, 2:] - xyxy[:, :2]
        people = [Detection(*map(float, (*box[:2], *wh)), s) for box, wh, s in zip(xyxy, size, score, strict=True)]
        people = [person for person in people if person.h > 0]
        high = [person for person in people if person.score > np.float32(self.high_score)]
        low = [person for person in people if np.float32(self.low_score) < person.score < np.float32(self.high_score)]
        pool = [track for track in self.tracked if track.confirmed] + self.lost
        unconfirmed = [track for track in self.tracked if not track.confirmed]
        self._predict()

        left, high = self._associate(pool, high, self.match_limit, fused=True)
        left = [track for track in left if track.state == TRACKED]
        left, _ = self._associate(left, low, self.second_match_limit, fused=False)
        for track in left:
            track.state = LOST
        gone, high = self._associate(unconfirmed, high, self.new_match_limit, fused=True)
        for track in gone:
            track.state = REMOVED

        self.tracked = [track for track in self.tracked if track.state == TRACKED]
        for person in high:
            if person.score >= np.float32(self.new_score):
                self.last_id += 1
                first = self.frame == 1
                self.tracked.append(
                    Track(self.last_id, Filter(person.measured()), self.frame, person.score, self.frame, first)
                )
        self._renew_lost(left)
        self._drop_duplicates()
        return [track for track in self.tracked if track.confirmed]

    def predict(self) -> list[Track]:
        """One frame without detections."""
        if self.frame > 0:
            self.frame += 1
            self._predict()
        return [track for track in self.tracked if track.confirmed]

    def _predict(self) -> None:
        for track in self.tracked + self.lost:
            if track.state != TRACKED:
                track.filter.rate[3] = 0
            if track.confirmed:
                track.filter.predict()

    def _iou(self, a: Track, b: Track | Detection) -> float:
        return pixel_iou(a.box(), b.box(), 1.0 if self.pascal_iou else 0.0)

    def _associate(
        self, tracks: list[Track], people: list[Detection], limit: float, fused: bool
    ) -> tuple[list[Track], list[Detection]]:
        """Corrects the matched tracks; what is left of both."""
        if not tracks or not people:
            return tracks, people
        cost = np.array([[1 - self._iou(track, person) for person in people] for track in tracks])
        if fused:
            cost = 1 - (1 - cost) * np.array([float(person.score) for person in people])
        columns = assign(cost, limit)
        for track, column in zip(tracks, columns, strict=True):
            if column >= 0:
                track.filter.update(people[column].measured())
                track.frame, track.score, track.state, track.confirmed = self.frame, people[column].score, TRACKED, True
        return (
            [track for track, column in zip(tracks, columns, strict=True) if column < 0],
            [person for column, person in enumerate(people) if column not in columns],
        )

    def _renew_lost(self, newly_lost: list[Track]) -> None:
        kept = []
        for track in self.lost:
            if track.state == TRACKED:
                self.tracked.append(track)
                continue
            if not track.removed_before:
                kept.append(track)  # also where it is removed just now: it leaves in the next frame
            if self.frame - track.frame > int(self.frame_rate / 30 * (self.buffer_s * 30)):
                track.state, track.removed_before = REMOVED, True
        self.lost = kept + [track for track in newly_lost if not track.removed_before]

    def _drop_duplicates(self) -> None:
        drop = set()
        for track in self.tracked:
            for other in self.lost:
                if 1 - self._iou(track, other) < self.duplicate_limit:
                    longer = track.frame - track.start_frame > other.frame - other.start_frame
                    drop.add(other.id if longer else track.id)
        self.tracked = [track for track in self.tracked if track.id not in drop]
        self.lost = [track for track in self.lost if track.id not in drop]

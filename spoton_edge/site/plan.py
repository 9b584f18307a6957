"""The boxes of a site as the associator's cameras: a box looks down on its own floor, one pixel a metre.

So the same gate, cost and assignment decide between boxes as between a box's cameras: the outline of what a box sees is
its camera's region, its borders are the zones of its links, and a person's box in that picture ends where he stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spoton_edge.association import Associator
from spoton_edge.gallery import Appearance
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.handoff import Link
from spoton_edge.policy import Policy
from spoton_edge.site.messages import BoxPlace, Polygon
from spoton_edge.types import F4, F8, I2, I8, FootPoint, Tracklets, TrackState

# What differs one level up. Who has an id on a box is a person, and is told of twice a second.
POLICY = Policy(hit_nats=6.0, leave_s=1.2, steady_tracklets=True, habit_nats=0.5)
SHOULDER_M = 0.5  # width and height of a person in the picture from above
WALK_MPS = 1.3  # what a doubtful time costs in place
LOST_S = 10.0


@dataclass(frozen=True, slots=True)
class Border:
    """An edge of a box's area, by its name there."""

    box: str
    name: str


@dataclass(frozen=True, slots=True)
class Passage:
    """People who leave one box at a border come in at another's, after travel_s (least, most) out of sight."""

    out: Border
    into: Border
    travel_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is fixed about a site: its boxes by number, the passages between them, and how people move."""

    boxes: tuple[str, ...]
    passages: tuple[Passage, ...] = ()
    max_speed_mps: float = 3.0
    forget_s: float = 120.0
    sync_window_s: float = 0.1
    appearance: Appearance | None = None
    max_people: int = 1024


def build(rules: Rules, places: Mapping[str, BoxPlace]) -> Associator:
    """An associator of boxes, as far as their places are known."""
    planes = [_plane(places[name].outline) if name in places else None for name in rules.boxes]
    return Associator(
        planes,
        list(_links(rules, places)),
        max_speed_mps=rules.max_speed_mps,
        forget_s=rules.forget_s,
        lost_s=LOST_S,
        appearance=rules.appearance,
        max_people=rules.max_people,
        policy=POLICY,
    )


def _corner(outline: Polygon) -> tuple[float, float]:
    """The place on the site of the picture's pixel (0, 0)."""
    return (min(x for x, _ in outline), min(y for _, y in outline)) if outline else (0.0, 0.0)


def _plane(outline: Polygon) -> GroundPlane | None:
    if len(outline) < 3:
        return None
    corners = np.asarray(outline, np.float64)
    x, y = _corner(outline)
    width, height = np.ceil(corners.max(axis=0) - (x, y)) + 1
    return GroundPlane([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], (int(width), int(height)), corners - (x, y))


def _links(rules: Rules, places: Mapping[str, BoxPlace]) -> Iterator[Link]:
    for passage in rules.passages:
        out, into = (_zone(border, places) for border in (passage.out, passage.into))
        if out is not None and into is not None:
            numbers = rules.boxes.index(passage.out.box), rules.boxes.index(passage.into.box)
            yield Link(numbers[0], out, numbers[1], passage.travel_s, into)


def _zone(border: Border, places: Mapping[str, BoxPlace]) -> Sequence[Sequence[float]] | None:
    """A border in its box's picture; None as long as the box has not told where it is."""
    place = places.get(border.box)
    if place is None or border.name not in place.borders:
        return None
    corners: list[list[float]] = (np.asarray(place.borders[border.name]) - _corner(place.outline)).tolist()
    return corners


def tracklets(
    camera: I2,
    number: I8,
    captured_ns: I8,
    xy: F8,
    cov: F8,
    doubt_s: F8,
    tall_m: F8,
    looks: F4,
    places: Sequence[BoxPlace | None],
) -> Tracklets:
    """People of boxes as tracklets of cameras (T,): xy (T, 2) m with cov (T, 3), times known to within doubt_s (T,),
    tall_m (T,), NaN where not told, looks (T, D) with zero rows where there is none; places by number of the box."""
    corner = np.array([(0.0, 0.0) if place is None else _corner(place.outline) for place in places]).reshape(-1, 2)
    foot = xy - corner[camera]
    half = SHOULDER_M / 2
    xyxy = np.column_stack([foot[:, 0] - half, foot[:, 1] - SHOULDER_M, foot[:, 0] + half, foot[:, 1]])
    rows = len(camera)
    blurred = cov.copy()
    blurred[:, [0, 2]] += np.square(WALK_MPS * doubt_s)[:, None]
    seen = Tracklets.tracked(
        camera=camera,
        track_id=number,
        state=np.full(rows, TrackState.VISIBLE, np.uint8),
        xyxy=xyxy.astype(np.float32),
        score=np.ones(rows, np.float32),
        captured_ns=captured_ns,
    )
    return Tracklets(
        **{name: getattr(seen, name) for name in ("camera", "track_id", "state", "xyxy", "score", "captured_ns")},
        ground_xy=xy,
        ground_cov=blurred,
        tall_m=tall_m,
        embedding=looks,
        has_embedding=np.asarray(looks.any(axis=1)),
        foot=np.full(rows, FootPoint.SEEN, np.uint8),
    )

"""The list of people in a `tracks` message: as Python objects, and as JSON by compiled code, several times faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spoton_edge._ext import tracks_json
from spoton_edge.types import F8, GlobalTracks, TrackState

STATES = tuple(state.name.lower() for state in TrackState)

# x, y, vx, vy to the millimetre; the covariance to (3 mm)^2; the age to the millisecond.
_TABLE_SCALE = np.array([1e3, 1e3, 1e3, 1e3, 1e5, 1e5, 1e5, 1e3])


def as_json(tracks: GlobalTracks, quoted_cameras: tuple[bytes, ...], *, boxes: bool) -> bytes | None:
    """The JSON of `as_list`; None where a number is too large for its fixed point. Cameras: names as JSON strings."""
    views = tracks.views
    whole = np.ascontiguousarray
    return tracks_json.people(
        whole(tracks.global_id),
        whole(tracks.xy),
        whole(tracks.velocity),
        whole(tracks.cov),
        whole(tracks.state),
        whole(tracks.age_s),
        whole(tracks.best_view),
        whole(views.row),
        whole(views.camera),
        whole(views.track_id),
        whole(views.xyxy),
        whole(views.score),
        quoted_cameras,
        boxes,
    )


def as_list(tracks: GlobalTracks, cameras: Sequence[str], *, boxes: bool) -> list[dict[str, Any]]:
    """One map a person; what is not a finite number is None, a place, a velocity and a covariance each as a whole."""
    cuts = np.searchsorted(tracks.views.row, np.arange(len(tracks) + 1)).tolist()
    views = _views(tracks, cameras, boxes=boxes)
    table = np.column_stack([tracks.xy, tracks.velocity, tracks.cov, tracks.age_s])
    names = (*cameras, None)  # -1, no camera, is the last
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
            _fixed(table, _TABLE_SCALE).tolist(),
            tracks.global_id.tolist(),
            tracks.state.tolist(),
            tracks.best_view.tolist(),
            cuts,
            cuts[1:],
            strict=False,  # cuts has one more
        )
    ]
    for person, finite in zip(people, np.isfinite(table), strict=True):
        if not finite.all():
            _blank(person, finite.tolist())
    return people


def _views(tracks: GlobalTracks, cameras: Sequence[str], *, boxes: bool) -> list[dict[str, Any]]:
    views = tracks.views
    listed = [
        {"camera": cameras[camera], "track_id": track_id, "box": box, "score": score}
        for camera, track_id, box, score in zip(
            views.camera.tolist(),
            views.track_id.tolist(),
            _fixed(np.nan_to_num(views.xyxy.astype(np.float64), posinf=0, neginf=0), 10).tolist(),
            _fixed(np.nan_to_num(views.score.astype(np.float64), posinf=0, neginf=0), 1000).tolist(),
            strict=True,
        )
    ]
    if not boxes:
        for view in listed:
            del view["box"]
    return listed


def _fixed(values: F8, scale: float | F8) -> F8:
    """Rounds to 1/scale; the 0.0 added makes -0.0 a plain zero."""
    rounded: F8 = np.rint(values * scale)
    rounded += 0.0
    rounded /= scale
    return rounded


def _blank(person: dict[str, Any], finite: list[bool]) -> None:
    if not all(finite[0:2]):
        person["x"] = person["y"] = None
    if not all(finite[2:4]):
        person["vx"] = person["vy"] = None
    if not all(finite[4:7]):
        person["cov"] = None
    if not finite[7]:
        person["age_s"] = None

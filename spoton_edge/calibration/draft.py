"""What somebody who calibrates in the browser has changed and not saved: checked, judged, drawn and turned into keys.

Cameras that are not in the draft, and keys that are None there, are as in the site file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spoton_edge import config
from spoton_edge.calibration.agreement import footprint
from spoton_edge.calibration.fit import place
from spoton_edge.calibration.overlay import grid_lines, horizon, trusted, zone_on_floor
from spoton_edge.calibration.report import figures, plain
from spoton_edge.calibration.sight import camera_centre
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.config.kinds import MAX_POINTS, PointPair, Polygon, Size
from spoton_edge.errors import UsageError
from spoton_edge.ground_plane import GroundPlane

FEWEST, ADVISED = 4, 6
GRID_STEPS = 60  # a line's points: enough for the eye, and little to send
VEIL = (64, 36)  # columns, rows of what tells where a camera can be trusted
PERSON_M = 1.75
NEAR_M = 0.01  # marks of two cameras closer than this are one


Place: TypeAlias = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CameraDraft(_Part):
    """One camera's changes."""

    points: tuple[PointPair, ...] | None = Field(default=None, max_length=MAX_POINTS)
    image_size: Size | None = None  # of the points
    region: Polygon | tuple[()] | None = None  # (): everywhere
    handoff: tuple[config.Handoff, ...] | None = None


class Draft(_Part):
    """All changes. read: sha256 of the file that they are changes of."""

    read: str
    cameras: dict[str, CameraDraft] = Field(default_factory=dict)
    known: dict[str, int] = Field(default_factory=dict)  # camera -> tag of the answer that the page has already

    @classmethod
    def parse(cls, body: bytes) -> Draft:
        """From JSON. Raises `UsageError` with the first thing that is wrong."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            raise UsageError(f"{where}: {str(first['msg']).removeprefix('Value error, ')}") from None


def drafted(camera: config.Camera, draft: CameraDraft | None) -> config.Camera:
    """The camera as it would be; fewer points than a homography needs are no calibration."""
    if draft is None:
        return camera
    changed: dict[str, Any] = {}
    if draft.points is not None:
        changed["ground"] = ground_of(camera, draft)
    if draft.region is not None:
        changed["region"] = draft.region or None
    if draft.handoff is not None:
        changed["handoff"] = draft.handoff
    return camera.model_copy(update=changed)


def ground_of(camera: config.Camera, draft: CameraDraft) -> config.CameraGround | None:
    """The calibration by the draft's points; the lens that the file tells of stays."""
    if draft.points is None or len(draft.points) < FEWEST:
        return None
    before = camera.ground
    lens = None if before is None else (before.lens or before.camera)
    if isinstance(lens, config.CameraPose):
        lens = config.CameraLens(matrix=lens.matrix, distortion=lens.distortion)
    return config.CameraGround(points=draft.points, image_size=draft.image_size, lens=lens)


def keys_of(camera: config.Camera, draft: CameraDraft) -> dict[str, Any]:
    """What to write into the file, key by key; None: the key goes. One to three points are kept out of it."""
    keys: dict[str, Any] = {}
    if draft.points is not None and not 0 < len(draft.points) < FEWEST:
        ground = ground_of(camera, draft)
        keys["ground"] = None if ground is None else _written(ground, exclude_none=True)
    if draft.region is not None:
        keys["region"] = _written(draft)["region"] or None
    if draft.handoff is not None:
        keys["handoff"] = [_written(link, exclude_none=True) for link in draft.handoff] or None
    return keys


def _written(part: BaseModel, *, exclude_none: bool = False) -> dict[str, Any]:
    """Plain data; whole numbers without a point, as people write them."""

    def tidy(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return int(value)
        if isinstance(value, Mapping):
            return {key: tidy(inner) for key, inner in value.items()}
        return [tidy(inner) for inner in value] if isinstance(value, list | tuple) else value

    data: dict[str, Any] = tidy(part.model_dump(mode="json", exclude_none=exclude_none))
    return data


def unfinished(name: str, points: int) -> CameraVerdict:
    """The verdict on a camera that has too few points for any."""
    if not points:
        text = f"not calibrated: mark at least {FEWEST} spots of the floor, better {ADVISED} or more"
    else:
        text = f"{points} of at least {FEWEST} points; with {ADVISED} or more a wrong one is found"
    return CameraVerdict(name, "usable", (text,), calibrated=False)


def shared_marks(cameras: Sequence[config.Camera]) -> list[tuple[str, str, float, float]]:
    """(mark, camera, u, v) of points that two or more cameras have at the same place of the floor."""
    found = []
    for camera in cameras:
        points = () if camera.ground is None or camera.ground.points is None else camera.ground.points
        for u, v, x, y in points:
            found.append((f"{round(x / NEAR_M)},{round(y / NEAR_M)}", camera.name, u, v))
    cameras_of = Counter(mark for mark, _ in {(mark, name) for mark, name, _, _ in found})
    return [entry for entry in found if cameras_of[entry[0]] > 1]


def shown(camera: config.Camera, verdict: CameraVerdict) -> dict[str, Any]:
    """A verdict and all that is drawn of it, as JSON holds it; pixels are the calibration's, places metres."""
    out: dict[str, Any] = {
        "name": camera.name,
        "grade": verdict.grade if verdict.calibrated else None,
        "reasons": list(verdict.reasons),
        "figures": figures(verdict),
        "points": [],
    }
    plane, fit = verdict.plane, verdict.fit
    if plane is None:
        return out
    if fit is not None:
        fitted, on_floor = plane.to_image(fit.points[:, 2:]), place(fit.homography, fit.points[:, :2])
        out["points"] = [
            {
                "off_m": _rounded(fit.residual_m[i], 3),
                "left_out_m": _rounded(fit.leave_one_out_m[i], 3),
                "wrong": not bool(fit.inlier[i]),
                "fitted": _place(fitted[i], 1),
                "placed": _place(on_floor[i], 3),
            }
            for i in range(len(fit.points))
        ]
        out["hull"] = plain(np.round(fit.hull, 1)) if plane.lens is None else []
    pixels = np.stack(
        np.meshgrid(*(np.linspace(0, side - 1, n) for side, n in zip(plane.image_size, VEIL, strict=True))), axis=-1
    )
    trust = trusted(verdict, pixels.reshape(-1, 2))
    centre = camera_centre(plane)
    out |= {
        "image_size": list(plane.image_size),
        "grid": [
            {
                "axis": line.axis,
                "value": line.value,
                "bold": line.bold,
                "labelled": line.labelled,
                "runs": _runs(line.uv),
            }
            for line in grid_lines(plane, GRID_STEPS)
        ],
        "horizon": plain(np.round(horizon(plane), 1)),
        "veil": {"columns": VEIL[0], "rows": VEIL[1], "trusted": "".join("01"[int(bit)] for bit in trust)},
        "footprint": plain(np.round(footprint(plane), 2)),
        "camera": None if centre is None else plain(np.round(centre[:2], 2)),
        "region": [] if camera.region is None else plain(np.round(zone_on_floor(plane, camera.region), 2)),
        "handoff": [plain(np.round(zone_on_floor(plane, link.zone), 2)) for link in camera.handoff],
    }
    return out


def place_shown(plane: GroundPlane, *, uv: Place | None = None, xy: Place | None = None) -> dict[str, Any]:
    """One place as the picture (px) and the floor (m) have it, and where the head of somebody there would be (px)."""
    if uv is not None:
        at, pixel = plane.to_ground([uv])[0], np.asarray(uv)
    else:
        at = np.asarray(xy, np.float64)
        pixel = plane.to_image(at)[0]
    head = np.full((1, 2), np.nan)
    if plane.has_vertical and np.isfinite(at).all():
        u, v, w = plane.projection @ [*at, PERSON_M, 1.0]
        head = np.array([[u / w, v / w]]) if w > 0 else head
        head = head if plane.lens is None else plane.lens.bend(head)
    return {"uv": _place(pixel, 1), "xy": _place(at, 3), "head": _place(head[0], 1)}


def _runs(uv: np.ndarray) -> list[Any]:
    """A line's parts between NaN."""
    seen = np.isfinite(uv).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
    return [uv[a:b].round(1).tolist() for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _place(at: np.ndarray, digits: int) -> list[float] | None:
    return [round(float(x), digits) for x in at] if np.isfinite(at).all() else None


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None

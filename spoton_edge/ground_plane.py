"""From a box in a picture to a place on the floor, in metres, and how far that place can be trusted.

The foot point is the middle of a box's lower edge. Its covariance follows from the homography's Jacobian and from how
well a detector's edges are known, plus what calibrations of one site disagree by. Feet that are cut by the picture or
covered by a nearer person are weighed against the head, which stands a person's height above the floor.
R. Hartley, A. Zisserman, Multiple View Geometry (2003): 4.4 (normalised DLT), 5.3 (error propagation), 8.6 (a
single view of a plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike

from spoton_edge._ext import ground
from spoton_edge.lens import COLUMNS as LENS_COLUMNS
from spoton_edge.lens import Lens
from spoton_edge.types import F4, F8, I2, I4, U8, Bool, Tracklets

BIAS_RATE = 0.005  # per foot point: a camera is known after a few hundred
MOST_BIAS_M = 0.3  # that one foot point tells of; calibrations of one site disagree by a hand's breadth
IN_VIEW, EXPECTED, SHOWN = 1, 2, 4  # flags of `Site.sight`; SHOWN is added where a tracklet shows a track
HAS_PLANE, PEOPLE_M = 23, 25  # columns of the table in ext/ground.pyx


@dataclass(frozen=True, slots=True)
class FootModel:
    """What is known of boxes and people in general; shares are of the box's height. The order is `ext/ground.pyx`'s."""

    sd_u: float = 0.03  # a box agrees with its person to an IoU of about .8: a few per cent at each edge
    sd_v_seen: float = 0.04
    sd_v_covered: float = 0.08  # half hidden, a box's end is half as sure
    sd_v_cut: float = 0.5
    height_m: float = 1.70
    sd_height_m: float = 0.10
    shoe_m: float = 0.14  # half a shoe: a box ends at the tip of the nearer one, the body stands behind it
    sd_calibration_m: float = 0.10  # hand-made calibrations of one site disagree by 8 to 10 cm
    aspect: float = 0.41  # a box's width over its height, the mean of many (Dollár et al., Pedestrian Detection, 2012)
    sd_side: float = 0.06  # of the foot point of who is cut by the picture's side
    edge: float = 0.005  # of the picture's size: nearer to its edge, a box counts as cut
    cover: float = 0.25  # of the box's lower third
    sure_score: float = 0.5  # a detector is less sure than this of people who are hidden in part (ByteTrack, 2022, 3)


class GroundPlane:
    """One camera's view of the floor."""

    def __init__(
        self,
        homography: ArrayLike,
        image_size: tuple[int, int],
        region: ArrayLike | None = None,
        *,
        projection: ArrayLike | None = None,
        lens: Lens | None = None,
    ) -> None:
        """
        homography  (3, 3) pixel (u, v, 1) -> metres (x, y, 1), any scale
        image_size  width, height in pixels that the homography and the region are written in
        region      (n, 2) corners in pixels; only feet inside count
        projection  (3, 4) world (x, y, z, 1) -> pixel where it is known; otherwise the vertical is taken from the
                    homography, for a lens whose axis is the picture's middle
        lens        what bends the picture: homography and projection are of straight pixels then; regions, boxes and
                    `to_ground` are always of the picture's own
        """
        self.homography = np.array(homography, np.float64)
        if self.homography.shape != (3, 3) or not np.isfinite(self.homography).all():
            raise ValueError("a homography is 3 x 3 finite numbers")
        if abs(np.linalg.det(self.homography / np.abs(self.homography).max())) < 1e-14:
            raise ValueError("the homography cannot be inverted")
        self.lens = lens
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.region = np.zeros((0, 2)) if region is None else np.ascontiguousarray(region, np.float64).reshape(-1, 2)
        if len(self.region) in (1, 2):
            raise ValueError("a region has at least 3 corners")
        # Below the horizon the third coordinate is positive, and so is the depth in front of the camera.
        below = self.homography[2] @ [self.image_size[0] / 2, self.image_size[1], 1.0]
        self.homography *= np.sign(below) or 1.0
        self.projection_known = projection is not None
        self.projection = self._with_vertical(None if projection is None else np.array(projection, np.float64))

    @property
    def has_vertical(self) -> bool:
        """Whether heights above the floor can be read."""
        return bool(np.isfinite(self.projection).all())

    def to_ground(self, pixels: ArrayLike) -> F8:
        """(n, 2) pixels -> (n, 2) m; NaN on and above the horizon."""
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        uv = uv if self.lens is None else self.lens.straighten(uv)
        p = np.column_stack([uv, np.ones(len(uv))]) @ self.homography.T
        return np.where(p[:, 2:] > 1e-12, p[:, :2] / np.where(p[:, 2:] > 1e-12, p[:, 2:], 1.0), np.nan)

    def to_image(self, xy: ArrayLike) -> F8:
        """(n, 2) m on the floor -> (n, 2) pixels; NaN behind the camera."""
        points = np.asarray(xy, np.float64).reshape(-1, 2)
        p = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(self.homography).T
        uv = np.where(p[:, 2:] > 0, p[:, :2] / np.where(p[:, 2:] > 0, p[:, 2:], 1.0), np.nan)
        return uv if self.lens is None else self.lens.bend(uv)

    def _with_vertical(self, projection: F8 | None) -> F8:
        """The (3, 4) projection whose floor is the homography's; NaN in the third column where it cannot be known."""
        floor: F8 = np.linalg.inv(self.homography).astype(np.float64)
        if projection is not None:
            scale = float(np.sum(projection[:, [0, 1, 3]] * floor) / np.sum(projection[:, [0, 1, 3]] ** 2))
            vertical = projection[:, 2] * scale
            solid = np.column_stack([floor[:, :2], vertical])
            if np.linalg.cond(solid) < 1e12:  # a floor with y down has z down: people stand on the camera's side
                vertical = vertical * (np.sign(-np.linalg.solve(solid, floor[:, 2])[2]) or 1.0)
        else:
            vertical = _vertical(floor, self.image_size)
        return np.column_stack([floor[:, :2], vertical, floor[:, 2]])

    def footprint(self, coarsest_m: float = 0.25) -> F8:
        """The ground that this camera watches, corners (n, 2) m: its region or picture, as far as a pixel there stands
        for at most `coarsest_m` metres (a homography's Jacobian has the determinant det H / w^3, w = 0 at the horizon).
        """
        width, height = self.image_size
        picture = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        corners = self.region if len(self.region) else picture
        if self.lens is not None:  # straight edges are bent ones: follow them
            sides = zip(corners, np.roll(corners, -1, axis=0), strict=True)
            corners = self.lens.straighten(np.concatenate([np.linspace(a, b, 16, endpoint=False) for a, b in sides]))
            corners = corners[np.isfinite(corners).all(axis=1)]
        # w is positive where feet are seen.
        h = self.homography * np.sign(self.homography[2] @ (width / 2, height, 1.0))
        nearest_w = np.cbrt(abs(np.linalg.det(h)) / coarsest_m**2)
        seen = clip_polygon(corners, h[2] - (0, 0, nearest_w))
        floor = np.column_stack([seen, np.ones(len(seen))]) @ h.T
        return np.asarray(floor[:, :2] / floor[:, 2:])

    def row(self) -> F8:
        """The camera's row of the table that `ext/ground.pyx` reads."""
        # A vertical guessed from the homography is off by as much as people differ in height, or more.
        height_doubt = (1.0 if self.projection_known else 2.5) if self.has_vertical else 0.0
        flags = [*self.image_size, 1.0, height_doubt, 0.0, 0.0]
        lens = np.zeros(LENS_COLUMNS) if self.lens is None else self.lens.row()
        return np.concatenate([self.homography.ravel(), np.nan_to_num(self.projection).ravel(), flags, lens])


class Site:
    """The floor of all cameras; `planes[i]` is camera i's, None where it has none, and `unplaced[i]` says why."""

    def __init__(
        self,
        planes: Sequence[GroundPlane | None],
        model: FootModel | None = None,
        unplaced: Sequence[str | None] | None = None,
    ) -> None:
        self.planes = list(planes)
        self.unplaced = [None] * len(planes) if unplaced is None else list(unplaced)
        self.table = np.zeros((len(planes), ground.COLUMNS))
        regions = [np.zeros((0, 2)) if plane is None else plane.region for plane in planes]
        for row, plane in zip(self.table, planes, strict=True):
            if plane is not None:
                row[:] = plane.row()
                row[PEOPLE_M] = (model or FootModel()).height_m
        self.corners = np.ascontiguousarray(np.concatenate([*regions, np.zeros((0, 2))]))
        self.offsets = np.concatenate([[0], np.cumsum([len(region) for region in regions])]).astype(np.int32)
        self.floor = np.array([plane is not None for plane in planes], np.uint8)  # (C,) which cameras place people
        self._bias = np.zeros((len(planes), 2))
        self.model = np.array(astuple(model or FootModel()))

    def inherit(self, before: Site) -> None:
        """Take over what was learned of the cameras that are calibrated as they were; numbers mean the same cameras."""
        learned = [PEOPLE_M, PEOPLE_M + 1]
        for camera in range(min(len(self.planes), len(before.planes))):
            if np.array_equal(np.delete(self.table[camera], learned), np.delete(before.table[camera], learned)):
                self._bias[camera], self.table[camera] = before._bias[camera], before.table[camera]

    def project(self, tracklets: Tracklets) -> Tracklets:
        """The tracklets with `ground_xy`, `ground_cov`, `tall_m` and `foot` filled; NaN where there is no plane."""
        rows = len(tracklets)
        xy, cov, tall, foot = np.empty((rows, 2)), np.empty((rows, 3)), np.empty(rows), np.empty(rows, np.uint8)
        camera, xyxy = np.ascontiguousarray(tracklets.camera), np.ascontiguousarray(tracklets.xyxy)
        score = np.ascontiguousarray(tracklets.score)
        ground.project(camera, xyxy, score, self.table, self.corners, self.offsets, self.model, xy, cov, tall, foot)
        xy -= self._bias.take(camera, axis=0)
        return Tracklets(
            camera=tracklets.camera,
            track_id=tracklets.track_id,
            state=tracklets.state,
            xyxy=tracklets.xyxy,
            score=tracklets.score,
            captured_ns=tracklets.captured_ns,
            ground_xy=xy,
            ground_cov=cov,
            tall_m=tall,
            embedding=tracklets.embedding,
            has_embedding=tracklets.has_embedding,
            foot=foot,
        )

    def watched(self, xy: F8) -> Bool:
        """Which places xy (M, 2) m are in the picture and region of any camera."""
        out = np.empty(len(xy), np.uint8)
        ground.watched(xy, self.table, self.corners, self.offsets, out)
        return out.view(np.bool_)

    def learn_bias(self, camera: I2, xy: F8, track: I4, state: F8) -> None:
        """Learn by how much each camera places people beside where all cameras do: xy (T, 2) m of rows of `camera`

        are of the tracks in state (M, 4), -1: of none. Only the differences between cameras can be known.
        """
        if len(self.planes) > 1:
            ground.learn_bias(self._bias, self.table, camera, track, xy, state, BIAS_RATE, MOST_BIAS_M)

    def sight(self, xy: F8, camera: I2, xyxy: F4, margin: float = 0.03) -> U8:
        """What cameras have to do with people at xy (M, 2) m: flags (M, C) IN_VIEW, and EXPECTED where they ought to

        be seen: no box (T, 4) is before them, and they are not within `margin` of the picture's edge.
        """
        flags = np.empty((len(xy), len(self.planes)), np.uint8)
        ground.sight(xy, self.table, self.corners, self.offsets, camera, xyxy, margin, flags)
        return flags


def clip_polygon(corners: F8, line: F8) -> F8:
    """The part of a polygon (n, 2) where a u + b v + c >= 0 for line (a, b, c); Sutherland and Hodgman 1974."""
    side = corners @ line[:2] + line[2]
    kept = []
    for i in range(len(corners)):
        j = (i + 1) % len(corners)
        if side[i] >= 0:
            kept.append(corners[i])
        if (side[i] >= 0) != (side[j] >= 0):
            kept.append(corners[i] + (corners[j] - corners[i]) * (side[i] / (side[i] - side[j])))
    return np.array(kept).reshape(-1, 2)


def homography_from_projection(projection: ArrayLike) -> F8:
    """Pixel -> metres, (3, 3), of the floor z = 0 of a projection (3, 4) world (m) -> pixel."""
    p = np.asarray(projection, np.float64)
    if p.shape != (3, 4):
        raise ValueError("a projection is 3 x 4 numbers")
    floor = p[:, [0, 1, 3]]
    if np.linalg.cond(floor) > 1e12:
        raise ValueError("the projection does not see the floor z = 0")
    return np.asarray(np.linalg.inv(floor))


def homography_from_points(points: ArrayLike) -> F8:
    """Pixel -> metres, (3, 3), from at least 4 points (n, 4) of u, v (px), x, y (m), no 3 of 4 on a line.

    Normalised DLT (Hartley and Zisserman, algorithm 4.2). Raises ValueError where the points do not fix a homography.
    """
    p = np.asarray(points, np.float64)
    if p.ndim != 2 or p.shape[1] != 4 or len(p) < 4:
        raise ValueError("a homography needs at least 4 points of u, v, x, y")
    if not np.isfinite(p).all():
        raise ValueError("the points must be finite numbers")
    (uv, from_uv), (xy, from_xy) = _normalised(p[:, :2]), _normalised(p[:, 2:])
    ones, zeros = np.ones((len(p), 1)), np.zeros((len(p), 3))
    uv1 = np.hstack([uv, ones])
    equations = np.vstack(
        [np.hstack([uv1, zeros, -xy[:, :1] * uv1]), np.hstack([zeros, uv1, -xy[:, 1:] * uv1])],
    )
    _, singular, v = np.linalg.svd(equations)
    if singular[7] < 1e-6 * singular[0]:
        raise ValueError("the points lie on a line, or three of four do: they do not fix a homography")
    h = np.linalg.inv(from_xy) @ v[8].reshape(3, 3) @ from_uv
    if np.linalg.cond(v[8].reshape(3, 3)) > 1e8:
        raise ValueError("the points lie on a line, or three of four do: they do not fix a homography")
    return np.asarray(h / np.linalg.norm(h))


def _normalised(points: F8) -> tuple[F8, F8]:
    """Points moved to mean 0 and mean distance sqrt 2, and the (3, 3) that does it."""
    mean = points.mean(axis=0)
    spread = float(np.linalg.norm(points - mean, axis=1).mean())
    if spread == 0:
        raise ValueError("the points are all the same")
    s = np.sqrt(2) / spread
    return (points - mean) * s, np.array([[s, 0, -s * mean[0]], [0, s, -s * mean[1]], [0, 0, 1]])


def _vertical(floor: F8, image_size: tuple[int, int]) -> F8:
    """The third column of the projection whose columns 0, 1, 3 are `floor`; NaN where the picture does not tell.

    The focal length follows from the floor's axes being square and of equal length (square pixels, axis in the middle).
    A crop, or a camera that looks straight down, breaks the two equations: then they contradict each other.
    """
    nothing = np.full(3, np.nan)
    width, height = image_size
    size = float(np.hypot(width, height))
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, size]]) / size
    a, b = (centred @ floor)[:, 0], (centred @ floor)[:, 1]
    left = np.array([a[:2] @ b[:2], 0.5 * (a[:2] @ a[:2] - b[:2] @ b[:2])])
    right = -np.array([a[2] * b[2], 0.5 * (a[2] ** 2 - b[2] ** 2)])
    if np.linalg.norm(left) == 0 or np.linalg.norm(right) == 0:
        return nothing
    inverse_f2 = float(left @ right / (left @ left))
    residual = np.linalg.norm(left * inverse_f2 - right) / np.linalg.norm(right)
    if not 0.04 < inverse_f2 < 25 or residual > 0.2:  # a focal length between 0.2 and 5 diagonals
        return nothing
    k = np.diag([1 / np.sqrt(inverse_f2), 1 / np.sqrt(inverse_f2), 1.0])
    r1, r2 = np.linalg.solve(k, a), np.linalg.solve(k, b)
    scale = 0.5 * (np.linalg.norm(r1) + np.linalg.norm(r2))
    up = np.cross(r1 / np.linalg.norm(r1), r2 / np.linalg.norm(r2)) * scale
    column = np.linalg.solve(centred, k @ up)
    centre_z = -np.linalg.solve(np.column_stack([floor[:, :2], column]), floor[:, 2])[2]
    return np.asarray(column * np.sign(centre_z))  # the camera hangs above the floor

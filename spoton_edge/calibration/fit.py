"""A homography from points, robustly, with every figure that tells how far it can be trusted.

RANSAC (Fischler and Bolles, 1981) with the MSAC score (Torr and Zisserman, 2000), then weighted least squares on the
floor. Errors are in metres, because metres are what the gate between cameras is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from spoton_edge.ground_plane import homography_from_points
from spoton_edge.polygons import convex_hull
from spoton_edge.types import F8, Bool

PIXEL_SHARE = 1.5e-3  # sd of a clicked point, share of the picture's diagonal of points: 3 px of 2,000
MEASURED_M = 0.03  # sd of a place measured with a tape
OUTLIER_SDS = 4.0
TRIALS = 500
REFITTED = 12  # of the sets of points that agree, the best
RIGHT, DOWN = np.array([1.0, 0.0]), np.array([0.0, 1.0])  # one pixel


@dataclass(frozen=True, slots=True)
class Fit:
    """A homography and its figures; row i of every (n, ...) belongs to point i."""

    homography: F8  # (3, 3) pixel -> metres
    points: F8  # (n, 4) u, v (px), x, y (m), as given
    inlier: Bool  # (n,)
    ambiguous: bool  # the points disagree, and they are too few to tell which is wrong
    residual_m: F8  # (n,) from the fit without the outliers
    leave_one_out_m: F8  # (n,) by the other inliers' fit; NaN where they are fewer than 4
    placed: F8  # (n, 2) m, where the fit without this point puts it
    conditioning: float  # of the equations, 1 is best; above 1e3 small mistakes become large
    covariance: F8  # (9, 9) of the homography, scaled to unit norm
    hull: F8  # (k, 2) px, around the inliers: inside, the fit is interpolation
    sd_px: float  # assumed of the pixels
    sd_scale: float  # how many times larger than assumed the residuals are; at least 1

    @property
    def horizon(self) -> F8:
        """(3,) the line a u + b v + c = 0 where the floor ends; positive towards the floor."""
        line = self.homography[2].copy()
        return np.asarray(line / max(np.hypot(line[0], line[1]), 1e-300))

    @property
    def outliers(self) -> list[int]:
        """Rows of the points that contradict the others, from 0."""
        return [int(i) for i in np.flatnonzero(~self.inlier)]

    def ground_covariance(self, pixels: ArrayLike) -> F8:
        """(m, 2, 2) m^2 at pixels (m, 2): what the points' errors make of the place, without the foot's own error."""
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        jacobian = _jacobian(self.homography, uv)
        return np.asarray(jacobian @ self.covariance @ jacobian.transpose(0, 2, 1))

    def ground_sd_m(self, pixels: ArrayLike) -> F8:
        """(m,) m, the root of the covariance's trace; inf on and above the horizon."""
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        sd = np.sqrt(np.trace(self.ground_covariance(uv), axis1=1, axis2=2))
        return np.asarray(np.where(np.column_stack([uv, np.ones(len(uv))]) @ self.homography[2] > 0, sd, np.inf))


def fit_homography(points: ArrayLike, *, sd_px: float | None = None, sd_m: float = MEASURED_M, seed: int = 0) -> Fit:
    """Fits pixel -> metres to points (n, 4) of u, v (straight px), x, y (m); what contradicts the others is left out.

    sd_px: of a clicked pixel; default: a share of the points' spread. Raises ValueError where no four points fix a
    homography.
    """
    p = np.asarray(points, np.float64)
    if p.ndim != 2 or p.shape[1] != 4 or len(p) < 4 or not np.isfinite(p).all():
        raise ValueError("a homography needs at least 4 points [u, v, x, y] of finite numbers")
    sd_px = pixel_sd(p) if sd_px is None else sd_px
    inlier, ambiguous = _consensus(p, sd_px, sd_m, seed)
    homography = _refined(homography_from_points(p[inlier]), p[inlier], sd_px, sd_m)
    error = place(homography, p[:, :2]) - p[:, 2:]
    sd = _expected_sd(homography, p[inlier, :2], sd_px, sd_m)
    degrees = max(2 * int(inlier.sum()) - 8, 1)
    chi2 = float(np.sum((error[inlier] / sd[:, None]) ** 2) * 2)  # sd is of both coordinates together
    sd_scale = max(1.0, float(np.sqrt(chi2 / degrees)))
    covariance, conditioning = _covariance(homography, p[inlier], sd)
    loo, placed = _leave_one_out(p, inlier, homography, sd_px, sd_m)
    return Fit(
        homography=homography,
        points=p,
        inlier=inlier,
        ambiguous=ambiguous,
        residual_m=np.linalg.norm(error, axis=1),
        leave_one_out_m=loo,
        placed=placed,
        conditioning=conditioning,
        covariance=covariance * sd_scale**2,
        hull=convex_hull(p[inlier, :2]),
        sd_px=sd_px,
        sd_scale=sd_scale,
    )


def homography_of(points: F8, sd_px: float | None = None, sd_m: float = MEASURED_M) -> F8:
    """(3, 3) pixel -> metres from all the points (n, 4), none left out: what a camera with these points runs on."""
    return _refined(homography_from_points(points), points, sd_px or pixel_sd(points), sd_m)


def pixel_sd(points: F8) -> float:
    """The error of a clicked pixel that is assumed where none is told: a share of the points' spread."""
    return max(1.0, PIXEL_SHARE * float(np.linalg.norm(np.ptp(points[:, :2], axis=0))))


def place(homography: F8, uv: F8) -> F8:
    """(n, 2) px -> (n, 2) m; inf on the horizon."""
    q = np.column_stack([uv, np.ones(len(uv))]) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(q[:, :2] / q[:, 2:])


def _consensus(p: F8, sd_px: float, sd_m: float, seed: int) -> tuple[Bool, bool]:
    """The largest set of points that agree; and whether another set that large says something else."""
    n = len(p)
    if n == 4:
        return np.ones(4, bool), False
    if comb(n, 4) <= TRIALS:
        samples = [list(s) for s in combinations(range(n), 4)]
    else:
        rng = np.random.default_rng(seed)
        samples = [list(rng.choice(n, 4, replace=False)) for _ in range(TRIALS)]
    first: dict[bytes, tuple[float, Bool]] = {}  # by who agrees: the cost, and the mask
    for sample in samples:
        try:
            h = homography_from_points(p[sample])
        except ValueError:
            continue
        z = _standardised(h, p, sd_px, sd_m)
        agree = z < OUTLIER_SDS
        cost = float(np.sum(np.minimum(z, OUTLIER_SDS) ** 2))
        if agree.sum() >= 4 and cost < first.get(agree.tobytes(), (np.inf, agree))[0]:
            first[agree.tobytes()] = (cost, agree)
    found: list[tuple[int, float, Bool]] = []
    for cost, agree in sorted(first.values(), key=lambda f: f[0])[:REFITTED]:
        if agree.sum() > 4:  # refit: a sample of four noisy points extrapolates badly
            z = _standardised(homography_of(p[agree], sd_px, sd_m), p, sd_px, sd_m)
            agree, cost = z < OUTLIER_SDS, float(np.sum(np.minimum(z, OUTLIER_SDS) ** 2))
        if agree.sum() >= 4:
            found.append((int(agree.sum()), cost, agree))
    if not found:
        # Nothing agrees with anything, or no four points are in general position: the plain fit says which.
        homography_from_points(p)
        return np.ones(n, bool), True
    count, _, inlier = min(found, key=lambda f: (-f[0], f[1]))
    rivals = [a for c, _, a in found if c == count and not np.array_equal(a, inlier)]
    return inlier, count < n and (count < 5 or bool(rivals and count < 6))


def _standardised(h: F8, p: F8, sd_px: float, sd_m: float) -> F8:
    """How many of the expected errors each point is off; inf on and above the horizon."""
    w = np.column_stack([p[:, :2], np.ones(len(p))]) @ h[2]
    behind = np.sign(w) != np.sign(np.median(w))
    with np.errstate(all="ignore"):
        z = np.linalg.norm(place(h, p[:, :2]) - p[:, 2:], axis=1) / _expected_sd(h, p[:, :2], sd_px, sd_m)
    return np.asarray(np.where(behind | ~np.isfinite(z), np.inf, z))


def _expected_sd(h: F8, uv: F8, sd_px: float, sd_m: float) -> F8:
    """(n,) m: of a point's two coordinates together, from its pixel's and its measured place's errors."""
    step = place(h, uv + RIGHT), place(h, uv + DOWN)
    here = place(h, uv)
    area = np.sum((step[0] - here) ** 2, axis=1) + np.sum((step[1] - here) ** 2, axis=1)
    return np.asarray(np.sqrt(area * sd_px**2 + 2 * sd_m**2))


def _jacobian(h: F8, uv: F8) -> F8:
    """(n, 2, 9) of the place with respect to the homography's entries."""
    p = np.column_stack([uv, np.ones(len(uv))])
    q = p @ h.T
    out = np.zeros((len(uv), 2, 9))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = p / q[:, 2:]
        for axis in range(2):
            out[:, axis, 3 * axis : 3 * axis + 3] = scaled
            out[:, axis, 6:] = -scaled * (q[:, axis : axis + 1] / q[:, 2:])
    return np.nan_to_num(out, posinf=0, neginf=0)


def _refined(h: F8, p: F8, sd_px: float, sd_m: float, steps: int = 15) -> F8:
    """Levenberg-Marquardt on the floor, each point weighed by its expected error; positive on the floor."""
    t, s = _conditioner(p[:, :2]), _conditioner(p[:, 2:])
    q = np.column_stack([p[:, :2] * t[0, 0] + t[:2, 2], p[:, 2:] * s[0, 0] + s[:2, 2]])
    weight = s[0, 0] ** -1 / _expected_sd(h, p[:, :2], sd_px, sd_m)
    g = s @ h @ np.linalg.inv(t)
    g /= np.linalg.norm(g)

    def errors(g: F8) -> F8:
        off = (place(g, q[:, :2]) - q[:, 2:]) * weight[:, None]
        return np.asarray(np.nan_to_num(off, nan=1e6, posinf=1e6, neginf=-1e6))

    damping, error = 1e-3, errors(g)
    for _ in range(steps):
        j = (_jacobian(g, q[:, :2]) * weight[:, None, None]).reshape(-1, 9)
        normal = j.T @ j
        change = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal) + 1e-12), -j.T @ error.ravel(), rcond=None)
        tried = g + change[0].reshape(3, 3)
        tried /= np.linalg.norm(tried)
        new = errors(tried)
        if np.sum(new**2) < np.sum(error**2):
            small = np.sum(error**2) - np.sum(new**2) < 1e-12 * np.sum(error**2)
            g, error, damping = tried, new, damping / 10
            if small:
                break
        else:
            damping *= 10
    h = np.linalg.inv(s) @ g @ t
    h /= np.linalg.norm(h)
    return np.asarray(h * (np.sign(np.median(np.column_stack([p[:, :2], np.ones(len(p))]) @ h[2])) or 1.0))


def _conditioner(points: F8) -> F8:
    """(3, 3) that moves points to mean 0 and spread 1."""
    mean = points.mean(axis=0)
    scale = 1 / max(float(np.linalg.norm(points - mean, axis=1).mean()), 1e-12)
    return np.array([[scale, 0, -scale * mean[0]], [0, scale, -scale * mean[1]], [0, 0, 1]])


def _covariance(h: F8, p: F8, sd: F8) -> tuple[F8, float]:
    """(9, 9) of the unit-norm homography, and the condition number of the normalised equations."""
    t, s = _conditioner(p[:, :2]), _conditioner(p[:, 2:])
    g = s @ h @ np.linalg.inv(t)
    scale = np.linalg.norm(g)
    uv = p[:, :2] * t[0, 0] + t[:2, 2]
    j = (_jacobian(g / scale, uv) / (sd * s[0, 0])[:, None, None] * np.sqrt(2)).reshape(-1, 9)
    _, singular, rows = np.linalg.svd(j)
    kept = singular[:8]
    inverse = (rows[:8].T / np.maximum(kept, 1e-12) ** 2) @ rows[:8]
    # Back to pixels and metres: h = s^-1 g t, linear in the entries of g.
    back = np.kron(np.linalg.inv(s), t.T) * scale
    return np.asarray(back @ inverse @ back.T), float(kept[0] / max(kept[-1], 1e-12))


def _leave_one_out(p: F8, inlier: Bool, homography: F8, sd_px: float, sd_m: float) -> tuple[F8, F8]:
    """(n,) m and (n, 2) m: how far from its own place the others put each point, and where."""
    loo, placed = np.full(len(p), np.nan), place(homography, p[:, :2])
    for i in range(len(p)):
        others = inlier.copy()
        others[i] = False
        if others.sum() < 4:
            continue
        try:
            h = _refined(homography_from_points(p[others]), p[others], sd_px, sd_m)
        except ValueError:
            continue  # without this point the rest lie on a line
        placed[i] = place(h, p[i : i + 1, :2])[0]
        loo[i] = float(np.linalg.norm(placed[i] - p[i, 2:]))
    return loo, placed

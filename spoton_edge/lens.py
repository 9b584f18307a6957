"""How a lens bends the picture: pixels as the camera gives them, and the straight pixels a homography wants.

The model is OpenCV's: radial k1, k2, k3 over k4, k5, k6, and tangential p1, p2. D. C. Brown, Close-range camera
calibration (1971). `ext/ground.pyx` computes the same for the frame path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spoton_edge.types import F8

STEPS = 12  # of Newton's method; it is exact to 1e-9 px after 3 to 6 within `reach`
COLUMNS = 13  # of `row`


class Lens:
    """One camera's lens. Straight pixels have the same focal lengths and principal point as bent ones."""

    def __init__(self, matrix: ArrayLike, distortion: ArrayLike = ()) -> None:
        """
        matrix      (3, 3) [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] px; a skew is refused
        distortion  k1, k2, p1, p2, k3, k4, k5, k6: any number of them from the left
        """
        k, d = np.asarray(matrix, np.float64), np.asarray(distortion, np.float64).ravel()
        if (
            k.shape != (3, 3)
            or not np.isfinite(k).all()
            or k[0, 0] <= 0
            or k[1, 1] <= 0
            or abs(k[0, 1]) > 1e-6 * k[0, 0]
        ):
            raise ValueError("a lens matrix is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        if len(d) > 8 or not np.isfinite(d).all():
            raise ValueError("distortion has at most 8 numbers: k1, k2, p1, p2, k3, k4, k5, k6")
        self.focal, self.centre = k[[0, 1], [0, 1]], k[:2, 2]
        self.distortion = np.concatenate([d, np.zeros(8 - len(d))])
        self.reach = self._reach()

    @property
    def matrix(self) -> F8:
        """(3, 3) px."""
        return np.array([[self.focal[0], 0, self.centre[0]], [0, self.focal[1], self.centre[1]], [0, 0, 1]])

    def scaled(self, factors: ArrayLike) -> Lens:
        """The same lens, of a picture scaled by (horizontally, vertically)."""
        scale = np.asarray(factors, np.float64)
        return Lens(np.diag([*scale, 1.0]) @ self.matrix, self.distortion)

    def straighten(self, pixels: ArrayLike) -> F8:
        """(n, 2) pixels of the picture -> (n, 2) straight ones; NaN where the lens sees nothing (it folds over)."""
        uv = np.asarray(pixels, np.float64).reshape(-1, 2)
        seen = (uv - self.centre) / self.focal
        at = seen.copy()
        for _ in range(STEPS):
            bent, a, b, d = self._bend(at)
            error = bent - seen
            if np.nanmax(np.abs(error), initial=0.0) < 1e-12:
                break
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                det = a * d - b * b
                step = np.column_stack([d * error[:, 0] - b * error[:, 1], a * error[:, 1] - b * error[:, 0]])
                at = at - step / det[:, None]
        wrong = ~(np.abs(self._bend(at)[0] - seen).max(axis=1) < 1e-9) | ~((at**2).sum(axis=1) <= self.reach**2)
        at[wrong] = np.nan
        return np.asarray(at * self.focal + self.centre)

    def bend(self, pixels: ArrayLike) -> F8:
        """(n, 2) straight pixels -> (n, 2) pixels of the picture; NaN outside of what the lens can see."""
        at = (np.asarray(pixels, np.float64).reshape(-1, 2) - self.centre) / self.focal
        with np.errstate(over="ignore", invalid="ignore"):
            bent = np.asarray(self._bend(at)[0] * self.focal + self.centre)
            bent[~((at**2).sum(axis=1) <= self.reach**2)] = np.nan
        return bent

    def row(self) -> F8:
        """(13,) focal lengths, principal point, distortion, reach: as `ext/ground.pyx` reads it."""
        return np.array([*self.focal, *self.centre, *self.distortion, self.reach])

    def _bend(self, at: F8) -> tuple[F8, F8, F8, F8]:
        """Bent normalised points, and the Jacobian's entries dx/dx, dx/dy = dy/dx, dy/dy."""
        k1, k2, p1, p2, k3, k4, k5, k6 = self.distortion
        x, y = at.T
        with np.errstate(all="ignore"):
            r2 = x * x + y * y
            over, under = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
            radial = over / under
            slope = (k1 + r2 * (2 * k2 + 3 * r2 * k3) - radial * (k4 + r2 * (2 * k5 + 3 * r2 * k6))) / under
            bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
            bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
            a = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
            b = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
            d = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        return np.column_stack([bent_x, bent_y]), a, b, d

    def _reach(self) -> float:
        """The distance from the axis (in focal lengths) up to which farther out in the world is farther out here."""
        radii = np.linspace(0.005, 4.0, 800)
        most = np.inf
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            direction = np.array([np.cos(angle), np.sin(angle)])
            bent = self._bend(radii[:, None] * direction)[0] @ direction
            folds = np.flatnonzero(~(np.diff(bent, prepend=0.0) > 1e-6))
            most = min(most, radii[folds[0]] - 0.005 if len(folds) else np.inf)
        return float(min(most, radii[-1]))

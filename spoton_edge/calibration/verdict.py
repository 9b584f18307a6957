"""What is said of a camera's calibration: a grade, the reasons, and the figures that both rest on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from spoton_edge.calibration.fit import Fit
from spoton_edge.ground_plane import GroundPlane

Grade: TypeAlias = Literal["good", "usable", "refuse"]
GRADES: tuple[Grade, ...] = ("good", "usable", "refuse")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a verdict rests on; None where the calibration does not tell."""

    rms_m: float | None = None  # of the points
    left_out_m: float | None = None  # the largest leave-one-out error
    sd_m: float | None = None  # the largest within the points' hull, from the points' errors
    conditioning: float | None = None
    hull_share: float | None = None  # of the picture's part below the horizon
    metres_per_pixel: float | None = None  # at the middle of the picture's floor
    horizon_v: float | None = None  # px, in the middle column; negative: above the picture
    camera_height_m: float | None = None
    person_height_m: float | None = None  # median of the people seen


@dataclass(frozen=True, slots=True)
class CameraVerdict:
    """One camera's calibration, judged. `reasons` say what is wrong and how to mend it; empty for good ones."""

    camera: str
    grade: Grade
    reasons: tuple[str, ...] = ()
    figures: Figures = field(default_factory=Figures)
    plane: GroundPlane | None = None
    fit: Fit | None = None
    calibrated: bool = True

    def with_reason(self, grade: Grade, reason: str) -> CameraVerdict:
        """The same with a reason more, and the worse of both grades."""
        return replace(self, grade=worse(self.grade, grade), reasons=(*self.reasons, reason))


def worse(*grades: Grade) -> Grade:
    """The worst of grades."""
    return max(grades, key=GRADES.index)

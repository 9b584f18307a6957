"""What of a source's picture becomes a camera's frame, also when the picture's size is not what it was."""

from __future__ import annotations

from dataclasses import dataclass

from spoton_edge.capture.source import Source
from spoton_edge.errors import CameraError

Size = tuple[int, int]
"""(width, height), px."""

_SAME_SHAPE = 0.01
"""Largest relative difference of aspect ratios: 1920x1088 is 1920x1080 with its codec's padding."""


class MisfitError(CameraError):
    """A picture that a camera's crop or calibration does not fit."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a picture, half-open x0 y0 x1 y1 px (None: all), and the size it is scaled to (None: as it is)."""

    crop: tuple[int, int, int, int] | None = None
    size: Size | None = None


class Cutter:
    """Cuts the pictures of one camera so that its frames keep the size that its crop and calibration are for.

    The crop is for pictures of the size first seen. A picture of another size and the same shape (a camera that was
    switched to another resolution) is scaled, so that nothing after it has to know; one of another shape is refused.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._crop_is_for: Size | None = None

    def cut(self, picture: Size) -> Cut:
        """The cut for pictures of a size.

        Raises:
            MisfitError: the crop is not inside them, or they are of another shape than the crop or calibration is for.
        """
        crop = self._source.crop
        if crop is None:
            return Cut(None, self._scaled(picture))
        first = self._crop_is_for or picture
        x0, y0, x1, y1 = crop
        if not (0 <= x0 < x1 <= first[0] and 0 <= y0 < y1 <= first[1]):
            raise MisfitError(
                f"camera {self._source.name}: crop [{x0}, {y0}, {x1}, {y1}] is not inside the picture of "
                f"{first[0]}x{first[1]} px; write [x0, y0, x1, y1] with x1, y1 not above its size"
            )
        self._crop_is_for = first
        if picture == first:
            return Cut(crop, self._scaled((x1 - x0, y1 - y0)))
        if not _same_shape(picture, first):
            raise self._misfit(picture, first, "crop")
        across, down = picture[0] / first[0], picture[1] / first[1]
        scaled = (round(x0 * across), round(y0 * down), round(x1 * across), round(y1 * down))
        return Cut(scaled, self._source.size or (x1 - x0, y1 - y0))

    def size(self, picture: Size) -> Size:
        """The size of the frames that are cut from pictures of a size; raises as `cut` does."""
        cut = self.cut(picture)
        x0, y0, x1, y1 = cut.crop or (0, 0, *picture)
        return cut.size or (x1 - x0, y1 - y0)

    def _scaled(self, size: Size) -> Size | None:
        wanted = self._source.size
        if wanted is None or wanted == size:
            return None
        if not _same_shape(size, wanted):
            raise self._misfit(size, wanted, "calibration")
        return wanted

    def _misfit(self, size: Size, wanted: Size, what: str) -> MisfitError:
        return MisfitError(
            f"camera {self._source.name}: its picture of {size[0]}x{size[1]} px is of another shape than the {what}, "
            f"made for {wanted[0]}x{wanted[1]} px; set the camera back, or give a new {what}"
        )


def _same_shape(a: Size, b: Size) -> bool:
    return abs(a[0] * b[1] - a[1] * b[0]) <= _SAME_SHAPE * a[0] * b[1]

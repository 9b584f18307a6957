"""One picture of each camera: from a folder of pictures, or the first that its source gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spoton_edge import config
from spoton_edge.capture import Source, snapshot
from spoton_edge.errors import SpotOnError, UsageError
from spoton_edge.types import U8


def still(camera: config.Camera, folder: Path | None = None) -> U8:
    """(H, W, 3) BGR, cropped as the site file says; NAME.png or NAME.jpg of the folder are taken as they are.

    Raises `UsageError` for a picture that is missing or damaged, `CameraError` for a source that gives none.
    """
    if folder is not None:
        return _from_folder(camera.name, folder)
    return snapshot(source_of(camera))


def source_of(camera: config.Camera) -> Source:
    """What a picture is taken from: at its own size, whatever the calibration is for."""
    return Source(
        name=camera.name,
        url=camera.source,
        crop=camera.crop,
        decode="cpu",
        transport=camera.transport,
        clock_offset_ms=camera.clock_offset_ms,
    )


def sizes(site: config.Site) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Width and height of what each camera sends, where it can be had; and a line for each where it cannot."""
    found, missing = {}, []
    for camera in site.cameras:
        try:
            image = still(camera)
            found[camera.name] = (image.shape[1], image.shape[0])
        except SpotOnError as error:
            missing.append(f"{camera.name}: {error}")
    return found, missing


def _from_folder(name: str, folder: Path) -> U8:
    import cv2

    for suffix in (".png", ".jpg", ".jpeg"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise UsageError(f"{path}: is no picture")
            return np.asarray(image)
    raise UsageError(f"{folder}: has no {name}.png or {name}.jpg")

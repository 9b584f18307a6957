"""One picture of a camera, for looking at it and for calibrating it."""

from __future__ import annotations

import time
from pathlib import Path

from spoton_edge.capture.cut import Cutter
from spoton_edge.capture.source import Source
from spoton_edge.capture.video import SilentError, SourceError, Video, save_picture
from spoton_edge.errors import UsageError
from spoton_edge.types import U8


def snapshot(source: Source, *, patience_s: float = 10.0) -> U8:
    """The first whole picture of a source, cropped as its camera is, (H, W, 3) u8 BGR.

    Opens the source itself, so it needs no running service; `patience_s` is for the first picture after it is open.

    Raises:
        CameraError: it cannot be opened or sends nothing that can be decoded.
        CredentialError: its login is absent.
    """
    with Video(source, patience_s) as video:
        give_up = time.monotonic() + patience_s
        for picture in video.pictures():
            if picture is not None:
                return video.image(picture, Cutter(source).cut(picture.size))
            if time.monotonic() > give_up:
                raise SilentError(f"camera {source.name}: nothing that {source.shown} sends can be decoded")
    raise SourceError(f"camera {source.name}: {source.shown} ended before its first picture")


def save_snapshot(source: Source, path: Path, *, patience_s: float = 10.0) -> U8:
    """Write `snapshot` to a .jpg or .png file, whole or not at all.

    Raises:
        UsageError: the name is of another kind, or the file cannot be written; and what `snapshot` raises.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"{path}: a snapshot is a .jpg or .png file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    image = snapshot(source, patience_s=patience_s)
    save_picture(image, path)
    return image

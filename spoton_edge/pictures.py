"""Pictures of a folder or of its videos, and pictures with boxes drawn into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from spoton_edge.capture import Capture, Source
from spoton_edge.errors import UsageError
from spoton_edge.types import F4, U8

PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}
VIDEOS = {".avi", ".mp4", ".mkv", ".mov", ".webm"}
QUALITY = 85
WAIT_S = 30.0


def recorded(folder: Path, every: int = 1) -> Iterator[tuple[str, int, U8]]:
    """Every n-th picture (H, W, 3) BGR of a recording: its name, its number from 0, and itself.

    A recording is a folder of pictures, or of videos (also one folder down), each with a count of its own. Raises
    UsageError where there are none, CameraError where a video cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    stills = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    videos = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.suffix.lower() in VIDEOS)
    if not stills and not videos:
        raise UsageError(f"{folder}: no pictures ({', '.join(sorted(PICTURES))}) and no videos in it")
    for number, path in list(enumerate(stills))[::every]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{path}: not a picture that can be read")
        yield path.stem, number, np.asarray(image, np.uint8)
    for path in videos:
        yield from ((path.stem, number, image) for number, image in _frames(path) if number % every == 0)


def _frames(path: Path) -> Iterator[tuple[int, U8]]:
    capture = Capture([Source(name=path.stem[:64], url=str(path))], pace="fast")
    capture.open()
    try:
        capture.start()
        while not capture.finished:
            batch = capture.take(WAIT_S)
            if batch is not None:
                yield int(batch.frame_id[0]), batch.images[0]
    finally:
        capture.stop()


def draw(image: U8, boxes: F4, colour: tuple[int, int, int], labels: Sequence[str]) -> None:
    """Draw boxes f4 (N, 4) px and their labels into a BGR picture."""
    for (x1, y1, x2, y2), label in zip(np.rint(boxes).astype(int).tolist(), labels, strict=True):
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 2)
        cv2.putText(image, label, (x1, max(y1 - 4, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)


def save(image: U8, path: Path) -> None:
    """Write a JPEG. Raises UsageError where that cannot be done."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    try:
        assert done
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error

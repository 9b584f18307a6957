"""What the daemon keeps for `spoton-edge record`: the last detections, while somebody asks for them, and no longer.

The daemon writes nothing to disk: whoever records fetches from here through the control socket and writes the files.
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spoton_edge.recording import detection_of
from spoton_edge.types import F4, I2, I4, Detections, FrameBatch, Tracklets

KEPT_ROWS = 20_000  # detections kept at most: 8 s of 4 cameras with 40 people at 15 frames a second
FORGET_S = 10.0  # nobody has asked for so long: nobody records


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int  # of the batches that a detector looked at, from 0
    captured_ns: int
    camera: I2  # (N,) of each detection
    xyxy: F4
    score: F4
    described: I4  # (E,) rows that have a vector
    embedding: F4  # (E, D)


class Recorder:
    """Detections of the last batches, by number. One thread; bounded; free of cost while nobody asks."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, kept_rows: int = KEPT_ROWS) -> None:
        self._clock = clock
        self._kept_rows = kept_rows
        self._batches: deque[_Batch] = deque()
        self._rows = 0
        self._number = 0
        self._network = 0  # which one made the vectors
        self._wanted_until = self._vectors_until = -np.inf

    def take(self, batch: FrameBatch, detections: Detections, tracklets: Tracklets) -> None:
        """Keep what was found in a batch that the detector looked at, if anybody wants it.

        Of the vectors of `tracklets` those are kept, where they are wanted, that were computed in this batch.
        """
        number, self._number = self._number, self._number + 1
        now = self._clock()
        if now > self._wanted_until:
            self._batches.clear()
            self._rows = 0
            return
        camera = np.repeat(batch.camera, np.diff(detections.offsets))
        described, vectors = np.zeros(0, np.int32), np.zeros((0, 0), np.float32)
        if now <= self._vectors_until:
            described, vectors = _vectors(batch, detections, tracklets)
        kept = _Batch(
            number,
            int(batch.captured_ns.min()),
            camera,
            detections.xyxy.copy(),
            detections.score.copy(),
            described,
            vectors,
        )
        self._batches.append(kept)
        self._rows += len(camera)
        while self._rows > self._kept_rows:
            self._rows -= len(self._batches.popleft().camera)

    def forget_vectors(self) -> None:
        """From now on another network describes people: no vector of the old one is kept."""
        self._network += 1
        none = (np.zeros(0, np.int32), np.zeros((0, 0), np.float32))
        self._batches = deque(replace(batch, described=none[0], embedding=none[1]) for batch in self._batches)

    def since(self, after: int | None, embeddings: bool) -> dict[str, Any]:
        """All batches from number `after` on, as JSON can hold them; None: none yet, but begin to keep them.

        next: what to ask for next time; lost: batches that came too long ago to be kept; network: a number that changes
        when another network makes the vectors, which cannot be compared with those of before. Arrays are little-endian
        bytes in base64: number, captured_ns i8 (B,), batch i4, camera i2, score f4 (N,), xyxy f4 (N, 4), described i4
        (E,), embedding f4 (E, D).
        """
        self._wanted_until = self._clock() + FORGET_S
        if embeddings:
            self._vectors_until = self._wanted_until
        after = self._number if after is None else after
        kept = [batch for batch in self._batches if batch.number >= after]
        lost = (kept[0].number if kept else self._number) - after
        sizes = [len(batch.camera) for batch in kept]
        starts = np.cumsum([0, *sizes])[:-1]
        described = [batch.described + start for batch, start in zip(kept, starts, strict=True)] if embeddings else []
        vectors = [batch.embedding for batch in kept if len(batch.embedding)] if embeddings else []
        return {
            "next": self._number,
            "lost": int(lost),
            "network": self._network,
            "number": encode([batch.number for batch in kept], "<i8"),
            "captured_ns": encode([batch.captured_ns for batch in kept], "<i8"),
            "batch": encode(np.repeat(np.arange(len(kept)), sizes), "<i4"),
            "camera": encode(_joined([batch.camera for batch in kept]), "<i2"),
            "xyxy": encode(_joined([batch.xyxy for batch in kept]), "<f4"),
            "score": encode(_joined([batch.score for batch in kept]), "<f4"),
            "described": encode(_joined(described), "<i4"),
            "embedding": encode(_joined(vectors), "<f4"),
        }


def _vectors(batch: FrameBatch, detections: Detections, tracklets: Tracklets) -> tuple[I4, F4]:
    """The rows of the detections whose tracklets were described in this batch, and their vectors."""
    rows, vectors = [], []
    for image, camera in enumerate(batch.camera):
        low, high = detections.offsets[image : image + 2]
        mine = np.flatnonzero(tracklets.has_embedding & (tracklets.camera == camera))
        found = detection_of(
            tracklets.xyxy[mine], tracklets.score[mine], detections.xyxy[low:high], detections.score[low:high]
        )
        rows.append(low + found[found >= 0])
        vectors.append(tracklets.embedding[mine[found >= 0]])
    return np.concatenate(rows).astype(np.int32), np.concatenate(vectors)


def encode(values: Any, dtype: str) -> str:
    """Numbers as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")


def decode(text: str, dtype: str) -> Any:
    """The numbers that `encode` wrote, flat."""
    return np.frombuffer(base64.b64decode(text), dtype)


def _joined(arrays: Sequence[Any]) -> Any:
    return np.concatenate(arrays) if arrays else np.zeros(0)

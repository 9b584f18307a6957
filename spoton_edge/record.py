"""`spoton-edge record`: fetch detections from a running daemon and write them as a recording for `replay`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import __version__, control, recording
from spoton_edge.errors import UsageError
from spoton_edge.recorder import decode
from spoton_edge.recording import CameraDetections
from spoton_edge.types import F4, F8, I8

POLL_S = 0.5
ANSWER_S = 5.0
FIRST_FRAME = 1


@dataclass(slots=True)
class Record:
    """What has been fetched so far."""

    cameras: list[str]
    parts: list[dict[str, Any]] = field(default_factory=list)
    batches: int = 0
    rows: int = 0
    lost: int = 0
    network: int = 0  # that made the vectors

    def add(self, reply: dict[str, Any]) -> None:
        """Take in one answer of the daemon."""
        part = {name: decode(reply[name], dtype) for name, dtype in LAYOUT.items()}
        part["xyxy"] = part["xyxy"].reshape(-1, 4)
        if len(part["described"]):
            part["embedding"] = part["embedding"].reshape(len(part["described"]), -1)
        if reply["network"] != self.network:
            self.network = reply["network"]
            for old in self.parts:  # vectors of two networks cannot be compared: those of the last one are written
                old["described"], old["embedding"] = old["described"][:0], old["embedding"][:0]
        self.parts.append(part)
        self.batches += len(part["number"])
        self.rows += len(part["camera"])
        self.lost += reply["lost"]

    def write(self, folder: Path, about: dict[str, Any]) -> float:
        """Write the recording; its frame rate. Raises UsageError where there is nothing to write."""
        captured_ns = self._joined("captured_ns")
        if len(captured_ns) < 2:
            raise UsageError("nothing was recorded: the daemon took fewer than two batches; are its cameras live?")
        rate, frame_of = number_frames(captured_ns)
        starts = np.cumsum([0, *(len(part["number"]) for part in self.parts)])
        batch = np.concatenate([part["batch"] + start for part, start in zip(self.parts, starts, strict=False)])
        camera, xyxy, score = self._joined("camera"), self._joined("xyxy"), self._joined("score")
        vectors = self._vectors(len(camera))
        cameras = {}
        for index, name in enumerate(self.cameras):
            mine = camera == index
            cameras[name] = CameraDetections(
                frame_of[batch[mine]],
                xyxy[mine].astype(np.float32),
                score[mine].astype(np.float32),
                None if vectors is None else vectors[mine],
            )
        recording.write(folder, cameras, {"frame_rate": rate, **about})
        return rate

    def _joined(self, name: str) -> Any:
        return np.concatenate([part[name] for part in self.parts])

    def _vectors(self, rows: int) -> F4 | None:
        """All vectors (N, D), zero for a detection that was not described; None where none was."""
        widths = {part["embedding"].shape[1] for part in self.parts if len(part["described"])}
        if not widths:
            return None
        vectors = np.zeros((rows, widths.pop()), np.float32)
        start = 0
        for part in self.parts:
            if len(part["described"]):
                vectors[start + part["described"]] = part["embedding"]
            start += len(part["camera"])
        return vectors


LAYOUT = {
    "number": "<i8",
    "captured_ns": "<i8",
    "batch": "<i4",
    "camera": "<i2",
    "xyxy": "<f4",
    "score": "<f4",
    "described": "<i4",
    "embedding": "<f4",
}


def run(
    endpoint: str,
    folder: Path,
    *,
    seconds: float | None,
    embeddings: bool,
    progress: Callable[[Record], object] | None = None,
) -> tuple[Record, float]:
    """Record until `seconds` have passed, Ctrl-C, or the daemon ends; what was fetched, and its frame rate.

    Raises UsageError where there is no daemon, nothing came, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder}: has files in it; give --out an empty or a new folder")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror}; give another --out") from error
    first = control.ask(endpoint, "record", timeout_s=ANSWER_S, after=None, embeddings=embeddings)
    record = Record([camera["name"] for camera in first["cameras"]])
    sizes = {camera["name"]: camera["image_size"] for camera in first["cameras"] if camera["image_size"]}
    after, end = first["next"], time.monotonic() + (np.inf if seconds is None else seconds)
    try:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(POLL_S, left))
            reply = control.ask(endpoint, "record", timeout_s=ANSWER_S, after=after, embeddings=embeddings)
            record.add(reply)
            after = reply["next"]
            if progress is not None:
                progress(record)
    except KeyboardInterrupt:
        pass  # the usual end of a recording
    except UsageError:
        if not record.parts:
            raise  # the daemon is gone before it gave anything; else its end is the recording's
    if not record.parts:
        raise UsageError("nothing was recorded: it ended before the first answer of the daemon")
    rate = record.write(folder, {"image_sizes": sizes, "site": first["site"], "version": __version__})
    return record, rate


def number_frames(captured_ns: I8) -> tuple[float, I8]:
    """The frame rate of batches captured at these ascending times (B,), and each one's frame number, from 1.

    Batches follow one another without a hole, as trackers count frames and not seconds; only where one comes later than
    by one and a half frames, numbers are left out, so that capture time (number / rate) stays near the truth.
    """
    gaps: F8 = np.diff(captured_ns) / 1e9
    usual = gaps[gaps <= 3 * np.median(gaps)]
    period = max(float(np.mean(usual)), 1e-6)
    numbers = np.empty(len(captured_ns), np.int64)
    numbers[0] = FIRST_FRAME
    seconds = (captured_ns - captured_ns[0]) / 1e9
    for index in range(1, len(numbers)):
        late = seconds[index] / period - (numbers[index - 1] + 1 - FIRST_FRAME)
        numbers[index] = numbers[index - 1] + 1 + (round(late) if late > 1.5 else 0)
    return 1 / period, numbers

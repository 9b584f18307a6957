"""Slow, obvious twins of the compiled modules: what they must agree with."""

from __future__ import annotations

import math

import numpy as np

# --- letterbox ------------------------------------------------------------------------------------------------------


def resize(image: np.ndarray, out_width: int, out_height: int) -> np.ndarray:
    """Bilinear resize of u8 (H, W, 3) to f8 (out_height, out_width, 3), pixel by pixel, weights in 1/256."""
    height, width = image.shape[:2]
    result = np.zeros((out_height, out_width, 3))
    for y in range(out_height):
        y0, wy = _tap(y, height, out_height)
        for x in range(out_width):
            x0, wx = _tap(x, width, out_width)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            upper = (1 - wx) * image[y0, x0].astype(float) + wx * image[y0, x1]
            lower = (1 - wx) * image[y1, x0].astype(float) + wx * image[y1, x1]
            result[y, x] = (1 - wy) * upper + wy * lower
    return result


def _tap(i: int, length: int, out_length: int) -> tuple[int, float]:
    """The source pixel left of output pixel i's centre, and how far towards the next one it lies."""
    doubled = (2 * i + 1) * length * 256 // out_length - 256  # twice the position, in 1/256 pixel
    position = min(max(math.trunc(doubled / 2), 0), (length - 1) * 256)
    return position // 256, position % 256 / 256


# --- detection ------------------------------------------------------------------------------------------------------


def decode_yolox(
    raw: np.ndarray, width: int, height: int, person: int, min_score: float
) -> tuple[np.ndarray, np.ndarray]:
    """A YOLOX head f4 (anchors, 5 + classes) to boxes f8 (n, 4) in network pixels and scores, in anchor order."""
    boxes, scores, row = [], [], 0
    for stride in (8, 16, 32):
        for y in range(height // stride):
            for x in range(width // stride):
                score = raw[row, 4] * raw[row, 5 + person]
                if score >= np.float32(min_score):
                    cx, cy = (raw[row, 0] + x) * stride, (raw[row, 1] + y) * stride
                    w, h = math.exp(raw[row, 2]) * stride, math.exp(raw[row, 3]) * stride
                    boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                    scores.append(score)
                row += 1
    return np.array(boxes).reshape(-1, 4), np.array(scores)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes; 0 where they only touch."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def nms(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """Greedy non-maximum suppression; rows that stay, best first, equal scores in their order."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if all(iou(boxes[k], boxes[i]) <= max_iou for k in kept):
            kept.append(i)
    return kept

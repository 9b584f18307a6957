"""Letterbox of a camera's frame against the same in OpenCV and NumPy: median CPU time of one thread, alternating."""

import time
from collections.abc import Callable

import cv2
import numpy as np

from spoton_edge._ext.letterbox import Normalisation, letterbox

ROUNDS = 200


def with_opencv(image: np.ndarray, width: int, height: int) -> np.ndarray:
    scale = min(width / image.shape[1], height / image.shape[0])
    size = round(scale * image.shape[1]), round(scale * image.shape[0])
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    padded = cv2.copyMakeBorder(
        resized, 0, height - size[1], 0, width - size[0], cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )
    return np.ascontiguousarray(padded.transpose(2, 0, 1)).astype(np.float32)


def cpu_us(work: Callable[[], object]) -> float:
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1e3


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    normalisation = Normalisation()
    print(f"{'frame':>11} {'input':>9} {'ours us':>8} {'OpenCV us':>10} {'ratio':>6}")
    for (width, height), (to_width, to_height) in [
        ((1920, 1080), (640, 640)),
        ((1920, 1080), (416, 416)),
        ((640, 360), (416, 416)),
        ((448, 576), (448, 576)),
    ]:
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (5, 5), 0)
        tensor = np.empty((3, to_height, to_width), np.float32)
        times = np.array(
            [
                (
                    cpu_us(lambda i=image, t=tensor: letterbox(i, t, normalisation)),
                    cpu_us(lambda i=image, w=to_width, h=to_height: with_opencv(i, w, h)),
                )
                for _ in range(ROUNDS)
            ]
        )
        ours, theirs = np.median(times, axis=0)
        size, target = f"{width}x{height}", f"{to_width}x{to_height}"
        print(f"{size:>11} {target:>9} {ours:8.0f} {theirs:10.0f} {theirs / ours:6.2f}")


if __name__ == "__main__":
    main()

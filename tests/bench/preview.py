"""What small pictures cost the frames' way: nothing while nobody looks, and little while somebody does.

python -m tests.bench.preview
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time

import numpy as np

from spoton_edge.client_pictures import AsyncPictures
from spoton_edge.preview import Preview, small_jpeg
from spoton_edge.types import FrameBatch
from tests.messages import CAMERAS, encoder

CALLS = 2000
PICTURES = 40
FRAME_NS = 66_666_667
SIZE = (1080, 1920, 3)


def batches(count: int) -> list[FrameBatch]:
    """Of four cameras of 1920 x 1080, at 15 Hz."""
    rng = np.random.default_rng(0)
    # Noise compresses worst; blown up, it is as hard as a detailed picture.
    images = [np.kron(rng.integers(0, 255, (135, 240, 3), np.uint8), np.ones((8, 8, 1), np.uint8)) for _ in CAMERAS]
    assert images[0].shape == SIZE
    numbers = np.arange(len(CAMERAS), dtype=np.int16)
    ids = np.zeros(len(CAMERAS), np.int64)
    return [FrameBatch(numbers, ids, np.full(len(CAMERAS), i * FRAME_NS, np.int64), images) for i in range(count)]


def offered_us(preview: Preview, frames: list[FrameBatch], pause_s: float = 0.0) -> float:
    """Median CPU time of one offer, microseconds; what the preview's own thread does is not in it."""
    times = []
    for batch in frames:
        start_ns = time.thread_time_ns()
        preview.offer(batch)
        times.append((time.thread_time_ns() - start_ns) / 1e3)
        time.sleep(pause_s)
    return statistics.median(times)


async def looked_at_us(preview: Preview, frames: list[FrameBatch]) -> float:
    """The same while somebody looks at all cameras."""
    reader = AsyncPictures(preview.endpoint)
    try:
        reader.look_at("lobby", CAMERAS)
        while len(preview.wanted) < len(CAMERAS):
            await asyncio.sleep(0.01)
        return await asyncio.to_thread(offered_us, preview, frames, 0.03)
    finally:
        reader.close()


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as scratch, Preview(encoder(), CAMERAS, f"ipc://{scratch}/preview") as preview:
        nobody = offered_us(preview, batches(CALLS))
        somebody = asyncio.run(looked_at_us(preview, batches(150)))
    image = batches(1)[0].images[0]
    spent = []
    for _ in range(PICTURES):
        start_ns = time.thread_time_ns()
        jpeg, size = small_jpeg(image)
        spent.append((time.thread_time_ns() - start_ns) / 1e6)
    print(f"on the frames' way, a batch of four 1080p frames: nobody looks {nobody:.2f} us, somebody {somebody:.1f} us")
    print(
        f"a picture of {size[0]} x {size[1]} px, {len(jpeg) / 1e3:.0f} kB: {statistics.median(spent):.1f} ms of another"
    )
    print("thread, at most eight times a second for each camera that is looked at")


if __name__ == "__main__":
    main()

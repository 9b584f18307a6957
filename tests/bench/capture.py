"""Capture: decoding beside bare ffmpeg, two ways to convert pixels, how threads scale, and what a fault costs others.

CPU time of the whole process, alternating, medians; needs ffmpeg on the PATH for the comparison with it.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from spoton_edge.capture import Capture, Source
from spoton_edge.capture.cut import Cut
from spoton_edge.capture.video import Video
from spoton_edge.types import U8
from tests.e2e.rtsp import RtspCamera, access_units
from tests.e2e.watching import Watch

FRAMES = 90
ROUNDS = 3
FAULT_S = 10.0


def moving_picture(path: Path, width: int, height: int) -> Path:
    """An H.264 clip, as a camera sends it: a textured room with sensor noise, and people-sized things that move."""
    rng = np.random.default_rng(5)
    room = cv2.resize(rng.integers(60, 180, (height // 8, width // 8, 3), np.uint8), (width, height))
    grain = rng.normal(0, 2, (4, height, width, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 30, 0
        stream.bit_rate = 4_000_000
        stream.options = {"preset": "veryfast"}
        for number in range(FRAMES):
            image = room.copy()
            for walker in range(8):
                x, y = (walker * 211 + number * 6) % (width - 60), (walker * 97) % (height - 160)
                image[y : y + 160, x : x + 60] = (walker * 30, 200 - walker * 20, 90)
            image = np.clip(image + grain[number % 4], 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def capture(clips: list[Path]) -> None:
    with Capture([Source(f"c{i}", str(clip)) for i, clip in enumerate(clips)], pace="fast") as running:
        taken = sum(len(batch) for batch in running)
    assert taken == FRAMES * len(clips)


def ffmpeg_command(clip: Path) -> list[str]:
    options = ["-v", "error", "-nostdin", "-threads", "1"]
    return ["ffmpeg", *options, "-i", str(clip), "-pix_fmt", "bgr24", "-f", "rawvideo", "-y", os.devnull]


def bare_ffmpeg(clips: list[Path]) -> None:
    for clip in clips:
        subprocess.run(ffmpeg_command(clip), check=True)


def cpu_s(work: Callable[[], object]) -> float:
    def spent() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    start = spent()
    work()
    return spent() - start


def medians(works: dict[str, Callable[[], object]], frames: int) -> dict[str, float]:
    """CPU ms a frame of each piece of work, taken in turns."""
    for work in works.values():
        work()
    times = {name: [cpu_s(work) * 1e3 / frames for _ in range(1)] for name, work in works.items()}
    for _ in range(ROUNDS - 1):
        for name, work in works.items():
            times[name].append(cpu_s(work) * 1e3 / frames)
    return {name: float(np.median(values)) for name, values in times.items()}


def ffmpeg_together(clips: list[Path]) -> None:
    processes = [subprocess.Popen(ffmpeg_command(clip)) for clip in clips]
    assert not any(process.wait() for process in processes)


def decode_together(clips: list[Path]) -> None:
    """As readers do it, each clip in a thread of its own, without the consumer that the lock-step waits for."""
    threads = [threading.Thread(target=by_graph, args=(clip,)) for clip in clips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def busy(work: Callable[[], object], frames: int) -> tuple[float, float]:
    """(CPU ms a frame, CPU time / wall time); the machine's other users take part of its cores from both."""
    start = time.monotonic()
    spent = cpu_s(work)
    return spent * 1e3 / frames, spent / (time.monotonic() - start)


def decode_only(clip: Path) -> None:
    with Video(Source("c", str(clip)), 5.0) as video:
        for _ in video.pictures():
            pass


def by_graph(clip: Path) -> None:
    held: deque[U8] = deque(maxlen=3)  # as a mailbox and a batch hold pictures
    with Video(Source("c", str(clip)), 5.0) as video:
        for picture in video.pictures():
            assert picture is not None
            held.append(video.image(picture, Cut()))


def by_reformatter(clip: Path) -> None:
    held: deque[U8] = deque(maxlen=3)
    converter = VideoReformatter()
    with Video(Source("c", str(clip)), 5.0) as video:
        for picture in video.pictures():
            assert picture is not None
            held.append(converter.reformat(picture.frame, format="bgr24", threads=1).to_ndarray())


def fault_price(folder: Path) -> tuple[float, float]:
    """p99 age in ms of three cameras' frames when taken: while all is well, and while a fourth is killed and frozen."""
    cameras = [RtspCamera(access_units(folder / f"units{i}", "h264", range(60))) for i in range(4)]
    ages: dict[bool, list[float]] = {False: [], True: []}
    try:
        for camera in cameras:
            camera.start()
        with Watch([Source(f"c{i}", camera.url) for i, camera in enumerate(cameras)], stall_s=2.0) as watch:
            for faulty in (False, True) * 2:
                for index in range(4):
                    watch.until_fresh(index, 20.0)
                watch.forget()
                until = time.monotonic() + FAULT_S
                if faulty:
                    cameras[3].freeze()
                    time.sleep(FAULT_S / 2)
                    cameras[3].thaw()
                    cameras[3].kill()
                time.sleep(max(0.0, until - time.monotonic()))
                ages[faulty] += [age for camera, age in watch.ages_ms() if camera != 3]
                if faulty:
                    cameras[3].start()
    finally:
        for camera in cameras:
            camera.kill()
    return float(np.percentile(ages[False], 99)), float(np.percentile(ages[True], 99))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = moving_picture(folder / "hd.mp4", 1920, 1080)
        # Equal names would be decoded once for all.
        clips = [clip, *(shutil.copy(clip, folder / f"hd{i}.mp4") for i in range(1, 16))]

        print("1920x1080 H.264, CPU ms a frame")
        if shutil.which("ffmpeg"):
            for count in (1, 4):
                chosen = clips[:count]
                row = medians(
                    {"capture": lambda c=chosen: capture(c), "ffmpeg": lambda c=chosen: bare_ffmpeg(c)},
                    FRAMES * count,
                )
                ratio = row["ffmpeg"] / row["capture"]
                print(
                    f"  {count} cameras: {row['capture']:.2f}, bare ffmpeg {row['ffmpeg']:.2f}: {ratio:.2f}x its speed"
                )
        else:
            print("  no comparison: there is no ffmpeg here")

        works = {"decode": decode_only, "filter graph": by_graph, "VideoReformatter": by_reformatter}
        row = medians({key: lambda w=work: w(clip) for key, work in works.items()}, FRAMES)
        print("  one reader:", ", ".join(f"{key} {value:.2f}" for key, value in row.items()))

        print("16 x 1080p at once: CPU ms a frame, and cores kept busy")
        print("  {:.2f} and {:.2f} by threads".format(*busy(lambda: decode_together(clips), FRAMES * 16)))
        if shutil.which("ffmpeg"):
            print("  {:.2f} and {:.2f} by processes".format(*busy(lambda: ffmpeg_together(clips), FRAMES * 16)))

        print("p99 age of three cameras' frames, 4 x 15 frames/s over RTSP, ms")
        well, faulty = fault_price(folder)
        print(f"  all well {well:.0f}, the fourth frozen and killed {faulty:.0f}: {faulty - well:+.0f}")


if __name__ == "__main__":
    main()

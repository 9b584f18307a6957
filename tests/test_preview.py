"""Small pictures: made while somebody looks, and never in the frames' way."""

import asyncio
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq

from spoton_edge import keys, preview
from spoton_edge.capture import Capture, Source
from spoton_edge.client_pictures import AsyncPictures, Picture
from spoton_edge.errors import PublishError
from spoton_edge.preview import HIGH_WATER, WIDTH, Preview, small_jpeg
from spoton_edge.types import U8, FrameBatch
from tests.messages import CAMERAS, encoder, still_clock
from tests.waiting import until

pytestmark = pytest.mark.timeout(60)

BY = encoder(clock=still_clock())
HEARD_S = 10.0


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Preview]:
    with Preview(BY, CAMERAS, f"ipc://{tmp_path}/preview") as publisher:
        yield publisher


def picture(shade: int = 128, size: tuple[int, int] = (1280, 720)) -> U8:
    return np.full((size[1], size[0], 3), shade, np.uint8)


def batch(at_s: float = 5.0, cameras: tuple[int, ...] = (0, 1), shade: int = 128) -> FrameBatch:
    count = len(cameras)
    return FrameBatch(
        camera=np.array(cameras, np.int16),
        frame_id=np.zeros(count, np.int64),
        captured_ns=np.full(count, int(at_s * 1e9), np.int64),
        images=[picture(shade)] * count,
    )


async def looking(publisher: Preview, cameras: list[str], offers: list[FrameBatch]) -> list[Picture]:
    """What somebody who looks at these cameras gets of these batches, each offered when the one before was sent."""
    reader = AsyncPictures(publisher.endpoint)
    try:
        reader.look_at("lobby", cameras)
        await asyncio.to_thread(until, lambda: len(publisher.wanted) == len(cameras))
        seen = []
        for offer in offers:
            publisher.offer(offer)
            async with asyncio.timeout(HEARD_S):
                seen += [await reader.receive() for camera in offer.camera.tolist() if CAMERAS[camera] in cameras]
        return seen
    finally:
        reader.close()


def test_without_an_onlooker_nothing_is_kept_or_made(pictures: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(preview, "small_jpeg", lambda image: made.append(1) or (b"", (1, 1)))
    for number in range(50):
        pictures.offer(batch(at_s=float(number)))
    assert not pictures.wanted
    assert not pictures._waiting
    assert not made


def test_an_onlooker_gets_a_small_picture_with_camera_and_capture_time(pictures: Preview) -> None:
    (seen,) = asyncio.run(looking(pictures, ["c2"], [batch(at_s=5.0, shade=200)]))
    assert (seen.site, seen.camera) == ("lobby", "c2")
    assert seen.captured == 999.0  # the clock stands at Unix second 1000 and monotonic second 6
    image = cv2.imdecode(np.frombuffer(seen.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[:2] == seen.size[::-1] == (270, WIDTH)
    assert abs(float(image.mean()) - 200) < 2


def test_only_what_is_looked_at_is_made(pictures: Preview) -> None:
    seen = asyncio.run(looking(pictures, ["c1"], [batch(1.0), batch(2.0), batch(3.0)]))
    assert [one.camera for one in seen] == ["c1"] * 3
    assert set(pictures._counts) == {0}


def test_when_the_last_onlooker_has_gone_nothing_is_made_any_more(pictures: Preview) -> None:
    asyncio.run(looking(pictures, ["c1", "c2"], [batch()]))
    until(lambda: not pictures.wanted)


def test_a_camera_has_no_more_than_so_many_pictures_a_second(pictures: Preview) -> None:
    first, _, _, last = [batch(10.0 + part, (0,)) for part in (0.0, 0.03, 0.06, 0.13)]

    async def look() -> list[float]:
        reader = AsyncPictures(pictures.endpoint)
        try:
            reader.look_at("lobby", ["c1"])
            await asyncio.to_thread(until, lambda: bool(pictures.wanted))
            for part in (0.0, 0.03, 0.06):
                pictures.offer(batch(10.0 + part, (0,)))
            times = [(await reader.receive()).captured]
            pictures.offer(last)
            return [*times, (await reader.receive()).captured]
        finally:
            reader.close()

    times = asyncio.run(asyncio.wait_for(look(), HEARD_S))
    assert times[1] - times[0] == pytest.approx(0.13)
    assert float(first.captured_ns[0]) / 1e9 + 994.0 == pytest.approx(times[0])


def test_an_onlooker_that_does_not_read_delays_nobody_and_fills_no_memory(pictures: Preview) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        idle = context.socket(zmq.SUB)
        idle.setsockopt(zmq.RCVHWM, 1)
        idle.connect(pictures.endpoint)
        idle.subscribe(b"spoton/1/lobby/preview/")
        until(lambda: len(pictures.wanted) == len(CAMERAS))
        for number in range(30 * HIGH_WATER):
            pictures.offer(batch(at_s=float(number), cameras=(0, 1, 2, 3)))
            assert len(pictures._waiting) <= len(CAMERAS)
        until(lambda: not pictures._waiting)
    finally:
        context.destroy(linger=0)


def test_offering_does_not_wait_for_a_picture_in_the_making(pictures: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    free, busy = threading.Event(), threading.Event()

    def slow(image: U8) -> tuple[bytes, tuple[int, int]]:
        busy.set()
        assert free.wait(HEARD_S)
        return small_jpeg(image)

    monkeypatch.setattr(preview, "small_jpeg", slow)

    async def look() -> list[float]:
        reader = AsyncPictures(pictures.endpoint)
        try:
            reader.look_at("lobby", ["c1"])
            await asyncio.to_thread(until, lambda: bool(pictures.wanted))
            pictures.offer(batch(1.0, (0,)))
            assert await asyncio.to_thread(busy.wait, HEARD_S)
            for at_s in (2.0, 3.0, 4.0):  # returns each time, though the first is still being made
                pictures.offer(batch(at_s, (0,)))
            free.set()
            return [(await reader.receive()).captured for _ in range(2)]
        finally:
            free.set()
            reader.close()

    assert asyncio.run(asyncio.wait_for(look(), HEARD_S)) == [995.0, 998.0]  # the newest wins


def test_its_file_is_for_owner_and_group_only(pictures: Preview, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "preview").stat().st_mode) == 0o660


def test_it_leaves_no_file_behind(tmp_path: Path) -> None:
    with Preview(BY, CAMERAS, f"ipc://{tmp_path}/preview"):
        assert (tmp_path / "preview").is_socket()
    assert not list(tmp_path.iterdir())


def test_an_endpoint_in_use_names_the_key(pictures: Preview) -> None:
    with pytest.raises(PublishError, match=r"another program listens there; stop it, or change publish\.preview"):
        Preview(BY, CAMERAS, pictures.endpoint)


def test_with_keys_only_those_on_the_list_see_anything(tmp_path: Path) -> None:
    known = keys.new(tmp_path / "keys", "known", tmp_path / "known.key")
    stranger = keys.new(tmp_path / "others", "stranger", tmp_path / "stranger.key")
    with Preview(BY, CAMERAS, "tcp://127.0.0.1:0", keys=keys.load(tmp_path / "keys")) as publisher:

        async def look() -> Picture:
            readers = [AsyncPictures(publisher.endpoint, key=key) for key in (known, stranger)]
            readers.append(AsyncPictures(publisher.endpoint))
            try:
                for reader, camera in zip(readers, CAMERAS, strict=False):
                    reader.look_at("lobby", [camera])
                await asyncio.to_thread(until, lambda: bool(publisher.wanted))
                await asyncio.sleep(0.3)
                assert publisher.wanted == {0}
                publisher.offer(batch())
                return await readers[0].receive()
            finally:
                for reader in readers:
                    reader.close()

        assert asyncio.run(asyncio.wait_for(look(), HEARD_S)).camera == "c1"


def test_a_kept_frame_is_never_written_to_again() -> None:
    """Preview holds on to frames while the cameras go on: capture must not reuse their memory."""
    with Capture([Source(name="a", url="test:64x48@200"), Source(name="b", url="test:66x48@200")]) as capture:
        kept = []
        while len(kept) < 30:
            taken = capture.take(HEARD_S)
            assert taken is not None
            kept += [(image, image.copy()) for image in taken.images]
    for image, copy in kept:
        assert np.array_equal(image, copy)
    assert len({image.ctypes.data for image, _ in kept}) == len(kept)

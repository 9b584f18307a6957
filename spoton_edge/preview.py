"""Small pictures of the cameras, for people to look at: made only while somebody subscribes, and never on the frames'
way.

A picture is three frames: topic `spoton/1/<site>/preview/<camera>`, a header (`schemas/preview.json`), a JPEG. The
pipeline leaves a reference to the newest frame of each camera that is wanted and due; a thread of its own scales,
compresses and sends. One that is not taken in time is replaced.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import zmq

from spoton_edge.door import Door, Limits, caller
from spoton_edge.endpoints import bind as bind_endpoint
from spoton_edge.endpoints import remove_file
from spoton_edge.keys import Judge, Keys
from spoton_edge.types import U8, FrameBatch
from spoton_edge.wire import Encoder, topic

WIDTH = 480  # px at most
QUALITY = 70
RATE_HZ = 8.0  # of each camera, at most
HIGH_WATER = 8  # pictures queued for one subscriber
SWEEP_MS = 200
SWEPT = 32


class _Waiting(NamedTuple):
    image: U8
    captured_ns: int


class Preview:
    """Binds at once, sends until closed. `offer` is called by the pipeline, between two batches.

    Args:
        encoder: of this run; writes the headers.
        cameras: names by number.
        endpoint: tcp or ipc; the file of an ipc endpoint has mode 0660.
        keys: encrypt a tcp endpoint, and let in those on the list only.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(self, encoder: Encoder, cameras: Sequence[str], endpoint: str, *, keys: Keys | None = None) -> None:
        self._encoder = encoder
        self._topics = [topic(encoder.site_name, f"preview/{name}") for name in cameras]
        self._context = zmq.Context()
        mask = os.umask(0o117)  # an ipc file is born with mode 0660
        try:
            self._judge = Judge(self._context, keys)
            self._xpub = self._context.socket(zmq.XPUB)
            self._door = Door(self._xpub, Limits())
            self._xpub.setsockopt(zmq.SNDHWM, HIGH_WATER)
            self._xpub.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription is told, not only the first
            self._judge.guard(self._xpub, endpoint)
            self.endpoint = bind_endpoint(self._xpub, endpoint, "publish.preview")
            self._door.opened(self.endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        finally:
            os.umask(mask)
        self.wanted: frozenset[int] = frozenset()  # numbers of the cameras that somebody looks at
        self._due_ns = [0] * len(cameras)
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}  # by camera, under the lock
        self._admitting: Keys | None = None
        self._counts: Counter[int] = Counter()
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    def offer(self, batch: FrameBatch) -> None:
        """Leaves the frames of cameras that are looked at; costs nothing while there are none. Never blocks."""
        if not self.wanted:
            return
        taken = False
        for row, (camera, captured_ns) in enumerate(
            zip(batch.camera.tolist(), batch.captured_ns.tolist(), strict=True)
        ):
            if camera in self.wanted and not 0 <= self._due_ns[camera] - captured_ns < 10**9 / RATE_HZ:
                self._due_ns[camera] = captured_ns + int(1e9 / RATE_HZ)
                with self._lock:
                    self._waiting[camera] = _Waiting(batch.images[row], captured_ns)
                taken = True
        if taken:
            self._ring()

    def know(self, encoder: Encoder, cameras: Sequence[str]) -> None:
        """Takes other names by number; those known so far stay as they are. Between two batches."""
        self._due_ns += [0] * (len(cameras) - len(self._due_ns))
        self._topics = [topic(encoder.site_name, f"preview/{name}") for name in cameras]
        self._encoder = encoder

    def admit(self, keys: Keys) -> None:
        """Takes a new list of subscribers; those no longer on it lose their connections."""
        with self._lock:
            self._admitting = keys
        self._ring()

    def close(self) -> None:
        """Releases the endpoint; what waits is not sent."""
        if self._thread.is_alive():
            self._stopping = True
            self._ring()
            self._thread.join()
            os.close(self._wake)

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # closed meanwhile
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self.wanted = frozenset()
            self._door.close()
            remove_file(self.endpoint)
            self._context.destroy(linger=0)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake, zmq.POLLIN)
        for zmq_socket in (self._judge.socket, self._xpub, self._door.monitor):
            poller.register(zmq_socket, zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll(SWEEP_MS if self._door.connections else None))
            if self._wake in ready:
                os.eventfd_read(self._wake)
                self._take_list()
                self._send_waiting()
            if self._judge.socket in ready:
                self._judge.answer()
            if self._door.monitor in ready:
                self._door.watch()
            if self._xpub in ready:
                self._hear_subscriptions()
            self._door.sweep(SWEPT)
            topics = tuple(self._door.topics)
            self.wanted = frozenset(
                camera for camera, name in enumerate(self._topics) if topics and name.startswith(topics)
            )

    def _hear_subscriptions(self) -> None:
        with contextlib.suppress(zmq.Again):
            for _ in range(64):  # then pictures have their turn again
                frame = self._xpub.recv(zmq.DONTWAIT, copy=False)
                who = caller(frame, keyed=self._judge.keys is not None)
                if who is not None:
                    self._door.subscribe(who, frame.bytes)

    def _take_list(self) -> None:
        with self._lock:
            keys, self._admitting = self._admitting, None
        if keys is not None:
            self._judge.keys = keys
            self._door.admit_only({None, *keys.allowed})

    def _send_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for camera, (image, captured_ns) in waiting.items():
            jpeg, size = small_jpeg(image)
            self._counts[camera] += 1
            header = self._encoder.preview(camera, captured_ns, size)
            frames = [self._topics[camera], header.payload(self._counts[camera]), jpeg]
            with contextlib.suppress(zmq.Again):  # those with a full queue miss this one
                self._xpub.send_multipart(frames, zmq.DONTWAIT)


def small_jpeg(image: U8) -> tuple[bytes, tuple[int, int]]:
    """A picture (H, W, 3) BGR as a JPEG of at most WIDTH px, and its width and height."""
    height, width = image.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
        width, height = size
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes(), (width, height)

"""Another set of cameras for a running capture, prepared beside it: what stays, what joins, what is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spoton_edge.capture.reader import Camera, Reader
from spoton_edge.capture.source import Source
from spoton_edge.capture.stamps import RecordedClock
from spoton_edge.errors import CameraError

Key = tuple[object, ...]


def reader_of(source: Source) -> Key:
    """What sources have in common that one reader can serve: they are decoded once, and cropped for each camera."""
    # Devices cannot be opened twice; a file read for two clocks at once would lock the two in fast pace.
    return (source.url, source.decode, source.transport, source.rate_hz, source.clock_offset_ms)


def groups(cameras: Sequence[Camera]) -> dict[Key, list[Camera]]:
    """The cameras by reader, in their order."""
    by_key: dict[Key, list[Camera]] = {}
    for camera in cameras:
        by_key.setdefault(reader_of(camera.source), []).append(camera)
    return by_key


class Change:
    """Made by `Capture.plan`; nothing runs differently until `Capture.apply` takes it.

    A camera whose source is as it was stays the object it is, with its connection. One that only cuts another part out
    of the same source, or was recalibrated, keeps its reader. Recordings that are new are open, and wait.
    """

    def __init__(
        self,
        *,
        kept: Sequence[Camera],
        readers: Sequence[Reader],
        wanted: Sequence[Camera],
        new_reader: Callable[[list[Camera], RecordedClock], Reader],
        stall_s: float,
    ) -> None:
        """kept: today's cameras; readers: today's that have not ended; wanted: the cameras to come, in their order."""
        self.stall_s = stall_s
        self.clock = RecordedClock()  # of recordings that begin with this change
        today = {camera.index: camera for camera in kept}
        self.cameras = [
            today[camera.index] if camera.index in today and today[camera.index].source == camera.source else camera
            for camera in wanted
        ]
        self.moved = [camera.index for camera in self.cameras if _shows_another_view(today.get(camera.index), camera)]
        self.readers: list[Reader] = []
        self.fresh: list[Reader] = []
        self._served: dict[Reader, list[Camera]] = {}
        known = {reader_of(reader.source): reader for reader in readers}
        try:
            for key, group in groups(self.cameras).items():
                self._serve(known.get(key), group, today, new_reader)
        except CameraError:
            self.discard()
            raise

    def _serve(
        self,
        reader: Reader | None,
        group: list[Camera],
        today: dict[int, Camera],
        new_reader: Callable[[list[Camera], RecordedClock], Reader],
    ) -> None:
        if reader is not None:
            for camera in group:
                if camera is not today.get(camera.index):
                    _join(camera, reader, today.get(camera.index))
            self.readers.append(reader)
            self._served[reader] = group
            return
        # Cameras whose recording is over have no reader, and need none unless it is to begin again for a new one.
        begin = [camera for camera in group if camera is not today.get(camera.index)]
        if begin:
            fresh = new_reader(begin, self.clock)
            self.readers.append(fresh)
            self.fresh.append(fresh)
            if fresh.source.recorded:
                fresh.open()

    def served_by(self, reader: Reader) -> list[Camera]:
        """The cameras that one of today's readers is to read for; none: it ends."""
        return self._served.get(reader, [])

    def discard(self) -> None:
        """Close what was opened; for a change that is not applied."""
        for reader in self.fresh:
            reader.stop()


def _join(camera: Camera, reader: Reader, before: Camera | None) -> None:
    """Let a camera take part in what a reader has open already.

    Raises:
        CameraError: it cannot be cut from a recording's picture; a stream may yet send another.
    """
    if before is not None and before in reader.cameras:
        camera.succeed(before)
    else:
        camera.rate_hz, camera.announced = reader.cameras[0].rate_hz, reader.cameras[0].announced
    if reader.picture is not None:
        try:
            camera.size = camera.cutter.size(reader.picture)
        except CameraError:
            if camera.source.recorded:
                raise


def _shows_another_view(before: Camera | None, after: Camera) -> bool:
    """Whether boxes of the one mean nothing in the pictures of the other."""
    if before is None or before is after:
        return False
    return before.source.url != after.source.url or before.source.crop != after.source.crop

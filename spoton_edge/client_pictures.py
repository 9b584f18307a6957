"""Reads the small pictures that a daemon makes for those who look, and its floor plan. pyzmq and the standard library
only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.asyncio

from spoton_edge.client import read_key_file
from spoton_edge.messages import decoder

HIGH_WATER = 16
ASK_FLOOR = b'["picture", 1]'


@dataclass(frozen=True, slots=True)
class Picture:
    """A camera's picture: captured in Unix seconds, size width and height in px of the JPEG."""

    site: str
    camera: str
    captured: float
    size: tuple[int, int]
    jpeg: bytes


class AsyncPictures:
    """Pictures of the cameras that are asked for: `look_at` says which; `receive` gives the next.

    Args:
        endpoint: the daemon's `publish.preview`.
        key: the key file, where the daemon asks for one.

    Raises:
        ValueError: not an endpoint, or no keys in the key file.
        OSError: the key file cannot be read.
    """

    def __init__(self, endpoint: str, *, key: str | Path | None = None) -> None:
        self.unreadable = 0
        self._decode = decoder()
        self._topics: set[str] = set()
        self._context = zmq.asyncio.Context()
        self._sub = _connected(self._context, zmq.SUB, endpoint, key)

    def look_at(self, site: str, cameras: Collection[str]) -> None:
        """Has the daemon make pictures of these cameras, and of no others."""
        topics = {f"spoton/1/{site}/preview/{camera}" for camera in cameras}
        for name in self._topics - topics:
            self._sub.setsockopt_string(zmq.UNSUBSCRIBE, name)
        for name in topics - self._topics:
            self._sub.setsockopt_string(zmq.SUBSCRIBE, name)
        self._topics = topics

    async def receive(self) -> Picture:
        """The next picture."""
        while True:
            frames = await self._sub.recv_multipart()
            try:
                _, header, jpeg = frames
                told = self._decode(header)
                width, height = told["size"]
                name, site = told["camera"], told["site"]
                if f"spoton/1/{site}/preview/{name}" in self._topics:  # a subscription is a prefix: c1 brings c10
                    return Picture(site, name, float(told["captured"]), (int(width), int(height)), jpeg)
            except (KeyError, TypeError, ValueError):
                self.unreadable += 1

    def close(self) -> None:
        """Disconnects."""
        self._context.destroy(linger=0)


async def floor_picture(snapshot: str, *, key: str | Path | None = None, timeout_s: float = 3.0) -> bytes:
    """The file of the floor plan, empty where the site has none or nobody answers; snapshot: `publish.snapshot`."""
    context = zmq.asyncio.Context()
    try:
        dealer = _connected(context, zmq.DEALER, snapshot, key)
        await dealer.send(ASK_FLOOR)
        if not await dealer.poll(int(timeout_s * 1000)):
            return b""
        return (await dealer.recv_multipart())[-1]
    finally:
        context.destroy(linger=0)


def _connected(context: zmq.asyncio.Context, kind: int, endpoint: str, key: str | Path | None) -> zmq.asyncio.Socket:
    connected = context.socket(kind)
    try:
        if key is not None:
            keys = read_key_file(key)
            connected.setsockopt_string(zmq.CURVE_SERVERKEY, keys["server"])
            connected.setsockopt_string(zmq.CURVE_PUBLICKEY, keys["public"])
            connected.setsockopt_string(zmq.CURVE_SECRETKEY, keys["secret"])
        connected.setsockopt(zmq.RCVHWM, HIGH_WATER)
        connected.setsockopt(zmq.RECONNECT_IVL, 100)
        connected.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        connected.connect(endpoint)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise ValueError(f"cannot connect to {endpoint}: {error.strerror}; write tcp://ADDRESS:PORT") from None
    except BaseException:
        context.destroy(linger=0)
        raise
    return connected

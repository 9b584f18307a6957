"""Hears the daemon once, for all open pages."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.websockets import WebSocket

from spoton_edge.client import AsyncSubscriber, Event, Message, Missed, Site
from spoton_edge.client_pictures import AsyncPictures, Picture
from spoton_edge.view.viewer import Viewer

SILENCE_S = 3.0
EVENTS = 200  # that a page learns of when it opens
WATCH_S = 0.25


class Hub:
    """Gives every page what the daemon says, and what it has to know when it opens.

    Args:
        subscriber: of the daemon.
        pictures: where its small pictures come from; None: there are none.
        facts: what is known beside the messages, for the page's `hello`.
    """

    def __init__(self, subscriber: AsyncSubscriber, pictures: AsyncPictures | None, facts: dict[str, Any]) -> None:
        self._subscriber = subscriber
        self._pictures = pictures
        self._facts = facts
        self._viewers: set[Viewer] = set()
        self._events: deque[str] = deque(maxlen=EVENTS)
        self._heard_s: float | None = None  # monotonic; None: never
        self._silent = True
        self._unreadable = False  # whatever came so far was no message of ours
        self._run = ""
        self._site = ""
        self._dumps = _dumps()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens as long as it is open. What fails in there fails the server."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._hear()), group.create_task(self._watch())]
            if self._pictures is not None:
                tasks.append(group.create_task(self._look(self._pictures)))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def page(self, websocket: WebSocket) -> None:
        """The websocket of a page: first what is known, then what is new."""
        await websocket.accept()
        viewer = Viewer(self._look_at, time.time)
        viewer.newest("hello", json.dumps({"kind": "hello", "time": time.time(), **self._facts}))
        for kind in ("site", "status", "tracks"):
            if (message := self._subscriber.latest.get(kind)) is not None:
                viewer.newest(kind, self._dumps(message.raw))
        viewer.newest("link", self._link())
        for event in self._events:
            viewer.event(event)
        self._viewers.add(viewer)
        try:
            await viewer.talk(websocket)
        finally:
            self._viewers.discard(viewer)
            self._look_at()

    async def _hear(self) -> None:
        async for message in self._subscriber:
            if isinstance(message, Missed):
                continue
            self._heard_s = time.monotonic()
            if self._silent or message.run != self._run:
                self._run, self._silent = message.run, False
                self._tell_all("link", self._link())
            self._take(message)

    def _take(self, message: Message) -> None:
        if isinstance(message, Site):
            self._site = message.site
            self._look_at()
        if isinstance(message, Event):
            if (text := self._written(message)) is not None:
                self._events.append(text)
                for viewer in self._viewers:
                    viewer.event(text)
        elif self._viewers and (text := self._written(message)) is not None:
            self._tell_all(message.kind, text)

    def _written(self, message: Message) -> str | None:
        try:
            return self._dumps(message.raw)
        except ValueError:  # NaN, which is no JSON: not from a daemon of ours
            return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            silent = self._heard_s is None or time.monotonic() - self._heard_s > SILENCE_S
            unreadable = self._heard_s is None and self._subscriber.unreadable > 0
            if (silent and not self._silent) or unreadable != self._unreadable:
                self._silent, self._unreadable = silent, unreadable
                self._tell_all("link", self._link())

    async def _look(self, pictures: AsyncPictures) -> None:
        while True:
            picture = await pictures.receive()
            frame = _framed(picture)
            for viewer in self._viewers:
                if picture.camera in viewer.cameras:
                    viewer.newest(f"picture/{picture.camera}", frame)

    def _look_at(self) -> None:
        """The daemon makes pictures of what some page shows, and of nothing else."""
        if self._pictures is not None and self._site:
            self._pictures.look_at(self._site, frozenset().union(*(viewer.cameras for viewer in self._viewers)))

    def _link(self) -> str:
        """Whether the daemon is heard, and which run of it."""
        link = {"silent": self._silent, "unreadable": self._unreadable, "run": self._run}
        return json.dumps({"kind": "link", **link})

    def _tell_all(self, name: str, content: str) -> None:
        for viewer in self._viewers:
            viewer.newest(name, content)


def _framed(picture: Picture) -> bytes:
    """A picture as one websocket frame: the header's length as u32 little-endian, the header as JSON, the JPEG."""
    header = json.dumps({"camera": picture.camera, "captured": picture.captured, "size": picture.size}).encode()
    return len(header).to_bytes(4, "little") + header + picture.jpeg


def _dumps() -> Callable[[Any], str]:
    """Writes JSON, by orjson where it is installed; NaN raises ValueError or becomes null."""
    with contextlib.suppress(ImportError):
        dumps = importlib.import_module("orjson").dumps
        return lambda value: str(dumps(value), "utf-8")
    return lambda value: json.dumps(value, allow_nan=False, separators=(",", ":"))

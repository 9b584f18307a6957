"""One open page. What it is sent waits in a mailbox in which the newest wins: a slow page sees less, and late is never.

The websocket alone would not do: kernel and browser buffer megabytes, that is minutes, for a page that does not keep
up. So the page says how many frames it has taken in, and is sent no more than a few beyond.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

AHEAD = 3  # frames on their way to a page
EVENTS = 300  # kept for a page that is busy; beyond, the oldest go
REQUEST_CHARS = 4096
CAMERAS = 64  # whose pictures one page may ask for


class Viewer:
    """A page's mailbox.

    Args:
        looks: called when the cameras change whose pictures the page wants.
        now_s: Unix seconds, for the page's idea of this machine's clock.
    """

    def __init__(self, looks: Callable[[], None], now_s: Callable[[], float]) -> None:
        self.cameras: frozenset[str] = frozenset()  # whose pictures the page wants
        self._looks = looks
        self._now_s = now_s
        self._events: deque[str] = deque(maxlen=EVENTS)
        self._newest: dict[str, str | bytes] = {}  # by what it replaces
        self._room = asyncio.Event()
        self._filled = asyncio.Event()
        self._sent = self._taken = 0
        self._room.set()

    def event(self, text: str) -> None:
        """What happened: kept in order."""
        self._events.append(text)
        self._filled.set()

    def newest(self, name: str, content: str | bytes) -> None:
        """What takes the place of an older one of the same name."""
        self._newest.pop(name, None)  # to the end: what has waited longest goes first
        self._newest[name] = content
        self._filled.set()

    async def talk(self, websocket: WebSocket) -> None:
        """Sends and listens until the page is gone."""
        tasks = {asyncio.create_task(self._send(websocket)), asyncio.create_task(self._listen(websocket))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, websocket: WebSocket) -> None:
        while True:
            await self._filled.wait()
            await self._room.wait()
            content = self._next()
            if content is None:
                self._filled.clear()
                continue
            self._sent += 1
            self._make_room()
            if isinstance(content, bytes):
                await websocket.send_bytes(content)
            else:
                await websocket.send_text(content)

    def _next(self) -> str | bytes | None:
        if self._events:
            # All that happened in one frame: a busy page is not behind by one for each.
            content = f'{{"kind":"events","events":[{",".join(self._events)}]}}'
            self._events.clear()
            return content
        return self._newest.pop(next(iter(self._newest))) if self._newest else None

    async def _listen(self, websocket: WebSocket) -> None:
        while True:
            text = await websocket.receive_text()
            if len(text) > REQUEST_CHARS:
                await websocket.close(1009)
                return
            try:
                self._hear(dict(json.loads(text)))
            except (KeyError, TypeError, ValueError, RecursionError):
                await websocket.close(1003)
                return

    def _hear(self, said: dict[str, Any]) -> None:
        if "taken" in said:
            self._taken = min(int(said["taken"]), self._sent)
            self._make_room()
        if "ping" in said:
            self.newest("pong", json.dumps({"kind": "pong", "ping": float(said["ping"]), "time": self._now_s()}))
        if "look" in said:
            self.cameras = frozenset(str(name) for name in said["look"][:CAMERAS])
            self._looks()

    def _make_room(self) -> None:
        if self._sent - self._taken < AHEAD:
            self._room.set()
        else:
            self._room.clear()

"""`spoton-edge view`: the live map of one daemon in a browser."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from spoton_edge import __version__, config, control
from spoton_edge.client import AsyncSubscriber, snapshot_endpoint
from spoton_edge.client_pictures import AsyncPictures, floor_picture
from spoton_edge.endpoints import control_endpoint, preview_endpoint
from spoton_edge.errors import UsageError
from spoton_edge.messages import ENDPOINT
from spoton_edge.view.hub import Hub
from spoton_edge.web import pages, serve

EXPLAIN_S = 5.0
# By their first bytes; a floor plan is a picture and nothing else.
PICTURE_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class Daemon:
    """Where a daemon is heard and asked. control, preview: None where it cannot be asked, has no pictures."""

    endpoint: str
    snapshot: str
    control: str | None = None
    preview: str | None = None
    key: Path | None = None


def daemon_of(
    endpoint: str | None, site: Path | None, *, snapshot: str | None, preview: str | None, key: Path | None
) -> Daemon:
    """What the command line and the site file say of the daemon; the command line first.

    Raises:
        ConfigError: the site file is faulty.
    """
    if site is None:
        endpoint = endpoint or ENDPOINT
        return Daemon(endpoint, snapshot or snapshot_endpoint(endpoint), preview=preview, key=key)
    told = config.load(site)
    return Daemon(
        endpoint or told.publish.bind[0],
        snapshot or (snapshot_endpoint(endpoint) if endpoint else told.publish.snapshot),
        control_endpoint(told.runtime.control, told.site),
        preview or preview_endpoint(told.publish.preview, told.site),
        key,
    )


def run(daemon: Daemon, *, bind: str, hosts: Sequence[str] = (), browse: bool = False) -> int:
    """Serves the map until SIGINT or SIGTERM; returns the exit code.

    Raises:
        UsageError: no such endpoint, no keys in the key file, or the address cannot be had.
    """
    hub: Hub | None = None

    @contextlib.asynccontextmanager
    async def background() -> AsyncIterator[None]:
        nonlocal hub
        facts = {"endpoint": daemon.endpoint, "version": __version__, "explain": daemon.control is not None}
        facts |= {"pictures": daemon.preview is not None, "key": daemon.key is not None}
        with contextlib.ExitStack() as stack:
            try:
                subscriber = AsyncSubscriber(daemon.endpoint, snapshot=daemon.snapshot, key=daemon.key)
                stack.callback(subscriber.close)
                pictures = AsyncPictures(daemon.preview, key=daemon.key) if daemon.preview else None
            except OSError as error:
                raise UsageError(f"--key {daemon.key}: {(error.strerror or str(error)).lower()}") from None
            except ValueError as error:
                raise UsageError(str(error)) from None
            if pictures:
                stack.callback(pictures.close)
            hub = Hub(subscriber, pictures, facts)
            async with hub.running():
                yield

    async def live(websocket: WebSocket) -> None:
        assert hub is not None
        await hub.page(websocket)

    async def floor(_: Request) -> Response:
        content = await floor_picture(daemon.snapshot, key=daemon.key)
        kind = next((kind for magic, kind in PICTURE_TYPES.items() if content.startswith(magic)), None)
        return Response(content, media_type=kind) if kind else Response(status_code=404)

    async def explain(request: Request) -> Response:
        if daemon.control is None:
            return Response(status_code=404)
        identity = request.path_params["id"]
        lines = await asyncio.to_thread(control.ask, daemon.control, "explain", EXPLAIN_S, id=identity)
        return JSONResponse({"lines": [str(line) for line in lines]})

    routes = [
        WebSocketRoute("/live", live),
        Route("/floor", floor),
        Route("/explain/{id:int}", explain),
        *pages("map"),
    ]
    return serve(routes, bind=bind, what="live map", hosts=hosts, background=background, browse=browse)

"""The pages' own files, read once at the start: what was not read then cannot be asked for, whatever the path says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
}
INDEX = "index.html"


def pages(folder: str) -> list[BaseRoute]:
    """Routes for every file of `spoton_edge/web/<folder>` at its name, `index.html` also at `/`, and for what all pages
    share, `spoton_edge/web/common`, below `/common/`. Files of types not in `TYPES` are not served."""
    web = files("spoton_edge.web")
    routes = [_route(f"/{path}", content) for path, content in _read(web / folder)]
    routes += [_route("/", content) for path, content in _read(web / folder) if path == INDEX]
    routes += [_route(f"/common/{path}", content) for path, content in _read(web / "common")]
    return routes


def _read(folder: Traversable, below: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _read(entry, f"{below}{entry.name}/")
        elif _suffix(entry.name) in TYPES:
            yield below + entry.name, entry.read_bytes()


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]


def _route(path: str, content: bytes) -> BaseRoute:
    kind = TYPES[_suffix(INDEX if path == "/" else path)]
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    # no-cache: kept, but asked for again each time, so that an upgrade never mixes old files and new ones.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers | {"Content-Type": kind})

    return Route(path, answer, methods=["GET"])

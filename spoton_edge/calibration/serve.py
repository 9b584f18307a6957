"""`spoton-edge calibrate serve`: the calibrator in a browser, on this machine only and behind a token."""

from __future__ import annotations

import argparse
import math

import ruamel.yaml  # noqa: F401  what saving needs is asked for here, before somebody has clicked for an hour
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from spoton_edge.calibration.desk import Desk
from spoton_edge.calibration.draft import Draft, Place
from spoton_edge.calibration.files import ChangedError
from spoton_edge.errors import UsageError
from spoton_edge.web import Address, pages, serve

MOST_BYTES = 1 << 20  # of a draft: a thousand points of a dozen cameras
CHANGED = 409


def run(options: argparse.Namespace) -> int:
    """Serves the page for a site file until it is stopped; returns the exit code."""
    if not Address.parse(options.bind).loopback:
        raise UsageError(
            f"--bind {options.bind}: who calibrates changes the site file, so it is for this machine only; "
            "from another one, use the ssh line that is printed"
        )
    desk = Desk(options.site)
    return serve(routes(desk), bind=options.bind, what="calibrator", guarded=True, browse=not options.no_browser)


def routes(desk: Desk) -> list[BaseRoute]:
    """What the page asks for."""

    async def site(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.open))

    async def picture(request: Request) -> Response:
        jpeg = await run_in_threadpool(desk.picture, request.path_params["camera"])
        return Response(jpeg, media_type="image/jpeg")

    async def plan(_: Request) -> Response:
        content, kind = await run_in_threadpool(desk.plan)
        return Response(content, media_type=kind)

    async def place(request: Request) -> Response:
        name, given = request.path_params["camera"], request.query_params
        if "u" in given:
            return JSONResponse(desk.place(name, uv=_pair(given, "u", "v")))
        return JSONResponse(desk.place(name, xy=_pair(given, "x", "y")))

    async def judge(request: Request) -> Response:
        draft = Draft.parse(await _body(request))
        return JSONResponse(await run_in_threadpool(desk.judge, draft))

    async def save(request: Request) -> Response:
        draft = Draft.parse(await _body(request))
        confirmed = request.query_params.get("confirmed") == "yes"
        try:
            answer = await run_in_threadpool(lambda: desk.save(draft, confirmed=confirmed))
        except ChangedError as error:
            return JSONResponse({"error": str(error)}, CHANGED)
        if answer["saved"]:
            print(f"saved; what was there is in {answer['backup']}; now: {answer['reload']}", flush=True)
        return JSONResponse(answer)

    return [
        Route("/site", site),
        Route("/picture/{camera}", picture),
        Route("/plan", plan),
        Route("/place/{camera}", place),
        Route("/judge", judge, methods=["POST"]),
        Route("/save", save, methods=["POST"]),
        *pages("calibrate"),
    ]


def _pair(given: QueryParams, first: str, second: str) -> Place:
    try:
        pair = float(given[first]), float(given[second])
    except (KeyError, ValueError):
        raise UsageError("a place is ?u=PX&v=PX or ?x=M&y=M") from None
    if not all(math.isfinite(value) and abs(value) < 1e6 for value in pair):
        raise UsageError("a place is two finite numbers")
    return pair


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise UsageError("the draft is too large")
    return bytes(content)

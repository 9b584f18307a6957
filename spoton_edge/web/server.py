"""Listens, says where, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from spoton_edge.errors import ExitCode, SpotOnError
from spoton_edge.web.address import Address, check_name, has_screen, tunnel, url
from spoton_edge.web.guard import Access, Guard

LEAVE_S = 2  # at the end, for answers under way
CONNECTIONS = 200
MESSAGE_BYTES = 1 << 16  # of a websocket, towards us


def application(routes: Sequence[BaseRoute], access: Access) -> Starlette:
    """The guarded ASGI application, without a server."""
    return Starlette(
        routes=list(routes),
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={SpotOnError: _fault},
    )


def serve(
    routes: Sequence[BaseRoute],
    *,
    bind: str,
    what: str,
    guarded: bool = False,
    hosts: Collection[str] = (),
    background: Callable[[], AbstractAsyncContextManager[object]] | None = None,
    browse: bool = False,
) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code.

    Args:
        routes: of the application.
        bind: ADDRESS:PORT; port 0 takes any.
        what: printed before the address.
        guarded: ask for a token also on loopback.
        hosts: the names by which a reverse proxy asks; where there are any, a token is asked for.
        background: a context that is open, in the server's event loop, while it serves.
        browse: open a browser, where there is a screen.

    Raises:
        UsageError: the address cannot be had, or one of hosts is no name.
        SpotOnError: whatever `background` raises.
    """
    address = Address.parse(bind)
    for name in hosts:
        check_name(name)
    names = {*hosts} if address.loopback else {*hosts, socket.gethostname()}
    token = secrets.token_urlsafe(32) if guarded or hosts or not address.loopback else None
    app = application(routes, Access(token, names))
    with address.listen() as listening:
        where = url(listening, token)
        lines = [f"{what}: {where}", *(f"behind the proxy: https://{name}/?token={token}" for name in hosts)]
        if not has_screen() and address.loopback:
            lines.append(f"from another machine: {tunnel(listening)}  and open that address there")

        def announce() -> None:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            if browse and has_screen():
                threading.Thread(target=webbrowser.open, args=(where,), daemon=True).start()

        asyncio.run(_serve(app, listening, background, announce))
    return ExitCode.STOPPED


async def _serve(
    app: Starlette,
    listening: socket.socket,
    background: Callable[[], AbstractAsyncContextManager[object]] | None,
    announce: Callable[[], None],
) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,  # it would write the token down
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            ws_per_message_deflate=False,  # costs more than loopback does
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=LEAVE_S,
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says of its start, we have said
    async with background() if background else nullcontext():
        announce()  # not before: what `background` needs may be missing
        await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends on SIGINT and SIGTERM. Unlike uvicorn's own, does not send them once more at the end: to be stopped is
        no failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _fault(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)

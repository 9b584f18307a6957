"""Who gets in: checks every request before any route sees it, and gives every answer its security headers.

Loopback is no border of its own: any web page in a browser of this machine can send requests to it. What stops them:

- **Host** must be an IP address, `localhost` or a name that was given: a hostile name that is made to resolve to this
  machine (DNS rebinding) is none of these.
- **Origin** and **Sec-Fetch-Site**, which pages cannot forge: requests and websockets of other origins are refused; a
  link from elsewhere may open a page.
- **Token**, where there is one: in the printed address, then in a cookie that scripts cannot read and other sites'
  pages do not send. Without one, requests that a proxy forwarded are refused: it would open loopback to the world.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Access:
    """What a request must show.

    Args:
        token: None: whoever reaches the address may look.
        hosts: names by which the server may be asked for, beside IP addresses and `localhost`.
    """

    def __init__(self, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self.token = token
        self.hosts = {"localhost", *(name.lower() for name in hosts)}
        # Cookies know no ports: two servers of one machine must not overwrite each other's.
        self.cookie = "spoton_" + hashlib.sha256((token or "").encode()).hexdigest()[:12]

    def fault(self, headers: Headers, *, navigating: bool) -> str | None:
        """Why a request is refused whoever sends it; None: it is not. navigating: it opens a page."""
        host = headers.get("host", "")
        if not self._known(host):
            return f"this server is not called {host!r}; start it with --host NAME to give it that name"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "refused: sent by a page of another origin"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not navigating:
            return "refused: sent by a page of another site"
        if self.token is None and any(name in headers for name in FORWARDED):
            return "refused: a proxy forwarded this, and there is no token; start the server with --host NAME"
        return None

    def admits(self, headers: Headers) -> bool:
        """Whether the request carries the token, if one is asked for."""
        if self.token is None:
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.is_token(cookie.value)

    def is_token(self, text: str) -> bool:
        """Compared in constant time."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            urlsplit(f"//{host}").port  # noqa: B018  raises where it is no number
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class Guard:
    """The ASGI middleware: asks `Access`, and adds the headers."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers in the application's place what must not reach it."""
        if scope["type"] == "websocket":
            if self._fault(scope) is None and self._access.admits(Headers(scope=scope)):
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})  # before accept: the client sees a 403
        elif scope["type"] == "http":

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    headers.setdefault("Cache-Control", "no-store")
                    headers.update(HEADERS)
                await send(message)

            await (self._answer(scope) or self._app)(scope, receive, send_with_headers)

    def _fault(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        reading = scope.get("method") in ("GET", "HEAD")
        return self._access.fault(headers, navigating=reading and headers.get("sec-fetch-mode") == "navigate")

    def _answer(self, scope: Scope) -> Response | None:
        if (fault := self._fault(scope)) is not None:
            return PlainTextResponse(fault + "\n", 403)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and scope["method"] == "GET" and self._access.is_token(given):
            return self._welcome(scope, [(key, value) for key, value in query if key != "token"])
        if not self._access.admits(Headers(scope=scope)):
            return PlainTextResponse("open the address that spoton-edge printed: it carries the token\n", 401)
        return None

    def _welcome(self, scope: Scope, rest: list[tuple[str, str]]) -> Response:
        """To the same address without the token, which now is in a cookie: it shall not stay on the screen."""
        assert self._access.token is not None
        # One slash at the start: `//name/` would lead to another server.
        path = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        secure = Headers(scope=scope).get("x-forwarded-proto") == "https"
        response.set_cookie(
            self._access.cookie, self._access.token, httponly=True, samesite="strict", secure=secure, path="/"
        )
        return response

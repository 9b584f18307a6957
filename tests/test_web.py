import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from spoton_edge.errors import UsageError
from spoton_edge.web import Address
from spoton_edge.web.address import check_name
from tests.web import ROOT, Served, serving

SERVER = """
import contextlib, json, sys, time
from starlette.routing import Route, WebSocketRoute
from starlette.responses import PlainTextResponse
from spoton_edge.errors import SpotOnError, UsageError
from spoton_edge.web import pages, serve

async def hello(request):
    return PlainTextResponse(request.method)

async def fails(request):
    raise UsageError("no such camera")

async def talk(websocket):
    await websocket.accept()
    with contextlib.suppress(Exception):
        while True:
            await websocket.send_text(await websocket.receive_text())

@contextlib.asynccontextmanager
async def background():
    print("opened", flush=True)
    yield
    print("closed", flush=True)

options = json.loads(sys.argv[1])
routes = [Route("/hello", hello, methods=["GET", "POST"]), Route("/fails", fails), WebSocketRoute("/talk", talk)]
try:
    sys.exit(serve([*routes, *pages("map")], what="test page", background=background, **options))
except SpotOnError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
LOOPBACK = '{"bind": "127.0.0.1:0"}'
GUARDED = '{"bind": "127.0.0.1:0", "guarded": true}'
PROXIED = '{"bind": "127.0.0.1:0", "hosts": ["map.example.org"]}'
HEADLESS = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


@pytest.fixture(scope="module")
def open_server() -> Iterator[Served]:
    with serving("-c", SERVER, LOOPBACK) as served:
        yield served


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    with serving("-c", SERVER, GUARDED) as served:
        yield served


@pytest.fixture(scope="module")
def proxied() -> Iterator[Served]:
    with serving("-c", SERVER, PROXIED) as served:
        yield served


def talks(served: Served, **headers: str) -> bool:
    url = f"ws://{served.host}/talk"
    try:
        with connect(url, additional_headers=headers, proxy=None, open_timeout=10) as websocket:
            websocket.send("hello")
            return websocket.recv(timeout=10) == "hello"
    except InvalidStatus as refusal:
        if refusal.response.status_code != 403:
            raise
        return False


def test_loopback_needs_no_token(open_server: Served) -> None:
    assert open_server.token is None
    assert open_server.ask("/hello").body == b"GET"
    assert talks(open_server)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "10.1.2.3"])
def test_localhost_and_addresses_are_answered_at_any_port(open_server: Served, name: str) -> None:
    assert open_server.ask("/hello", host=f"{name}:4444").status == 200


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "", "a@b:x", "127.0.0.1.nip.example:80"])
def test_a_name_that_was_not_given_is_refused(open_server: Served, name: str) -> None:
    answer = open_server.ask("/hello", host=name)
    assert answer.status == 403
    assert b"GET" not in answer.body


def test_other_origins_get_neither_answers_nor_websockets(open_server: Served) -> None:
    for origin in ("https://evil.example", "null", f"http://{open_server.host}.evil.example", "http://127.0.0.1:1"):
        assert open_server.ask("/hello", origin=origin).status == 403
        assert open_server.ask("/hello", method="POST", body=b"", origin=origin).status == 403
        assert not talks(open_server, origin=origin)
    own = f"http://{open_server.host}"
    assert open_server.ask("/hello", method="POST", body=b"", origin=own).body == b"POST"
    assert talks(open_server, origin=own)


def test_other_sites_may_link_to_a_page_but_not_fetch_from_it(open_server: Served) -> None:
    for site in ("cross-site", "same-site"):
        assert open_server.ask("/hello", sec_fetch_site=site, sec_fetch_mode="no-cors").status == 403
        assert open_server.ask("/hello", sec_fetch_site=site, sec_fetch_mode="navigate").status == 200
        posted = open_server.ask("/hello", method="POST", body=b"", sec_fetch_site=site, sec_fetch_mode="navigate")
        assert posted.status == 403
    assert open_server.ask("/hello", sec_fetch_site="same-origin", sec_fetch_mode="cors").status == 200


def test_what_a_proxy_forwards_is_refused_where_there_is_no_token(open_server: Served) -> None:
    answer = open_server.ask("/hello", x_forwarded_for="198.51.100.7")
    assert answer.status == 403
    assert b"--host NAME" in answer.body


def test_nothing_is_answered_without_the_token(guarded: Served) -> None:
    for path in ("/", "/hello", "/common/base.css", "/?token=", "/?token=wrong", "/hello?token=%ff"):
        assert guarded.ask(path).status == 401
    assert guarded.ask("/hello", cookie="spoton=1; a=b").status == 401
    assert guarded.ask("/hello", method="POST", body=b"").status == 401
    assert not talks(guarded)


def test_the_printed_address_trades_its_token_for_a_cookie(guarded: Served) -> None:
    answer = guarded.ask(f"/hello?token={guarded.token}&at=3")
    assert answer.status == 303
    assert answer.headers["location"] == "/hello?at=3"
    kept = answer.headers["set-cookie"].lower()
    assert "httponly" in kept
    assert "samesite=strict" in kept
    assert "secure" not in kept
    assert guarded.ask("/hello", cookie=guarded.cookie()).body == b"GET"
    assert talks(guarded, cookie=guarded.cookie())


def test_the_welcome_leads_to_no_other_server(guarded: Served) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
        location = guarded.ask(f"{path}?token={guarded.token}").headers["location"]
        assert location.startswith("/")
        assert location[1:2] not in ("/", "\\")


def test_the_cookie_of_one_server_is_worth_nothing_at_another(guarded: Served, proxied: Served) -> None:
    assert guarded.token != proxied.token
    assert proxied.ask("/hello", cookie=guarded.cookie()).status == 401
    # Both are of the same host to a browser: neither may overwrite the other's.
    assert guarded.cookie().split("=")[0] != proxied.cookie().split("=")[0]


def test_a_page_of_another_origin_gets_nothing_even_with_the_cookie(guarded: Served) -> None:
    cookie = guarded.cookie()
    assert guarded.ask("/hello", cookie=cookie, origin="https://evil.example").status == 403
    assert not talks(guarded, cookie=cookie, origin="https://evil.example")
    assert guarded.ask("/hello", cookie=cookie, host="evil.example").status == 403


def test_behind_a_proxy_the_given_name_is_answered_to_those_with_the_token(proxied: Served) -> None:
    assert proxied.token
    assert proxied.process.stdout is not None
    assert proxied.process.stdout.readline() == f"behind the proxy: https://map.example.org/?token={proxied.token}\n"
    forwarded = {"host": "map.example.org", "x_forwarded_for": "198.51.100.7", "x_forwarded_proto": "https"}
    assert proxied.ask("/hello", **forwarded).status == 401
    welcome = proxied.ask(f"/?token={proxied.token}", **forwarded)
    assert "secure" in welcome.headers["set-cookie"].lower()
    cookie = welcome.headers["set-cookie"].split(";")[0]
    assert proxied.ask("/hello", cookie=cookie, origin="https://map.example.org", **forwarded).status == 200


def test_every_answer_carries_the_security_headers(open_server: Served, guarded: Served) -> None:
    answers = [open_server.ask(path) for path in ("/", "/common/base.css", "/nothing", "/hello", "/fails")]
    answers += [open_server.ask("/hello", host="evil.example"), guarded.ask("/")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
    assert answers[3].headers["cache-control"] == "no-store"


def test_files_have_their_types_and_are_asked_for_again(open_server: Served) -> None:
    style = open_server.ask("/common/base.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert open_server.ask("/common/theme.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert open_server.ask("/").headers["content-type"] == "text/html; charset=utf-8"
    assert style.headers["cache-control"] == "no-cache"
    again = open_server.ask("/common/base.css", if_none_match=style.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/common/../../server.py",
        "/common/%2e%2e/%2e%2e/server.py",
        "/common/..%2f..%2fserver.py",
        "/common//etc/passwd",
        "/%2fetc%2fpasswd",
        "/common/base.css%00.html",
        "/common/",
        "/server.py",
        "/__init__.py",
    ],
)
def test_nothing_but_the_pages_files_can_be_asked_for(open_server: Served, path: str) -> None:
    assert open_server.ask(path).status == 404


def test_an_error_of_ours_is_told_as_json(open_server: Served) -> None:
    answer = open_server.ask("/fails")
    assert answer.status == 400
    assert answer.body == b'{"error":"no such camera"}'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_with_a_websocket_open(number: signal.Signals) -> None:
    with (
        serving("-c", SERVER, LOOPBACK) as served,
        connect(f"ws://{served.host}/talk", proxy=None) as websocket,
    ):
        websocket.send("x")
        assert websocket.recv(timeout=10) == "x"
        assert served.stop(number) == 0
        assert served.process.stdout is not None
        assert "closed" in served.process.stdout.read()


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-c", SERVER, f'{{"bind": "{bind}"}}']
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"cannot listen on {bind}: another program listens there; stop it, or take any free port with "
        "--bind 127.0.0.1:0\n"
    )


def test_a_host_that_is_more_than_a_name_is_one_line_and_exit_code_2() -> None:
    for name in ("map.example.org:8443", "map/", "", "[::1]", "-x", "a b"):
        with pytest.raises(UsageError, match="write the name alone"):
            check_name(name)
    for name in ("map.example.org", "box-1", "m"):
        check_name(name)
    options = '{"bind": "127.0.0.1:0", "hosts": ["https://map.example.org"]}'
    command = [sys.executable, "-c", SERVER, options]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "--host https://map.example.org: write the name alone, as in map.example.org\n"


def test_a_port_is_free_again_at_once() -> None:
    with serving("-c", SERVER, LOOPBACK) as first, connect(f"ws://{first.host}/talk", proxy=None):
        assert first.stop() == 0
    with serving("-c", SERVER, f'{{"bind": "{first.host}"}}') as second:
        assert second.ask("/hello").status == 200


def test_without_a_screen_the_way_through_ssh_is_printed() -> None:
    with serving("-c", SERVER, LOOPBACK, env=HEADLESS) as served:
        assert served.lines == ("opened", f"test page: {served.url}")
        assert served.process.stdout is not None
        port = served.host.rpartition(":")[2]
        assert f"ssh -L {port}:127.0.0.1:{port} " in served.process.stdout.readline()


def test_wider_than_loopback_takes_a_token() -> None:
    with serving("-c", SERVER, '{"bind": "0.0.0.0:0"}') as served:
        assert served.token
        assert served.ask("/hello", host="127.0.0.1").status == 401
        assert served.ask("/hello", cookie=served.cookie(), host=socket.gethostname()).status == 200


def test_addresses_are_read_as_people_write_them() -> None:
    assert Address.parse("8590") == Address.parse("localhost:8590") == Address("127.0.0.1", 8590)
    assert Address.parse("[::1]:0") == Address("::1", 0)
    assert Address("::1", 0).loopback
    assert not Address.parse("0.0.0.0:1").loopback
    for text in ("", "x:1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1", "[::1]", "::1:x", "1.2.3.4.5:1"):
        with pytest.raises(UsageError, match="--bind"):
            Address.parse(text)

"""The README's nginx example, run by nginx with TLS: the way to the map that is wider than loopback."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.harness import lacking
from tests.e2e.ports import free_port
from tests.waiting import until
from tests.web import ROOT, Served, serving

NAME = "map.example.org"
SERVER = re.compile(r"^```\n(server \{\n.*?)^```$", re.DOTALL | re.MULTILINE)
# What the system's nginx.conf has around a server; everything it writes goes to a folder of this test.
MAIN = """
daemon off; pid {scratch}/pid; error_log {scratch}/error.log; events {{}}
http {{
access_log off; client_body_temp_path {scratch}/1; proxy_temp_path {scratch}/2; fastcgi_temp_path {scratch}/3;
uwsgi_temp_path {scratch}/4; scgi_temp_path {scratch}/5;
{server}
}}
"""


@dataclass(frozen=True)
class Proxied:
    """served: the map; port: where nginx listens; trust: its certificate."""

    served: Served
    port: int
    trust: ssl.SSLContext

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """An answer, its body not read."""
        connection = http.client.HTTPSConnection(NAME, self.port, context=self.trust, timeout=20)
        connection.sock = self.trust.wrap_socket(self.reached(), server_hostname=NAME)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def talks(self, cookie: str, origin: str) -> bool:
        """Whether the page's websocket is let in."""
        try:
            with connect(
                f"wss://{NAME}:{self.port}/live",
                sock=self.reached(),
                ssl=self.trust,
                proxy=None,
                origin=origin,  # type: ignore[arg-type]
                additional_headers={"Cookie": cookie},
            ) as websocket:
                return '"hello"' in str(websocket.recv(timeout=20))
        except InvalidStatus as refusal:
            if refusal.response.status_code != 403:
                raise
            return False

    def reached(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


def certificate(folder: Path) -> ssl.SSLContext:
    """Makes map.pem and map.key; whoever uses the context trusts them."""
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2"]
    files = ["-keyout", str(folder / "map.key"), "-out", str(folder / "map.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(folder / "map.pem"))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if nginx is None or shutil.which("openssl") is None:
        lacking("nginx and openssl (Debian's packages): the reverse proxy of the live map")
    scratch = tmp_path_factory.mktemp("nginx")
    trust = certificate(scratch)
    port = free_port()
    view = ["-m", "spoton_edge", "view", "ipc:///nobody", "--bind", "127.0.0.1:0", "--host", NAME]
    with serving(*view) as served:
        found = SERVER.search((ROOT / "README.md").read_text())
        assert found
        server = found[1]
        for written, ours in (
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/ssl/", f"{scratch}/"),
            ("127.0.0.1:8590", served.host),
        ):
            assert written in server
            server = server.replace(written, ours)
        config = scratch / "nginx.conf"
        config.write_text(MAIN.format(scratch=scratch, server=server))
        with subprocess.Popen([nginx, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            try:
                until(lambda: (scratch / "pid").exists() or process.poll() is not None, "nginx listens")
                assert process.poll() is None, (scratch / "error.log").read_text()
                yield Proxied(served, port, trust)
            finally:
                process.terminate()


def test_the_token_is_traded_for_a_cookie_that_only_goes_over_tls(proxied: Proxied) -> None:
    assert proxied.ask("/").status == 401
    answer = proxied.ask(f"/?token={proxied.served.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    kept = answer.headers["set-cookie"]
    assert "secure" in kept.lower()
    assert proxied.ask("/", Cookie=kept.split(";")[0]).status == 200


def test_the_websocket_passes_with_the_cookie_and_from_the_pages_own_origin_only(proxied: Proxied) -> None:
    cookie = str(proxied.ask(f"/?token={proxied.served.token}").headers["set-cookie"]).split(";")[0]
    own = f"https://{NAME}:{proxied.port}"
    assert proxied.talks(cookie, own)
    assert not proxied.talks("", own)
    assert not proxied.talks(cookie, "https://evil.example")

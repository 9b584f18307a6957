"""A web server of this program as a process, asked over raw HTTP: paths and headers go out as they are written."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True)
class Served:
    """process: the server; url: as it was printed; lines: all that was printed with it."""

    process: subprocess.Popen[str]
    url: str
    lines: tuple[str, ...]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def token(self) -> str | None:
        return parse_qs(urlsplit(self.url).query).get("token", [None])[0]

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Headers by name with `_` for `-`, in place of the usual ones; host is the printed one unless given."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"host": self.host, **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def cookie(self) -> str:
        """What a browser holds after it opened the printed address."""
        return self.ask(f"/?token={self.token}").headers["set-cookie"].split(";")[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


@contextmanager
def serving(*command: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Runs `python COMMAND...` until the block ends. The server's address is known when the block begins."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if found := re.search(r"http://\S+", line):
                yield Served(process, found[0], tuple(lines))
                break
        else:
            raise AssertionError(f"no address printed; exit code {process.wait()}")
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            process.kill()
            process.stdout.close()

"""How bytes travel: a download over HTTP, or a client of this machine that fetches, watched while it does."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

Log: TypeAlias = Callable[[str], None]
SILENCE_S = 90.0  # a client that has written nothing for so long is given up
REPORT_S = 2.0
CONNECT_TIMEOUT_S = 20.0
CHUNK = 1 << 18


class SourceUnavailable(Exception):  # noqa: N818 - it says what the source is, and never reaches the user as such
    """This source cannot give the file; the next one may."""


def download(url: str, target: Path, log: Log, expected_bytes: int) -> None:
    """Read `url` (http, https) into `target`; honours the proxy of the environment."""
    assert url.startswith(("http://", "https://"))
    done, reported = 0, time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer, target.open("wb") as file:  # noqa: S310
            length = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if time.monotonic() - reported > REPORT_S:
                    log(f"  {progress(done, length or expected_bytes)}")
                    reported = time.monotonic()
    except urllib.error.HTTPError as error:
        raise SourceUnavailable(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise SourceUnavailable(f"no connection: {error.reason}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise SourceUnavailable(f"the connection broke after {done} bytes: {error}") from error
    if length and done != length:
        raise SourceUnavailable(f"the connection broke after {done} of {length} bytes")


def run_client(
    command: list[str], folder: Path, log: Log, expected_bytes: int, stdout: IO[bytes] | None = None
) -> None:
    """Run a download client in `folder`, saying how much has arrived there.

    It is ended when `folder` has not grown for `SILENCE_S`, and with it all its children when we are interrupted.
    """
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": str(folder), "GIT_TERMINAL_PROMPT": "0"}
    name = Path(command[0]).name if command[1:2] != ["-m"] else command[2]
    with (folder / "client.log").open("w+b") as words:
        client = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout or words,
            stderr=words,
            start_new_session=True,
        )
        try:
            watch(client, name, folder, log, expected_bytes)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            client.wait()
        if client.returncode != 0:
            words.seek(0)
            raise SourceUnavailable(f"{name}: {reason(words.read().decode(errors='replace'), client.returncode)}")


def watch(client: subprocess.Popen[bytes], name: str, folder: Path, log: Log, expected_bytes: int) -> None:
    """Wait for `client`; raises SourceUnavailable when nothing arrives any more."""
    arrived, grown = 0, time.monotonic()
    while True:
        try:
            client.wait(REPORT_S)
            return
        except subprocess.TimeoutExpired:
            now = bytes_in(folder)
        if now != arrived:
            arrived, grown = now, time.monotonic()
            log(f"  {progress(arrived, expected_bytes)}")
        elif time.monotonic() - grown > SILENCE_S:
            raise SourceUnavailable(f"{name}: nothing arrived for {SILENCE_S:.0f} s")


def bytes_in(folder: Path) -> int:
    """The size of all files below `folder`; files may vanish while we look."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - called twice a second
    return total


def progress(done: int, expected: int) -> str:
    """How far a download is, in MB."""
    return f"{done / 1e6:.1f} of {expected / 1e6:.1f} MB" if expected else f"{done / 1e6:.1f} MB"


def reason(words: str, code: int) -> str:
    """The line in which a client says what is wrong: its last one that speaks of an error, else its last one."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if broken := [line for line in lines if "connection broken by" in line]:
        # pip warns of this and then claims that no such package exists.
        return f"no connection: {broken[-1].partition('connection broken by')[2].strip()}"
    marked = [line for line in lines if line.lower().startswith(("error", "fatal", "e:", "oserror"))]
    return (marked or lines or [f"exit code {code}"])[-1].removeprefix("E: ").removeprefix("ERROR: ")

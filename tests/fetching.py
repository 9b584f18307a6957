"""What the tests of fetching share: a pinned content, and a server on loopback that has it, or not quite."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from spoton_edge.file_sources import GithubHosts
from spoton_edge.manifests import GithubFile, Pinned
from spoton_edge.pinned_files import fetch_file

CONTENT = bytes(range(256)) * 700
NOWHERE = GithubHosts(raw="http://127.0.0.1:1", git="file:///nonexistent")
AGAIN = "spoton-edge models fetch it"


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(sources: list[Pinned], target: Path, hosts: GithubHosts = NOWHERE, **more: object) -> Pinned:
    return fetch_file(sources, target, lambda line: None, again=AGAIN, hosts=hosts, **more)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def github_source(content: bytes = CONTENT, commit: str = "a" * 40) -> GithubFile:
    return GithubFile(
        kind="github", repository="some/one", commit=commit, path="deep/the file.onnx", sha256=hashed(content)
    )


@contextlib.contextmanager
def server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server on loopback whose GET is `answer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def serves(files: dict[str, bytes], length: int | None = None) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answers with files by path; `length` is what the header claims instead of the truth."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        content = files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(length or len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer

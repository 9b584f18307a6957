"""The small web server that the live map and the calibrator share: this machine only, or with a token.

    from spoton_edge.web import pages, serve

    code = serve([Route("/site", answer), *pages("map")], bind="127.0.0.1:8590", what="live map")

- `pages(FOLDER)` serves `spoton_edge/web/FOLDER` at `/`, and what all pages share (colours, type, theme), which is
  `spoton_edge/web/common`, at `/common/`.
- `serve` listens, prints the address, runs until SIGINT or SIGTERM and returns the exit code. It asks for a token where
  it listens beyond loopback, stands behind a proxy (`hosts`) or is told to (`guarded`); the printed address carries it.
- Every request is checked (see `guard.py`), every answer has a strict Content-Security-Policy: a page loads nothing
  from elsewhere and runs no inline script or style.
- A `SpotOnError` that a route raises is answered as JSON `{"error": text}` with status 400.
"""

from spoton_edge.web.address import Address
from spoton_edge.web.guard import Access, Guard
from spoton_edge.web.server import application, serve
from spoton_edge.web.statics import pages

__all__ = ["Access", "Address", "Guard", "application", "pages", "serve"]

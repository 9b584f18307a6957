"""A camera's source as the site file names it: what kind it is, and its login without ever showing it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote, unquote

from spoton_edge import credentials
from spoton_edge.errors import CameraError, CredentialError

_PLACEHOLDER = re.compile(r"\{(cred|env):([A-Za-z0-9_.-]+)\}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")
_NUMBERED = re.compile(r"%0?\d*d")
_PATTERN = re.compile(r"test:(?:(\d+)x(\d+))?(?:@(\d+))?")


class Kind(Enum):
    """What a source is read with."""

    STREAM = "stream"  # a URL of a camera or server
    DEVICE = "device"  # /dev/video0
    FILE = "file"
    SEQUENCE = "sequence"  # pictures with numbered names
    PATTERN = "pattern"  # a made-up picture


@dataclass(frozen=True, slots=True)
class Source:
    """Where one camera's frames come from.

    `url` is what the site file says: a stream's URL, a file, `/dev/video0`, `images/%06d.jpg`, or `test:` with an
    optional size and rate (`test:640x360@15`). A login is not written into it but named: `rtsp://{cred:c09}@10.0.0.9/`
    is filled from the service's credential `c09`, and `{env:NAME}` from the environment, when the source is opened.
    """

    name: str
    url: str
    crop: tuple[int, int, int, int] | None = None  # half-open x0 y0 x1 y1, px of the decoded picture
    decode: str = "auto"  # auto, cpu, cuda
    transport: str = "tcp"  # of RTSP: tcp, udp
    clock_offset_ms: float = 0.0  # added to the stamps
    rate_hz: float = 25.0  # of pictures that carry no time of their own
    size: tuple[int, int] | None = None  # (width, height) px of the frames that the calibration was made for

    @property
    def kind(self) -> Kind:
        if self.url.startswith("test:"):
            return Kind.PATTERN
        if _SCHEME.match(self.url):
            return Kind.FILE if self.url.lower().startswith("file://") else Kind.STREAM
        if self.url.startswith("/dev/"):
            return Kind.DEVICE
        return Kind.SEQUENCE if _NUMBERED.search(Path(self.url).name) else Kind.FILE

    @property
    def recorded(self) -> bool:
        """Whether the source waits for its reader, instead of running on a clock of its own."""
        return self.kind in (Kind.FILE, Kind.SEQUENCE, Kind.PATTERN)

    @property
    def shown(self) -> str:
        """The source without its login and query, for messages and logs."""
        return redact(self.url)

    def resolved(self) -> str:
        """The URL with its login filled in; never to be shown.

        Raises:
            CredentialError: a credential or variable that the URL names is absent.
        """
        return _PLACEHOLDER.sub(lambda match: self._secret(match[1], match[2]), self.url)

    def _secret(self, where: str, key: str) -> str:
        if where == "env":
            value = os.environ.get(key)
            if value is None:
                raise CredentialError(f"camera {self.name}: the environment has no {key}; set it to user:password")
        else:
            try:
                value = credentials.read(key)
            except CredentialError as error:
                raise CredentialError(f"camera {self.name}: {error}") from None
        user, colon, password = value.strip().partition(":")
        return quote(user, safe="") + colon + quote(password, safe="")


def redact(text: str) -> str:
    """`text` without the logins and queries of the URLs in it."""
    text = _USERINFO.sub("***@", text)
    return re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?***", text)


def scrub(text: str, resolved: str) -> str:
    """An error's text without any secret of the resolved URL, also where it quotes only a part of it."""
    match = re.search(r"://([^/\s]*)@", resolved)
    if match:
        password = match[1].partition(":")[2]
        for secret in (match[1], unquote(match[1]), password, unquote(password)):
            if secret:
                text = text.replace(secret, "***")
    return redact(text)


def _pattern_graph(source: Source) -> str:
    """The filter graph that draws a `test:` source.

    Raises:
        CameraError: the size or rate is not one.
    """
    match = _PATTERN.fullmatch(source.url)
    if match is None or "0" in (match[1], match[2], match[3]):
        raise CameraError(f"camera {source.name}: {source.url!r} is no test pattern; write test: or test:640x360@15")
    width, height, rate = match[1] or "640", match[2] or "360", match[3] or "15"
    return f"testsrc=size={width}x{height}:rate={rate}"


def _first_number(source: Source) -> int:
    """The number of the first picture of a sequence.

    Raises:
        CameraError: there is no picture of that name.
    """
    path = Path(source.url)
    before, after = _NUMBERED.split(path.name, maxsplit=1)
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    try:
        numbers = [int(match[1]) for entry in os.scandir(path.parent) if (match := name.fullmatch(entry.name))]
    except OSError as error:
        raise CameraError(f"camera {source.name}: {path.parent}: {error.strerror}") from None
    if not numbers:
        raise CameraError(f"camera {source.name}: no picture {path.name} in {path.parent}; check the name's number")
    return min(numbers)


def how_to_open(source: Source, resolved: str) -> tuple[str, str | None, dict[str, str]]:
    """The name, format and options that FFmpeg is given for a source whose URL with its login is `resolved`.

    Raises:
        CameraError: the test pattern has no such size or rate, or a sequence has no picture.
    """
    kind = source.kind
    if kind is Kind.PATTERN:
        return _pattern_graph(source), "lavfi", {}
    if kind is Kind.DEVICE:
        return source.url, "v4l2", {}
    if kind is Kind.SEQUENCE:
        start, rate = str(_first_number(source)), str(source.rate_hz)
        return source.url, "image2", {"framerate": rate, "start_number": start}
    if kind is Kind.FILE:
        return resolved, None, {}
    options = {"analyzeduration": "1000000", "fpsprobesize": "0"}
    if resolved.lower().startswith(("rtsp://", "rtsps://")):
        options |= {"rtsp_transport": source.transport, "allowed_media_types": "video"}
    return resolved, None, options

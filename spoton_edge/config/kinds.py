"""The kinds of value that site files are made of. Each refuses with what is wrong and how to mend it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from spoton_edge.config import geometry

SourceKind: TypeAlias = Literal["file", "images", "rtsp", "http", "device", "test"]

_Value = TypeVar("_Value")

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
MAX_POINTS = 1000
_LARGEST = 1e9  # keeps sums and squares of coordinates finite


def _faultless(find: Callable[[_Value], str | None]) -> AfterValidator:
    """A check made of a function that gives the fault or None."""

    def check(value: _Value) -> _Value:
        fault = find(value)
        if fault is not None:
            raise ValueError(fault)
        return value

    return AfterValidator(check)


def _entries(layout: str) -> BeforeValidator:
    """A list of fixed length, whose entries the message names."""
    count = layout.count(",") + 1

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) != count:
            raise ValueError(f"needs {count} entries [{layout}], has {len(value)}")
        return value

    return BeforeValidator(check)


def _not_empty(value: Any) -> Any:
    # Not `min_length`: pydantic counts only faultless entries, and would call a list of faulty ones empty.
    if isinstance(value, list | tuple) and not value:
        raise ValueError("is an empty list; give at least one")
    return value


FILLED = BeforeValidator(_not_empty)


def _yes_or_no(value: Any) -> Any:
    return {"yes": True, "on": True, "no": False, "off": False}.get(value, value) if isinstance(value, str) else value


Text = Annotated[str, Field(strict=True, min_length=1)]
Name = Annotated[str, Field(strict=True, pattern=NAME)]
Flag = Annotated[bool, BeforeValidator(_yes_or_no), Field(strict=True)]
Number = Annotated[float, Field(strict=True, ge=-_LARGEST, le=_LARGEST)]
Positive = Annotated[float, Field(strict=True, gt=0, le=_LARGEST)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=1e6)]  # eleven days, and no sum of nanoseconds overflows
NotNegative = Annotated[float, Field(strict=True, ge=0, le=_LARGEST)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=65_535)]

Size = Annotated[tuple[Pixels, Pixels], _entries("width, height")]
Corner = Annotated[tuple[Number, Number], _entries("u, v")]
Polygon = Annotated[tuple[Corner, ...], _faultless(geometry.polygon_fault)]
Row3 = Annotated[tuple[Number, Number, Number], _entries("1st, 2nd, 3rd")]
Row4 = Annotated[tuple[Number, Number, Number, Number], _entries("1st, 2nd, 3rd, 4th")]
# Of matrices and points only the shape is looked at here. Whether they can be true is for `calibration.judge` to say,
# camera by camera: one that is calibrated wrongly is no reason to refuse the site.
Matrix3 = Annotated[tuple[Row3, Row3, Row3], _entries("1st row, 2nd row, 3rd row")]
Projection = Annotated[tuple[Row4, Row4, Row4], _entries("1st row, 2nd row, 3rd row")]
Rotation = Annotated[
    Annotated[Matrix3, Tag("matrix")] | Annotated[Row3, Tag("vector")],
    Discriminator(lambda value: "matrix" if _is_nested(value) else "vector"),
]


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(entry, list | tuple) for entry in value)


def _distortion_fault(coefficients: tuple[float, ...]) -> str | None:
    if len(coefficients) in (0, 4, 5, 8):
        return None
    return f"needs 4, 5 or 8 entries [k1, k2, p1, p2, k3, k4, k5, k6], has {len(coefficients)}"


Distortion = Annotated[tuple[Number, ...], _faultless(_distortion_fault)]
PointPair = Annotated[tuple[Number, Number, Number, Number], _entries("u, v, x, y")]


def _count_fault(points: tuple[tuple[float, float, float, float], ...]) -> str | None:
    if 4 <= len(points) <= MAX_POINTS:
        return None
    return f"a homography needs 4 to {MAX_POINTS} points [u, v, x, y], here are {len(points)}"


PointPairs = Annotated[tuple[PointPair, ...], _faultless(_count_fault)]


def _crop_fault(crop: tuple[int, int, int, int]) -> str | None:
    x0, y0, x1, y1 = crop
    if x0 < x1 and y0 < y1:
        return None
    return f"[{x0}, {y0}, {x1}, {y1}] is empty; give [x0, y0, x1, y1] with x0 < x1 and y0 < y1 (x1, y1 not included)"


_Edge = Annotated[int, Field(strict=True, ge=0, le=65_535)]
Crop = Annotated[tuple[_Edge, _Edge, _Edge, _Edge], _faultless(_crop_fault), _entries("x0, y0, x1, y1")]


def _input_fault(size: tuple[int, int]) -> str | None:
    if all(side % 32 == 0 for side in size):
        return None
    near = [max(32, round(side / 32) * 32) for side in size]
    return f"[{size[0]}, {size[1]}] is not in multiples of 32; the nearest is {near}"


InputSize = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=32, le=8192)], Annotated[int, Field(strict=True, ge=32, le=8192)]],
    _faultless(_input_fault),
    _entries("width, height"),
]


def _travel_fault(span: tuple[float, float]) -> str | None:
    return None if span[0] <= span[1] else f"the shortest, {span[0]} s, is more than the longest, {span[1]} s; swap"


Travel = Annotated[tuple[NotNegative, Positive], _faultless(_travel_fault), _entries("shortest, longest")]

Quadrant: TypeAlias = Literal["upper_left", "upper_right", "lower_left", "lower_right"]
Zone = Annotated[
    Annotated[Quadrant, Tag("quadrant")] | Annotated[Polygon, Tag("polygon")],
    Discriminator(lambda value: "polygon" if isinstance(value, list | tuple) else "quadrant"),
]


def source_kind(source: str) -> SourceKind | None:
    """What a camera's `source` is; None: none that is known."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)
    if scheme:
        known: dict[str, SourceKind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
        return known.get(scheme[1].lower())
    if source.startswith("test:"):
        return "test"
    if source.startswith("/dev/"):
        return "device"
    return "images" if re.search(r"%(0\d+)?d", source) else "file"


def _source_fault(source: str) -> str | None:
    if source_kind(source):
        return None
    scheme = source.partition("://")[0]
    if scheme == "file":
        return "write the path itself, without file://"
    return f"sources of the kind '{scheme}://' are not known; use rtsp://, http://, a video file or a device"


Source = Annotated[str, Field(strict=True, min_length=1), _faultless(_source_fault)]


def is_path(model: str) -> bool:
    """Whether a model is given as a file, not by the name of a manifest."""
    return "/" in model or model.endswith(".onnx")


def _model_fault(model: str) -> str | None:
    if is_path(model) or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", model):
        return None
    return "is neither a model's name (letters, digits, '.', '_', '-') nor a path to an .onnx file"


Model = Annotated[str, Field(strict=True), _faultless(_model_fault)]


def endpoint_fault(endpoint: str) -> str | None:
    """What is wrong with a ZeroMQ endpoint; None: nothing."""
    if endpoint.startswith("ipc://"):
        path = endpoint.removeprefix("ipc://")
        if not path.startswith(("/", "@")):
            return "an ipc endpoint needs an absolute path, as in ipc:///run/spoton-edge/tracks.sock"
        return None if len(path.encode()) <= 107 else "the path is longer than the 107 bytes a socket may have"
    tcp = re.fullmatch(r"tcp://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._*-]+):(\d{1,5}|\*)", endpoint)
    if tcp and (tcp[2] == "*" or int(tcp[2]) <= 65_535):
        return None
    return "is no endpoint; write tcp://ADDRESS:PORT, as in tcp://127.0.0.1:5591, or ipc:///PATH"


def _control_fault(control: str) -> str | None:
    if control == "auto":
        return None
    if not control.startswith("ipc://"):
        return "must be 'auto' or ipc:///PATH: who may use it is decided by the file's permissions"
    return endpoint_fault(control)


Endpoint = Annotated[str, Field(strict=True), _faultless(endpoint_fault)]
Control = Annotated[str, Field(strict=True), _faultless(_control_fault)]
Preview = Annotated[
    Annotated[Flag, Tag("flag")] | Annotated[Endpoint, Tag("endpoint")],
    Discriminator(lambda value: "endpoint" if isinstance(value, str) and "://" in value else "flag"),
]


def _metrics(value: Any) -> Any:
    if value in (None, False, "no", "off"):
        return False
    if not isinstance(value, str) or not (
        match := re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(\d{1,5})", value)
    ):
        raise ValueError("must be false, or an address of this machine, as in 127.0.0.1:9477")
    if not is_local(f"tcp://{value}"):
        raise ValueError("is for this machine only; write 127.0.0.1:PORT, and have a collector here pass it on")
    if int(match[2]) > 65_535:
        raise ValueError("has no such port; the highest is 65535")
    return value


Metrics = Annotated[Literal[False] | str, BeforeValidator(_metrics)]


def is_local(endpoint: str) -> bool:
    """Whether only this machine can reach an endpoint."""
    if not endpoint.startswith("tcp://"):
        return True
    host = endpoint.removeprefix("tcp://").rpartition(":")[0]
    return host in ("localhost", "[::1]") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def host_name() -> str:
    """The machine's own name, fit to be a name here."""
    label = re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname().partition(".")[0]).strip("-_")
    return label[:64] or "box"

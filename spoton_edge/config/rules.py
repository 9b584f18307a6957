"""What must hold between keys. Works on the data as written, so that it speaks up although other keys are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spoton_edge.config.document import Document
from spoton_edge.config.faults import closest
from spoton_edge.config.kinds import endpoint_fault, is_local
from spoton_edge.config.places import Loc, Problem, lookup, places


def broken_rules(document: Document) -> list[Problem]:
    """A fault for each pair of keys that contradict each other."""
    return [
        *_camera_names(document),
        *_handoff_targets(document.data),
        *_image_sizes(document.data),
        *_exposed_endpoints(document.data),
        *_uplink_endpoint(document.data),
        *_equal_endpoints(document),
    ]


def no_such(what: str, all_of_them: str, name: str, names: Sequence[str]) -> str:
    """That there is nothing of this name, and what may have been meant."""
    meant = closest(name, names)
    hint = f"did you mean '{meant}'?" if meant else f"the {all_of_them} are {', '.join(names) or 'not named'}"
    return f"there is no {what} '{name}'; {hint}"


def exposed(data: dict[str, Any], endpoints: Iterable[tuple[Loc, str]], remedy: str) -> Iterator[Problem]:
    """A fault for each endpoint that others can reach, unless `publish.insecure` says that they may; the remedy leads
    up to that."""
    if any(value in (True, "yes", "on") for _, value in places(data, "publish.insecure")):
        return
    for loc, endpoint in endpoints:
        if not is_local(endpoint):
            yield Problem(
                loc,
                f"'{endpoint}' can be reached by other machines, unencrypted and by anyone; "
                f"{remedy} publish.insecure: true",
            )


def _camera_names(document: Document) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for loc, name in places(document.data, "cameras[].name"):
        if isinstance(name, str):
            if name in first:
                yield Problem(loc, f"'{name}' is already the camera of line {first[name]}; give each its own name")
            first.setdefault(name, document.line(loc))


def _handoff_targets(data: dict[str, Any]) -> Iterator[Problem]:
    names = list(dict.fromkeys(name for _, name in places(data, "cameras[].name") if isinstance(name, str)))
    for loc, to in places(data, "cameras[].handoff[].to"):
        if not isinstance(to, str):
            continue
        if to not in names:
            yield Problem(loc, no_such("camera", "cameras", to, names))
        elif to == lookup(data, (*loc[:2], "name")):
            yield Problem(loc, "is the camera itself; remove it: who comes back is recognised without a handoff")


def _image_sizes(data: dict[str, Any]) -> Iterator[Problem]:
    """A calibration made for another size is scaled, but only if the shape is the same."""
    for loc, size in places(data, "cameras[].ground.image_size"):
        crop: Any = lookup(data, (*loc[:2], "crop"))
        if not _whole(size, 2) or not _whole(crop, 4):
            continue
        width, height = crop[2] - crop[0], crop[3] - crop[1]
        # One pixel of rounding on either side is no other shape.
        if abs(size[0] * height - size[1] * width) > max(width, height):
            yield Problem(
                loc, f"{size} has another shape than the crop, [{width}, {height}]; calibrate the cropped picture"
            )


def _whole(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(x) is int and x >= 0 for x in value)


def _exposed_endpoints(data: dict[str, Any]) -> Iterator[Problem]:
    if any(value is not None for _, value in places(data, "publish.keys")):
        return
    yield from exposed(data, _endpoints(data), "bind to 127.0.0.1 or ipc://, name publish.keys, or set")


def _uplink_endpoint(data: dict[str, Any]) -> Iterator[Problem]:
    for loc, endpoint in places(data, "uplink.identities"):
        if isinstance(endpoint, str) and endpoint_fault(endpoint) is None and not is_local(endpoint):
            yield Problem(
                loc, f"'{endpoint}' can be reached by other machines, unencrypted; bind to 127.0.0.1 or ipc://"
            )


def _equal_endpoints(document: Document) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for loc, endpoint in _endpoints(document.data):
        chosen_by_system = endpoint.startswith("tcp://") and endpoint.endswith((":0", ":*"))
        if endpoint in first and not chosen_by_system:
            yield Problem(loc, f"'{endpoint}' is already used on line {first[endpoint]}; give each its own")
        first.setdefault(endpoint, document.line(loc))


def _endpoints(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for key in ("publish.bind[]", "publish.snapshot", "publish.preview"):
        for loc, value in places(data, key):
            if isinstance(value, str) and endpoint_fault(value) is None:
                yield loc, value

"""The file of a site of many boxes (`spoton-edge site HUB.yaml`): its boxes, and how people get from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from spoton_edge.config.document import read
from spoton_edge.config.faults import problems_of
from spoton_edge.config.kinds import FILLED, NAME, Endpoint, Flag, Model, Name, Positive, Text, Travel
from spoton_edge.config.places import Loc, Problem, assign, places
from spoton_edge.config.rules import exposed, no_such
from spoton_edge.config.sections import Section
from spoton_edge.errors import ConfigError

BORDER = NAME.removesuffix("$") + "/" + NAME.removeprefix("^")


class HubBox(Section):
    """A box of the site."""

    name: Name = Field(description="as `box` in its site file")
    domain: Name | None = Field(
        default=None,
        description="JetStream domain of its leaf node; default: its name; `hub`: it has none, its uplink "
        "talks to the hub",
    )


class HubLink(Section):
    """People who leave a box at one border come in at another's, out of sight in between."""

    leave: Annotated[str, Field(strict=True, pattern=BORDER)] = Field(description="BOX/BORDER, as in `uplink.border`")
    enter: Annotated[str, Field(strict=True, pattern=BORDER)] = Field(description="BOX/BORDER")
    travel_s: Travel = Field(default=(0.5, 20.0), description="[shortest, longest] time out of sight, seconds")
    both_ways: Flag = Field(default=True, description="and back the same way")


class HubIdentity(Section):
    """What makes people on two boxes one person."""

    max_speed_mps: Positive = Field(default=3.0, description="nobody moves faster, metres per second")
    forget_s: Positive = Field(default=120.0, description="how long someone out of sight keeps the id, seconds")
    late_s: Positive = Field(default=120.0, description="news of a box that was cut off count if not later, seconds")
    sync_window_ms: Positive = Field(
        default=100.0, description="a box whose clock is further off is named, milliseconds"
    )
    reid: Model | None = Field(
        default=None, description="the boxes' `reid.model`, where they share appearance; null: learned on the site"
    )


class HubPublish(Section):
    """Where the whole site is published as a box publishes itself, its boxes in the place of cameras."""

    bind: tuple[Endpoint, ...] = Field(default=(), description="endpoints for subscribers; []: nowhere")
    snapshot: Endpoint | None = Field(
        default=None,
        description="endpoint that answers with the state as it is; default: the port after `bind`'s first",
    )
    insecure: Flag = Field(default=False, description="allow endpoints that other machines can reach, unencrypted")


class Hub(Section):
    """Many boxes, one site."""

    site: Name = Field(default="site", description="as `site` in the boxes' site files")
    server: Text | tuple[Text, ...] = Field(
        default="nats://127.0.0.1:4222", description="the hub's NATS server, or a list of a cluster's"
    )
    nkey: Text | None = Field(
        default=None, description="file with the service's key; default: its credential, if there is one"
    )
    ca: Text | None = Field(
        default=None, description="certificate that the server's is signed by; default: its credential, else no TLS"
    )
    replicas: Annotated[int, Field(strict=True, ge=1, le=5)] = Field(
        default=1, description="servers of the cluster that keep each message"
    )
    boxes: Annotated[tuple[HubBox, ...], FILLED] = Field(description="the boxes, one or more")
    links: tuple[HubLink, ...] = Field(default=(), description="ways between borders; boxes without any: by walking")
    identity: HubIdentity = Field(default=HubIdentity(), description="recognising people across boxes")
    publish: HubPublish = Field(default=HubPublish(), description="sending the whole site out")


def load_hub(path: str | Path) -> Hub:
    """The site that a file describes, paths absolute.

    Raises `ConfigError` with every fault, one line each: `FILE:LINE: key.path: what is wrong; remedy`.
    """
    path = Path(path)
    document = read(path, "'boxes:'")
    for key in ("nkey", "ca"):
        for loc, value in places(document.data, key):
            if isinstance(value, str) and value:
                assign(document.data, loc, str((Path.cwd() / path).parent / value))
    problems = [*document.problems, *_broken_rules(document.data)]
    try:
        hub = Hub.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(document.describe([*problems, *problems_of(error, document.data, Hub)])) from None
    if problems:
        raise ConfigError(document.describe(problems))
    return hub


def _broken_rules(data: dict[str, Any]) -> Iterator[Problem]:
    names = [name for _, name in places(data, "boxes[].name") if isinstance(name, str)]
    for loc, name in places(data, "boxes[].name"):
        if name in names[: loc[1] if isinstance(loc[1], int) else 0]:
            yield Problem(loc, f"'{name}' is already the name of a box; give each its own")
    for key in ("links[].leave", "links[].enter"):
        for loc, border in places(data, key):
            box = border.partition("/")[0] if isinstance(border, str) else None
            if box is not None and "/" in border and box not in names:
                yield Problem(loc, no_such("box", "boxes", box, names))
    yield from exposed(data, _endpoints(data), "bind to 127.0.0.1 or ipc://, or set")


def _endpoints(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for key in ("publish.bind[]", "publish.snapshot"):
        for loc, value in places(data, key):
            if isinstance(value, str):
                yield loc, value

"""What is published, to look at: a live table of people and cameras, or one message a line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from spoton_edge.client import Message, Missed, Status, Subscriber, Tracks
from spoton_edge.errors import MissingExtraError, UsageError
from spoton_edge.messages import ENDPOINT

if TYPE_CHECKING:
    from rich.console import RenderableType

SILENCE_S = 3.0
REFRESH_S = 0.1


def run(
    endpoint: str = ENDPOINT,
    *,
    as_json: bool = False,
    snapshot: str | None = None,
    key: Path | None = None,
    output: IO[str] | None = None,
) -> int:
    """Shows what an endpoint publishes until interrupted or until nobody reads the output; returns the exit code.

    Args:
        endpoint: of a daemon's messages.
        as_json: print one message a line, as it came: the output is a recording that `play` plays.
        snapshot: the snapshot endpoint, where it is not the next port.
        key: this subscriber's key file, where the endpoint is encrypted.
        output: default: standard output.
    """
    output = output or sys.stdout
    show = _print_lines if as_json else _show_table
    try:
        with Subscriber(endpoint, snapshot=snapshot, key=key) as subscriber:
            show(subscriber, output)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python flushes standard output once more at exit; that must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    return 0


def _print_lines(subscriber: Subscriber, output: IO[str]) -> None:
    said = False
    for message, silent in heard(subscriber):
        if isinstance(message, Missed):
            _say(f"lost {message.count} of {message.topic}")
        elif message is not None:
            output.write(json.dumps(message.raw, separators=(",", ":")) + "\n")
            output.flush()
        elif silent and not said:
            _say(silence(subscriber))
        said = silent


def _show_table(subscriber: Subscriber, output: IO[str]) -> None:
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        raise MissingExtraError("the table needs rich: pip install 'spoton-edge[edge]', or use --json") from None
    console = Console(file=output)
    with Live(console=console, auto_refresh=False) as live:
        shown_s = 0.0
        for _, silent in heard(subscriber):
            if time.monotonic() - shown_s >= REFRESH_S:
                shown_s = time.monotonic()
                note = silence(subscriber) if silent else _losses(subscriber)
                live.update(board(subscriber.latest, note), refresh=True)


def heard(subscriber: Subscriber) -> Iterator[tuple[Message | Missed | None, bool]]:
    """Each message as it comes, None in between, and whether nothing has come for SILENCE_S."""
    last_s = time.monotonic()
    while True:
        message = subscriber.receive(REFRESH_S)
        if message is not None:
            last_s = time.monotonic()
        yield message, time.monotonic() - last_s >= SILENCE_S


def silence(subscriber: Subscriber) -> str:
    """What to say when nothing is heard."""
    heard_not = f"nothing heard from {subscriber.endpoint} for {SILENCE_S:g} s"
    return f"{heard_not}: is the daemon running, and is this its publish.bind?"


def board(latest: dict[str, Message], note: str = "") -> RenderableType:
    """The table of people above the table of cameras, from the newest message of each kind."""
    from rich.console import Group
    from rich.text import Text

    tracks, status = latest.get("tracks"), latest.get("status")
    parts: list[RenderableType] = []
    if isinstance(tracks, Tracks):
        parts.append(people_table(tracks))
    if isinstance(status, Status):
        parts.append(camera_table(status))
    return Group(*parts, Text(note or ("" if parts else "waiting for the first message")))


def people_table(message: Tracks) -> RenderableType:
    """One row a person."""
    from rich.table import Table

    table = Table(
        title=f"{message.site}: {len(message.tracks)} people, {message.age_ms:.0f} ms old", title_justify="left"
    )
    for name in ("id", "x m", "y m", "m/s", "state", "seen for", "cameras"):
        table.add_column(name, justify="left" if name in ("state", "cameras") else "right")
    for person in message.tracks:
        speed = None if person.vx is None or person.vy is None else (person.vx**2 + person.vy**2) ** 0.5
        table.add_row(
            str(person.id),
            *(_number(value, 2) for value in (person.x, person.y, speed)),
            person.state,
            f"{_number(person.age_s, 0)} s",
            " ".join(sorted({view.camera for view in person.views})),
            style={"coasting": "yellow", "lost": "dim"}.get(person.state),
        )
    return table


def camera_table(message: Status) -> RenderableType:
    """One row a camera."""
    from rich.table import Table

    title = f"{_number(message.batch_rate_hz, 1)} batches/s, {message.publish['connections']} connections"
    table = Table(title=title, title_justify="left")
    for name in ("camera", "state", "fps", "frames", "dropped", "bad", "skew ms"):
        table.add_column(name, justify="left" if name in ("camera", "state") else "right")
    for camera in message.cameras:
        table.add_row(
            camera["name"],
            camera["state"],
            _number(camera["fps"], 1),
            *(str(camera[name]) for name in ("frames", "dropped", "bad_frames")),
            _number(camera["skew_ms"], 0),
            style=None if camera["state"] in ("live", "ended") else "red",
        )
    return table


def _losses(subscriber: Subscriber) -> str:
    lost = sum(subscriber.missed.values())
    return f"{lost} messages lost on the way" if lost else ""


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

"""Publishes a recording of messages (`watch --json`) once more, at its pace: to write a subscriber takes no cameras."""

from __future__ import annotations

import itertools
import json
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spoton_edge.errors import UsageError
from spoton_edge.messages import ENDPOINT, SNAPSHOT
from spoton_edge.publisher import Publisher
from spoton_edge.wire import KINDS, VERSION, Encoder, Encoding

LONGEST_PAUSE_S = 10.0  # a recording of two days need not be as silent as the night between


def run(
    file: str,
    *,
    bind: Sequence[str] = (ENDPOINT,),
    snapshot: str | None = SNAPSHOT,
    speed: float = 1.0,
    encoding: Encoding = "json",
    wait_for_subscriber_s: float = 0.0,
) -> int:
    """Plays a file, or standard input for "-"; returns the exit code.

    Args:
        file: one message a line.
        bind, snapshot: as in a site's `publish`.
        speed: 2 is twice as fast.
        encoding: of what is published.
        wait_for_subscriber_s: begin when somebody listens, or after so many seconds.

    Raises:
        UsageError: the file cannot be read, or a line is no message.
        PublishError: an endpoint cannot be bound.
    """
    if not speed > 0:
        raise UsageError(f"--speed {speed:g}: write a number above 0")
    messages = _messages(_lines(file), file)
    first = next(messages, None)
    if first is None:
        raise UsageError(f"{file}: there is no message in it; record some with: spoton-edge watch --json > FILE")
    encoder = Encoder(first["site"], first["box"], secrets.token_hex(8), (), encoding=encoding)
    with Publisher(encoder, bind, snapshot=snapshot) as publisher:
        sys.stderr.write(f"playing {file} on {', '.join(publisher.endpoints)}\n")
        _wait(publisher, wait_for_subscriber_s)
        try:
            for payload in _paced(itertools.chain([first], messages), speed):
                if payload["kind"] == "status":
                    # How far the topics are is this run's to say.
                    payload["publish"] = {**payload["publish"], "sent": dict(publisher.delivery().sent)}
                publisher.publish(encoder.again(payload))
        except KeyboardInterrupt:
            pass
    return 0


def _lines(file: str) -> Iterable[str]:
    if file == "-":
        return sys.stdin
    try:
        return Path(file).open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: {(error.strerror or '').lower()}") from None


def _messages(lines: Iterable[str], file: str) -> Iterator[dict[str, Any]]:
    try:
        for number, line in enumerate(lines, 1):
            try:
                payload = json.loads(line)
                usable = payload["v"] == VERSION and payload["kind"] in KINDS and _captured_s(payload) is not None
                usable = usable and isinstance(payload["site"], str) and isinstance(payload["box"], str)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                usable = False
            if not usable:
                remedy = "record with: spoton-edge watch --json"
                raise UsageError(f"{file}:{number}: no message of version {VERSION}; {remedy}")
            yield payload
    except OSError as error:
        raise UsageError(f"{file}: {(error.strerror or '').lower()}") from None


def _captured_s(payload: dict[str, Any]) -> float:
    """When what a message tells of was seen, or, if it tells of nothing seen, when it was made."""
    captured = payload.get("captured")
    if isinstance(captured, dict):
        captured = max(captured.values(), default=None)
    return float(payload["time"] if captured is None else captured)


def _paced(messages: Iterable[dict[str, Any]], speed: float) -> Iterator[dict[str, Any]]:
    """Each message when it is due. Kept against the clock, so that delays do not add up."""
    due_s = time.monotonic()
    last_s: float | None = None
    for payload in messages:
        at_s = _captured_s(payload)
        if last_s is not None and at_s > last_s:
            due_s += min(at_s - last_s, LONGEST_PAUSE_S) / speed
        last_s = at_s if last_s is None else max(last_s, at_s)
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield payload


def _wait(publisher: Publisher, at_most_s: float) -> None:
    deadline_s = time.monotonic() + at_most_s
    while time.monotonic() < deadline_s and not publisher.delivery().subscriptions:
        time.sleep(0.01)

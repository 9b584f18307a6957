"""Every camera of a site, opened and watched for a few seconds, its login and its calibration."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from spoton_edge import config, credentials
from spoton_edge.building import source_of
from spoton_edge.calibration.judge import judge_site
from spoton_edge.capture import Capture, Source, snapshot
from spoton_edge.capture.source import Kind
from spoton_edge.doctor.findings import Finding, good, not_checked, note, wrong
from spoton_edge.errors import CredentialError, SpotOnError
from spoton_edge.types import CameraStatus

PATIENCE_S = 8.0  # for cameras to answer
LOOK_S = 4.0  # at those that do, for their rate; who is offline may come back meanwhile
ANSWERS = ("live", "ended", "refused", "offline")
SLOWEST_HZ = 3.0  # below, people move farther between frames than they are wide
LARGEST_SKEW_MS = 200.0

Size = tuple[int, int]


def cameras(site: config.Site, *, running: bool) -> Iterator[Finding]:
    """What each camera sends, and whether its calibration fits that. running: the site's daemon has the devices."""
    sources, sizes = [], dict[str, Size]()
    for camera in site.cameras:
        source = source_of(camera)
        finding = _login(source) or _device(source, running)
        if finding is not None:
            yield finding
        else:
            sources.append(source)
    if sources:
        yield from _watched(site, sources, sizes)
    yield from calibrations(site, sizes)


def calibrations(site: config.Site, sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """The verdict on each camera's calibration; sizes: of the pictures, where they are known."""
    for verdict in judge_site(site, sizes):
        what, text = f"calibration of {verdict.camera}", "; ".join(verdict.reasons)
        if not verdict.calibrated:
            yield note(what, "none: its people have no place", "spoton-edge calibrate --help")
        elif verdict.grade == "good":
            yield good(what, "good")
        elif verdict.grade == "usable":
            yield note(what, f"usable: {text}")
        else:
            yield wrong(what, text, "until then its people have no place")


def _login(source: Source) -> Finding | None:
    if credentials.names_in([source.url]) and credentials.unreadable():
        return not_checked(f"camera {source.name}", "its login is for root and the service only", "doctor --service")
    try:
        source.resolved()
    except CredentialError as error:
        text, _, remedy = str(error).removeprefix(f"camera {source.name}: ").partition("; ")
        return wrong(f"camera {source.name}", text, remedy or "as root: spoton-edge credential set NAME")
    return None


def _device(source: Source, running: bool) -> Finding | None:
    if source.kind is not Kind.DEVICE:
        return None
    what, device = f"camera {source.name}", Path(source.url)
    if not device.exists():
        return wrong(what, f"there is no {device}", "plug it in; v4l2-ctl --list-devices shows what there is")
    if not os.access(device, os.R_OK | os.W_OK, effective_ids=True):
        return wrong(what, f"{device} may not be opened by this user", "usermod --append --groups video spoton-edge")
    return not_checked(what, f"the daemon that runs has {device}", "see spoton-edge status") if running else None


def _watched(site: config.Site, sources: list[Source], sizes: dict[str, Size]) -> Iterator[Finding]:
    logger = logging.getLogger("spoton_edge.capture")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it would say, the findings do
    try:
        usable, absent = _openable(sources)
        yield from absent
        if not usable:
            return
        with Capture(usable, sync_window_ms=site.runtime.sync_window_ms, stall_s=site.runtime.stall_s) as capture:
            _take(capture, PATIENCE_S, until_all=True)
            _take(capture, LOOK_S, until_all=False)
            found = list(zip(usable, capture.status(), capture.formats(), strict=True))
        for source, status, frames in found:
            if frames.size is not None:
                sizes[source.name] = frames.size
            yield _verdict(source, status, frames.size)
    finally:
        logger.setLevel(level)


def _openable(sources: list[Source]) -> tuple[list[Source], list[Finding]]:
    """Recordings that are absent or broken would keep the others from being opened."""
    usable, absent = [], []
    for source in sources:
        try:
            if source.recorded:
                snapshot(source, patience_s=PATIENCE_S)
            usable.append(source)
        except SpotOnError as error:
            text = str(error).removeprefix(f"camera {source.name}: ")
            absent.append(wrong(f"camera {source.name}", text, "correct its source in the site file"))
    return usable, absent


def _take(capture: Capture, seconds: float, *, until_all: bool) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not capture.finished:
        capture.take(0.1)
        if until_all and all(status.state in ANSWERS for status in capture.status()):
            return


def _verdict(source: Source, status: CameraStatus, size: Size | None) -> Finding:
    what = f"camera {source.name}"
    if status.state not in ("live", "ended"):
        return wrong(what, f"{status.state}: {_reason(source)}", "see that it is on, and that its address is right")
    shape = f"{size[0]}x{size[1]} px" if size else "size unknown"
    text = f"{shape}, {status.fps:.1f} frames/s"
    if status.bad_frames:
        text += f", {status.bad_frames} of them damaged"
    if status.skew_ms is not None:
        text += f", clock {status.skew_ms:+.0f} ms"
        if abs(status.skew_ms) > LARGEST_SKEW_MS:
            return note(what, text, "its frames are late or early: see clock_offset_ms")
    if status.bad_frames:
        return note(what, text, "its network loses packets: use transport: tcp, a cable, a lower bit rate")
    if status.fps < SLOWEST_HZ:
        return note(what, text, "people are hard to follow below 5 frames/s: raise its rate")
    return good(what, text)


def _reason(source: Source) -> str:
    try:
        snapshot(source, patience_s=2.0)
    except SpotOnError as error:
        return str(error).removeprefix(f"camera {source.name}: ")
    return "it came and went"

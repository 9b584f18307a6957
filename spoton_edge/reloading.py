"""A site file read anew while the daemon runs: what differs is prepared beside what runs, then put in its place.

Everything that can fail is done by `prepare`, in any thread; `apply` is for the loop, between two batches. Cameras are
told apart by name. Each name has a number, which the stages know it by, for as long as the process lives: a camera that
goes leaves a gap, one that comes gets the next number, and so nobody else's rows move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from spoton_edge import config, keys
from spoton_edge.assembly import build_associator, build_ground, statistics_of, tracker_numbers
from spoton_edge.association import Associator
from spoton_edge.building import USUAL_RATE_HZ, build_encoder, source_of
from spoton_edge.capture import Capture, Change
from spoton_edge.description import describe
from spoton_edge.errors import ConfigError, CredentialError
from spoton_edge.ground_plane import Site as Ground
from spoton_edge.network_swap import KEYS as NETWORK_KEYS
from spoton_edge.pipeline import Pipeline
from spoton_edge.types import SiteDescription
from spoton_edge.wire import Encoder

# Sections and keys that are fixed while a process lives: names that others hold on to, and libraries.
RESTART = (
    "site",
    "box",
    "publish.format",
    "publish.keys",
    "publish.preview",
    "runtime.backend",
    "runtime.threads",
    "runtime.control",
    "runtime.metrics",
    "uplink",
)
SWAPPED = {section: tuple(f"{section}.{key}" for key in keys) for section, keys in NETWORK_KEYS.items()}


@dataclass(frozen=True, slots=True)
class Running:
    """What runs: `site` in the order of the file, `names` and `rates_hz` by number, names that are gone among them."""

    site: config.Site
    names: Sequence[str]
    rates_hz: Sequence[float]
    run: str
    capture: Capture
    pipeline: Pipeline

    @classmethod
    def start(cls, site: config.Site, run: str, capture: Capture, pipeline: Pipeline) -> Running:
        """As it was built: numbers are the order of the file."""
        rates = [frames.rate_hz or USUAL_RATE_HZ for frames in capture.formats()]
        return cls(site, [camera.name for camera in site.cameras], rates, run, capture, pipeline)


@dataclass(frozen=True, slots=True)
class Update:
    """A config that is ready to be taken; `apply` or `discard` it."""

    after: Running
    lines: list[str]  # what changes, for the operator
    restart: list[str]  # keys that stay as they were until a restart
    wanted: config.Site  # whose networks are to be prepared
    swap: list[str]  # sections with another network
    change: Change
    forgotten: list[int]  # numbers of cameras that went, or show something else
    ground: Ground
    associator: Associator
    encoder: Encoder
    picture: bytes | None
    allowed: keys.Keys | None
    description: SiteDescription

    def discard(self) -> None:
        """Give up what was opened."""
        self.change.discard()

    def apply(self, before: Running) -> None:
        """Run on with it. Raises PublishError where an endpoint cannot be had: nothing has changed then."""
        pipeline, site = before.pipeline, self.after.site
        publish = site.publish
        if (publish.bind, publish.snapshot) != (before.site.publish.bind, before.site.publish.snapshot):
            pipeline.publisher.rebind(publish.bind, publish.snapshot)
        pipeline.tracker.reconfigure(self.after.rates_hz, **tracker_numbers(site))
        for number in self.forgotten:
            pipeline.tracker.forget(number)
        self.associator.inherit(pipeline.associator)
        pipeline.ground, pipeline.associator = self.ground, self.associator
        if site.detector.min_score != before.site.detector.min_score:
            pipeline.detector.retune(site.detector.min_score)
        pipeline.detect_every = site.detector.every
        before.capture.apply(self.change, site.runtime.sync_window_ms)
        before.capture.retry()
        pipeline.encoder = pipeline.publisher.encoder = self.encoder
        pipeline.publisher.picture = self.picture
        if self.allowed is not None:
            pipeline.publisher.admit(self.allowed)
        pipeline.publisher.publish(self.encoder.site(self.description))


def prepare(before: Running, wanted: config.Site) -> Update:
    """Make everything that `wanted` needs, without a change to what runs.

    Raises:
        SpotOnError: of the kind that tells what is wrong with the new config; nothing of it is taken.
    """
    site, lines, restart = settle(before.site, wanted)
    names = [*before.names, *(camera.name for camera in site.cameras if camera.name not in before.names)]
    number = {name: index for index, name in enumerate(names)}
    allowed = keys.load(Path(site.publish.keys)) if site.publish.keys else None
    picture = read_picture(site)
    sources = [source_of(camera) for camera in site.cameras]
    change = before.capture.plan(sources, [number[source.name] for source in sources], site.runtime.stall_s)
    try:
        sizes = {camera.index: camera.size for camera in change.cameras}
        whole = numbered(site, names)
        told = dict(zip(before.names, before.pipeline.ground.unplaced, strict=True))
        told |= {name: "not calibrated" for name in names if name not in {camera.name for camera in site.cameras}}
        pictures = [sizes.get(index) for index in range(len(names))]
        ground = build_ground(whole, pictures, told)
        associator = build_associator(whole, ground, statistics_of(site), pictures=pictures)
        here = [number[camera.name] for camera in site.cameras]
        description = describe(site, [sizes[index] for index in here], [ground.planes[index] for index in here])
    except BaseException:
        change.discard()
        raise
    rates = [*before.rates_hz, *[USUAL_RATE_HZ] * (len(names) - len(before.rates_hz))]
    for camera in change.cameras:
        if (camera.index in change.moved or camera.index >= len(before.names)) and camera.rate_hz:
            rates[camera.index] = camera.rate_hz
    changed = set(changed_keys(site, wanted))
    swap = [section for section, keys_of in SWAPPED.items() if changed.intersection(keys_of)]
    if "detector" not in swap and len(site.cameras) > before.pipeline.detector.max_batch:
        swap.append("detector")
    return Update(
        after=replace(before, site=site, names=names, rates_hz=rates),
        lines=lines,
        restart=restart,
        wanted=wanted,
        swap=swap,
        change=change,
        forgotten=sorted({*range(len(names))} - {*here} | {*change.moved}),
        ground=ground,
        associator=associator,
        encoder=build_encoder(site, names, before.run),
        picture=picture,
        allowed=allowed,
        description=description,
    )


def settle(running: config.Site, wanted: config.Site) -> tuple[config.Site, list[str], list[str]]:
    """What can run now of a new config: it, but for what needs a restart; what changes, a line each; and the keys that
    do need one."""
    cameras, refused = admitted(running, wanted)
    site = wanted.model_copy(update={"cameras": cameras})
    lines, restart = camera_lines(running, site), [f"cameras ({name})" for name in refused]
    lines += [f"{why}; needs restart" for why in refused.values()]
    for key in changed_keys(running, wanted):
        if key in RESTART or key.partition(".")[0] in RESTART:
            site = kept(key, running, site)
            lines.append(f"{key}: needs restart")
            restart.append(key)
        elif key in SWAPPED.get(key.partition(".")[0], ()):
            site = kept(key, running, site)
            lines.append(f"{key}: changed; takes effect when the new network is ready")
        else:
            lines.append(f"{key}: changed")
    return site, lines, restart


def admitted(running: config.Site, wanted: config.Site) -> tuple[tuple[config.Camera, ...], dict[str, str]]:
    """The cameras that can run now, and why others cannot, by name: their credential is not loaded, and systemd loads
    it at the start only. Such a camera stays as it was, or away if it is new.

    Raises:
        CredentialError: none is left.
    """
    today = {camera.name: camera for camera in running.cameras}
    cameras: list[config.Camera] = []
    refused: dict[str, str] = {}
    for camera in wanted.cameras:
        before = today.get(camera.name)
        if before is None or before.source != camera.source:
            try:
                source_of(camera).resolved()
            except CredentialError as error:
                refused[camera.name] = str(error)
                if before is not None:
                    cameras.append(before)
                continue
        cameras.append(camera)
    if not cameras:
        raise CredentialError("; ".join(refused.values()))
    here = {camera.name for camera in cameras}
    return tuple(
        camera.model_copy(update={"handoff": tuple(handoff for handoff in camera.handoff if handoff.to in here)})
        for camera in cameras
    ), refused


def camera_lines(before: config.Site, after: config.Site) -> list[str]:
    """What happens to cameras, a line for each."""
    today = {camera.name: camera for camera in before.cameras}
    lines = []
    for camera in after.cameras:
        old = today.pop(camera.name, None)
        if old is None:
            lines.append(f"camera {camera.name}: added")
            continue
        parts = [key for key in type(camera).model_fields if getattr(camera, key) != getattr(old, key)]
        if parts:
            lines.append(f"camera {camera.name}: {', '.join(parts)} changed")
    return lines + [f"camera {name}: removed" for name in today]


def changed_keys(before: config.Site, after: config.Site) -> list[str]:
    """The keys outside of cameras whose values differ, as the site file spells them."""
    changed = []
    for name in type(before).model_fields:
        section, other = getattr(before, name), getattr(after, name)
        if name == "cameras" or section == other:
            continue
        if isinstance(section, BaseModel):
            keys_of = type(section).model_fields
            changed += [f"{name}.{key}" for key in keys_of if getattr(section, key) != getattr(other, key)]
        else:
            changed.append(name)
    return changed


def kept(key: str, before: config.Site, site: config.Site) -> config.Site:
    """The site with one key as it was before."""
    section, _, name = key.partition(".")
    if not name:
        return site.model_copy(update={section: getattr(before, section)})
    old = getattr(getattr(before, section), name)
    return site.model_copy(update={section: getattr(site, section).model_copy(update={name: old})})


def numbered(site: config.Site, names: Sequence[str]) -> config.Site:
    """The site with its cameras in the order of their numbers; for a name that is gone, one that sees nothing."""
    cameras = {camera.name: camera for camera in site.cameras}
    gone = [config.Camera(name=name, source="test:") for name in names if name not in cameras]
    cameras |= {camera.name: camera for camera in gone}
    return site.model_copy(update={"cameras": tuple(cameras[name] for name in names)})


def read_picture(site: config.Site) -> bytes | None:
    """The floor picture's file. Raises ConfigError where it cannot be read."""
    if site.ground.map is None:
        return None
    try:
        return Path(site.ground.map).read_bytes()
    except OSError as error:
        raise ConfigError([f"ground.map: {site.ground.map}: {error.strerror}; correct the path"]) from None

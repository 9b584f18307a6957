"""Stages built from the config that need neither pixels nor a network: what the daemon and replay have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from spoton_edge import config, models
from spoton_edge.association import Associator
from spoton_edge.calibration.judge import judge_site
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.gallery import Appearance
from spoton_edge.ground_plane import GroundPlane, Site
from spoton_edge.handoff import Link
from spoton_edge.tracker import Numbers, Tracker
from spoton_edge.types import REFUSED, Polygon

log = logging.getLogger(__name__)


def build_tracker(site: config.Site, rates_hz: Sequence[float]) -> Tracker:
    """One tracker for all cameras; rates_hz: how many frames each gives in a second."""
    return Tracker(rates_hz, **tracker_numbers(site))


def tracker_numbers(site: config.Site) -> Numbers:
    """The section `tracker`, as the stage has it."""
    numbers = site.tracker
    return Numbers(
        high_score=numbers.high_score,
        low_score=numbers.low_score,
        new_score=numbers.new_score,
        match_limit=numbers.match_limit,
        second_match_limit=numbers.second_match_limit,
        new_match_limit=numbers.new_match_limit,
        duplicate_limit=numbers.duplicate_distance,
        buffer_s=numbers.buffer_s,
        pascal_iou=not numbers.plain_iou,
    )


def build_ground(
    site: config.Site, pictures: Sequence[tuple[int, int] | None], told: Mapping[str, str | None] | None = None
) -> Site:
    """Each camera's ground plane; none where it is not calibrated, or its calibration cannot be trusted.

    pictures: width, height in px of what each camera sends, where they are known; told: `unplaced` of cameras that the
    log has already, by name. A wrong place is worse than none: it takes identities with it. So a refused camera is
    named, and runs without places beside the others.
    """
    known = {camera.name: size for camera, size in zip(site.cameras, pictures, strict=True) if size is not None}
    planes: list[GroundPlane | None] = []
    unplaced: list[str | None] = []
    for verdict in judge_site(site, known):
        why = None
        if not verdict.calibrated:
            why = "not calibrated"
        elif verdict.grade == "refuse":
            why = f"{REFUSED}: {'; '.join(verdict.reasons)}"
        planes.append(verdict.plane if why is None else None)
        unplaced.append(why)
        if told is None or told.get(verdict.camera, "") != why:
            _log_verdict(verdict, why)
    return Site(planes, unplaced=unplaced)


def _log_verdict(verdict: CameraVerdict, why: str | None) -> None:
    if not verdict.calibrated:
        log.warning("camera %s has no calibration: its people are tracked but have no place", verdict.camera)
    elif why is not None:
        log.error("camera %s: %s; its people are tracked but have no place", verdict.camera, why)
    else:
        for reason in verdict.reasons:
            log.warning("camera %s: calibration: %s", verdict.camera, reason)


def build_associator(
    site: config.Site,
    ground: Site,
    statistics: Appearance | None,
    next_id: Callable[[], int] | None = None,
    pictures: Sequence[tuple[int, int] | None] = (),
) -> Associator:
    """The identities of the whole site; next_id: gives new ids, default: counting from 1; pictures: as `build_ground`.

    ground: the one that places the tracklets, for what the associator learns of cameras corrects their places.
    """
    links = build_links(site, ground, pictures)
    return Associator(
        ground,
        links,
        appearance=statistics,
        max_speed_mps=site.identity.max_speed_mps,
        forget_s=site.identity.forget_s,
        crops_per_batch=site.reid.crops_per_batch,
        refresh_s=site.reid.refresh_s,
        next_id=next_id,
    )


def build_links(site: config.Site, ground: Site, pictures: Sequence[tuple[int, int] | None] = ()) -> list[Link]:
    """The handoffs of the config. One whose zone is a quarter of a picture of which nobody knows the size is left out,
    and told."""
    numbers = {camera.name: index for index, camera in enumerate(site.cameras)}
    links = []
    for camera in site.cameras:
        for handoff in camera.handoff:
            ends = ((handoff.zone, numbers[camera.name]), (handoff.enter, numbers[handoff.to]))
            zones: list[str | Polygon | None] = []
            for zone, index in ends:
                if not isinstance(zone, str) or ground.planes[index] is not None:  # whose size is known
                    zones.append(zone)
                    continue
                section = site.cameras[index].ground
                size = (section and section.image_size) or (pictures[index] if pictures else None)
                if size is not None:
                    zones.append(quarter(zone, size))
            if len(zones) == len(ends):
                assert zones[0] is not None
                links.append(Link(numbers[camera.name], zones[0], numbers[handoff.to], handoff.travel_s, zones[1]))
            else:
                log.warning(
                    "camera %s: the handoff to %s is left out: its zone is a quarter of a picture of unknown size; "
                    "give ground.image_size, or a polygon",
                    camera.name,
                    handoff.to,
                )
    return links


def quarter(name: str, size: tuple[int, int]) -> Polygon:
    """A quarter of a picture (width, height) px as a polygon, edges included."""
    middle, end = (size[0] / 2, size[1] / 2), (size[0] + 1.0, size[1] + 1.0)
    u0, u1 = (middle[0], end[0]) if "right" in name else (-1.0, middle[0])
    v0, v1 = (middle[1], end[1]) if "lower" in name else (-1.0, middle[1])
    return [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]


def statistics_of(site: config.Site) -> Appearance | None:
    """How far the cosines of `reid.model` can be trusted; None where that is to be learned on the site."""
    return statistics_of_model(site.reid.model)


def statistics_of_model(model: str | None) -> Appearance | None:
    """The same by the model's name; None: no model."""
    if model is None:
        return None
    of_model = models.manifest_for(model, "reid").embedding
    assert of_model is not None
    return Appearance(of_model.same_mean, of_model.same_std, of_model.different_mean, of_model.different_std)

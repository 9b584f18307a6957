"""What subscribers are told of a site: cameras, the ground they watch, zones and links."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from spoton_edge import config
from spoton_edge.ground_plane import GroundPlane
from spoton_edge.types import CameraDescription, LinkDescription, MapDescription, Polygon, SiteDescription


def describe(
    site: config.Site, pictures: Sequence[tuple[int, int] | None], planes: Sequence[GroundPlane | None]
) -> SiteDescription:
    """The `site` message. pictures: (width, height) px of each camera's frames, None where no frame has come yet."""
    floor = site.ground
    zones: dict[str, dict[str, Polygon]] = {camera.name: {} for camera in site.cameras}
    sizes = {
        camera.name: plane.image_size if plane else picture
        for camera, picture, plane in zip(site.cameras, pictures, planes, strict=True)
    }
    links = []
    for camera in site.cameras:
        for handoff in camera.handoff:
            zone = name_zone(handoff.zone, sizes[camera.name], zones[camera.name])
            enter = name_zone(handoff.enter, sizes[handoff.to], zones[handoff.to])
            links.append(LinkDescription(camera.name, handoff.to, handoff.travel_s, zone, enter))
    cameras = [
        CameraDescription(
            camera.name,
            sizes[camera.name],
            plane.homography if plane else None,
            plane.footprint().tolist() if plane else (),
            zones[camera.name],
        )
        for camera, plane in zip(site.cameras, planes, strict=True)
    ]
    picture = hashlib.sha256(Path(floor.map).read_bytes()).hexdigest() if floor.map else None
    return SiteDescription(cameras, links, MapDescription(floor.pixels_per_metre, floor.origin_px, floor.axes, picture))


def name_zone(zone: str | Polygon | None, size: tuple[int, int] | None, zones: dict[str, Polygon]) -> str | None:
    """The name under which a zone of a handoff, a quadrant or a polygon in px, stands in its camera's `zones`; adds it
    where it is new. None: there is no zone, or a quadrant of a picture whose size is not known."""
    if zone is None:
        return None
    if not isinstance(zone, str):
        corners = [(float(u), float(v)) for u, v in zone]
        known = next((name for name, polygon in zones.items() if polygon == corners), None)
        name = known or f"zone_{len(zones) + 1}"
    elif size is None:
        return None
    else:
        width, height = size[0] / 2, size[1] / 2
        left, top = width * ("right" in zone), height * ("lower" in zone)
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
        name = zone
    zones[name] = corners
    return name

"""What each box of the demo is told: its site file, its place on the site, its key.

W and E have a camera of the clip each, S is simulated. Every box has a ground of its own; poses say where it lies.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import config, enrolment
from spoton_edge.demo import free_ports
from spoton_edge.demo_site.machines import Machine
from spoton_edge.types import F8

SITE = "demo"
CAMERA_BOXES, SIMULATED = ("W", "E"), "S"
# E's ground is turned, for the sake of it; S lies along the lower edge of E's picture, which runs at 15 degrees.
POSES = {"W": (0.0, 0.0, 0.0), "E": (-8.0, -10.0, 30.0), "S": (-16.8, -28.0, 15.0)}


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the demo: where it runs, and the endpoints of its daemon and its uplink."""

    machine: Machine
    file: Path
    endpoint: str
    snapshot: str
    identities: str

    @property
    def name(self) -> str:
        return self.machine.name


class Ground:
    """A box's ground by its pose: there and back again."""

    def __init__(self, pose: tuple[float, float, float]) -> None:
        cos, sin = math.cos(math.radians(pose[2])), math.sin(math.radians(pose[2]))
        self.to_site: F8 = np.array([[cos, -sin, pose[0]], [sin, cos, pose[1]], [0.0, 0.0, 1.0]])
        self.from_site: F8 = np.asarray(np.linalg.inv(self.to_site), np.float64)


def enroll(folder: Path, hub: Machine, boxes: list[Machine]) -> dict[str, int]:
    """Make the site's keys and the configs of its servers below `folder`; the hub's port for clients, and by box that
    of its leaf node."""
    client, leaf, cluster, *local = free_ports(3 + len(boxes))
    ports = {"hub": client}
    for box, port in zip(boxes, local, strict=True):
        listen = "0.0.0.0" if hub.prefix else "127.0.0.1"  # noqa: S104  of a namespace that only the demo reaches
        place = enrolment.Place(
            folder, SITE, [hub.address], listen=listen, store="store", ports=(client, leaf, cluster, port)
        )
        enrolment.enroll(place, box.name)
        ports[box.name] = port
    return ports


def write_box(scratch: Path, machine: Machine, port: int, shipped: config.Site) -> Box:
    """A box's site file. shipped: the demo of one box, from which it takes its camera."""
    name = machine.name
    box = Box(machine, scratch / f"{name}.yaml", *(f"ipc://{scratch}/{name}{end}" for end in ("", "-snapshot", "-ids")))
    uplink: dict[str, Any] = {
        "server": f"nats://127.0.0.1:{port}",
        "nkey": str(scratch / "nats" / "boxes" / name / "box.key"),
        "pose": POSES[name],
        "identities": box.identities,
    }
    if name == SIMULATED:
        cameras: tuple[config.Camera, ...] = (config.Camera(name="far", source="test:"),)
    else:
        cameras = tuple(_turned(camera, POSES[name]) for camera in shipped.cameras if camera.name == name)
    site = shipped.model_copy(
        update={
            "site": SITE,
            "box": name,
            "cameras": cameras,
            "publish": shipped.publish.model_copy(
                update={"bind": (box.endpoint,), "snapshot": box.snapshot, "preview": False}
            ),
            "runtime": shipped.runtime.model_copy(update={"control": f"ipc://{scratch}/{name}-control", "threads": 1}),
            "uplink": shipped.uplink.model_copy(update=uplink),
        }
    )
    box.file.write_text(config.effective(site))
    return box


def write_hub(scratch: Path, hub: Machine, port: int, boxes: list[Box]) -> tuple[Path, str]:
    """The site service's file; with where the whole site is published."""
    endpoint = f"ipc://{scratch}/site"
    told = {
        "site": SITE,
        "server": f"tls://{hub.address}:{port}",
        "nkey": str(scratch / "nats" / "service.key"),
        "ca": str(scratch / "nats" / "ca.pem"),
        "boxes": [{"name": box.name} for box in boxes],
        "publish": {"bind": [endpoint]},
    }
    path = scratch / "hub.yaml"
    path.write_text(json.dumps(told, indent=2))  # which is YAML, too
    return path, endpoint


def _turned(camera: config.Camera, pose: tuple[float, float, float]) -> config.Camera:
    """A camera whose floor is told on a box's own ground."""
    ground = camera.ground
    assert ground is not None
    homography = Ground(pose).from_site @ np.array(ground.homography)
    turned = ground.model_copy(update={"homography": tuple(tuple(row) for row in homography.tolist())})
    return camera.model_copy(update={"ground": turned})

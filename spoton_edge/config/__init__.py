"""One YAML file a site: read, checked and frozen.

`load` gives a `Site` or every fault at once; nothing else in the program reads YAML or knows a default.
"""

from spoton_edge.config.hub import Hub, HubBox, load_hub
from spoton_edge.config.loading import check, effective, files, load, without_password
from spoton_edge.config.outline import reference, schema
from spoton_edge.config.sections import (
    Border,
    Camera,
    CameraGround,
    CameraLens,
    CameraPose,
    Detector,
    FloorMap,
    Handoff,
    Identity,
    Publish,
    Reid,
    Runtime,
    Site,
    Tracker,
    Uplink,
)

__all__ = [
    "Border",
    "Camera",
    "CameraGround",
    "CameraLens",
    "CameraPose",
    "Detector",
    "FloorMap",
    "Handoff",
    "Hub",
    "HubBox",
    "Identity",
    "Publish",
    "Reid",
    "Runtime",
    "Site",
    "Tracker",
    "Uplink",
    "check",
    "effective",
    "files",
    "load",
    "load_hub",
    "reference",
    "schema",
    "without_password",
]

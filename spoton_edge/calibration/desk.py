"""What the calibrator's page asks for: the site, pictures, verdicts on a draft, and to have it saved.

Opens each camera's source by itself, so that it needs no running daemon, and changes nothing but the site file.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from itertools import combinations, count
from pathlib import Path
from typing import Any

import cv2

from spoton_edge import config
from spoton_edge.calibration.agreement import judge_pairs
from spoton_edge.calibration.draft import (
    CameraDraft,
    Draft,
    Place,
    drafted,
    keys_of,
    place_shown,
    shared_marks,
    shown,
    unfinished,
)
from spoton_edge.calibration.edit import changed_text
from spoton_edge.calibration.files import ChangedError, beside, replace_unless_changed
from spoton_edge.calibration.judge import crop_size, judge_camera, judge_handedness
from spoton_edge.calibration.observations import mark_sightings
from spoton_edge.calibration.report import plain
from spoton_edge.calibration.stills import source_of
from spoton_edge.calibration.verdict import CameraVerdict
from spoton_edge.capture import snapshot
from spoton_edge.errors import ConfigError, UsageError
from spoton_edge.ground_plane import GroundPlane

Picture = tuple[int, int]
PLANS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
JPEG_QUALITY = 92


class Desk:
    """One site file on the desk. Its methods may be called from several threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file cannot be used."""
        self._path = path
        self._lock = threading.Lock()
        self._pictures: dict[str, Picture] = {}  # width, height of what cameras sent
        self._judged: dict[str, tuple[object, CameraVerdict]] = {}
        self._shown: dict[str, tuple[GroundPlane | None, object, dict[str, Any]]] = {}
        self._paired: dict[tuple[str, str], tuple[list[GroundPlane | None], object, list[Any]]] = {}
        self._tags = count(1)
        self._site = config.load(path)
        self._looking = {camera.name: threading.Lock() for camera in self._site.cameras}

    def open(self) -> dict[str, Any]:
        """The site as the file has it now. Raises `ConfigError`."""
        content = self._content()
        site = config.load(self._path)
        with self._lock:
            self._site = site
            for camera in site.cameras:
                self._looking.setdefault(camera.name, threading.Lock())
        floor = site.ground
        return {
            "site": site.site,
            "file": str(self._path),
            "read": _digest(content),
            "floor": {
                "plan": floor.map is not None,
                "pixels_per_metre": floor.pixels_per_metre,
                "origin_px": list(floor.origin_px),
                "y_down": floor.axes == "y_down",
            },
            "cameras": [_described(camera) for camera in site.cameras],
        }

    def picture(self, name: str) -> bytes:
        """A JPEG of what a camera shows now, after `crop`. Raises `CameraError`, `CredentialError`, `UsageError`."""
        camera = self._camera(name)
        with self._looking[name]:  # one connection at a time: cameras take few
            image = snapshot(source_of(camera))
        self._pictures[name] = (image.shape[1], image.shape[0])
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return jpeg.tobytes()

    def plan(self) -> tuple[bytes, str]:
        """The floor's picture and its media type. Raises `UsageError`."""
        path = self._site.ground.map
        if path is None:
            raise UsageError("this site has no ground.map")
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"ground.map: {path} cannot be read ({error.strerror})") from None
        kind = next((kind for magic, kind in PLANS.items() if content.startswith(magic)), None)
        if kind is None:
            raise UsageError(f"ground.map: {path} is no PNG, JPEG, WebP or GIF; browsers show these")
        return content, kind

    def judge(self, draft: Draft) -> dict[str, Any]:
        """Verdicts on the site as the draft would make it, and all that is drawn of them. Raises `UsageError`."""
        for name in draft.cameras:
            self._camera(name)
        cameras = tuple(drafted(camera, draft.cameras.get(camera.name)) for camera in self._site.cameras)
        site = self._site.model_copy(update={"cameras": cameras})
        verdicts = judge_handedness([self._verdict(camera, draft.cameras.get(camera.name)) for camera in cameras], site)
        answers = [self._drawn(camera, verdict) for camera, verdict in zip(cameras, verdicts, strict=True)]
        return {
            "cameras": [
                {key: answer[key] for key in ("name", "tag")}
                if draft.known.get(answer["name"]) == answer["tag"]
                else answer
                for answer in answers
            ],
            "pairs": self._pairs(cameras, {verdict.camera: verdict.plane for verdict in verdicts}),
        }

    def place(self, name: str, *, uv: Place | None = None, xy: Place | None = None) -> dict[str, Any]:
        """A pixel (uv) on the floor, or a place of the floor (xy, m) in the picture, by the camera as last judged."""
        self._camera(name)
        plane = self._shown[name][0] if name in self._shown else None
        return {"uv": None, "xy": None, "head": None} if plane is None else place_shown(plane, uv=uv, xy=xy)

    def save(self, draft: Draft, *, confirmed: bool) -> dict[str, Any]:
        """Checks the whole site as it would be and writes the file, if that still is what the draft changes.

        With refused cameras only if that is confirmed: otherwise the answer names them, and nothing is written. Raises
        `ChangedError`, `ConfigError` with what would be wrong, `UsageError` where the file cannot be written.
        """
        read = self._content()
        if _digest(read) != draft.read:
            raise ChangedError(f"{self._path} was changed by somebody else since it was read: nothing is written")
        changes = {name: keys_of(self._camera(name), changed) for name, changed in draft.cameras.items()}
        kept_out = [name for name, changed in draft.cameras.items() if 0 < len(changed.points or ()) < 4]
        text = changed_text(read.decode("utf-8"), {name: keys for name, keys in changes.items() if keys})
        self._try(text)
        verdicts = self.judge(draft.model_copy(update={"known": {}}))
        refused = [c["name"] for c in verdicts["cameras"] if c["grade"] == "refuse"]
        answer: dict[str, Any] = {"saved": False, "refused": refused, "unfinished": kept_out, **verdicts}
        if refused and not confirmed:
            return answer
        backup = replace_unless_changed(self._path, text, read)
        control = self._site.runtime.control
        which = f"--site {self._site.site}" if control == "auto" else f"--control {control}"
        return answer | {"saved": True, "backup": str(backup), "reload": f"spoton-edge reload {which}"}

    def _content(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise UsageError(f"{self._path}: cannot be read ({error.strerror}); was it moved?") from None

    def _try(self, text: str) -> None:
        """Reads the text as the site file that it would be, from the same folder. Raises `ConfigError`."""
        with beside(self._path, text.encode()) as candidate:
            try:
                config.load(candidate)
            except ConfigError as error:
                raise ConfigError([line.replace(str(candidate), str(self._path)) for line in error.problems]) from None

    def _camera(self, name: str) -> config.Camera:
        for camera in self._site.cameras:
            if camera.name == name:
                return camera
        raise UsageError(f"there is no camera {name}; was it renamed? load the site anew")

    def _drawn(self, camera: config.Camera, verdict: CameraVerdict) -> dict[str, Any]:
        """What is shown of a camera; remembered like its verdict."""
        known = self._shown.get(camera.name)
        key = (camera.region, camera.handoff, verdict.grade, verdict.reasons)
        if known is None or known[0] is not verdict.plane or known[1] != key or verdict.plane is None:
            known = (verdict.plane, key, {**shown(camera, verdict), "tag": next(self._tags)})
            self._shown[camera.name] = known
        return known[2]

    def _pairs(self, cameras: Sequence[config.Camera], planes: Mapping[str, GroundPlane | None]) -> list[Any]:
        """Every two cameras that share floor; those of which neither changed are remembered."""
        pairs = []
        for a, b in combinations(cameras, 2):
            two = {camera.name: planes[camera.name] for camera in (a, b)}
            marks = shared_marks((a, b))
            known = self._paired.get((a.name, b.name))
            if (
                known is None
                or any(old is not new for old, new in zip(known[0], two.values(), strict=True))
                or (known[1] != marks)
            ):
                known = ([*two.values()], marks, plain(judge_pairs(two, mark_sightings(marks, two))))
                self._paired[a.name, b.name] = known
            pairs += known[2]
        return pairs

    def _verdict(self, camera: config.Camera, draft: CameraDraft | None) -> CameraVerdict:
        """One camera's verdict; those of cameras that did not change are remembered."""
        if camera.ground is None:
            return unfinished(camera.name, len(draft.points or ()) if draft is not None else 0)
        picture = self._pictures.get(camera.name) or crop_size(camera)
        key = (camera.ground, camera.region, camera.crop, picture)
        known = self._judged.get(camera.name)
        if known is not None and known[0] == key:
            return known[1]
        size = camera.ground.image_size
        # The page shows pictures at the calibration's size: only a picture of another shape makes a difference.
        if size is not None and picture is not None and _same_shape(size, picture):
            picture = size
        verdict = judge_camera(camera.name, camera.ground, picture, camera.region, cropped=camera.crop is not None)
        self._judged[camera.name] = (key, verdict)
        return verdict


def _same_shape(a: Picture, b: Picture) -> bool:
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(*a, *b)  # as `plane.ground_plane` has it


def _described(camera: config.Camera) -> dict[str, Any]:
    ground: Mapping[str, Any] = {} if camera.ground is None else camera.ground.model_dump(mode="json")
    kinds = ("homography", "points", "projection", "camera")
    return {
        "name": camera.name,
        "source": config.without_password(camera.source),
        "kind": next((kind for kind in kinds if ground.get(kind) is not None), None),
        "points": ground.get("points") or [],
        "image_size": ground.get("image_size"),
        "region": plain(camera.region or ()),
        "handoff": [link.model_dump(mode="json") for link in camera.handoff],
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

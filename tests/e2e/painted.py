"""A tiled hall with crosses on its floor, as cameras of known geometry would see it: pictures to calibrate on."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from tests.world import look_at

SIZE = (1280, 720)
HALL_M = (12.0, 9.0)
PER_METRE = 80
CROSSES = [(2.0, 2.0), (6.0, 1.5), (10.0, 2.0), (3.5, 4.5), (8.5, 4.5), (2.0, 7.0), (6.0, 7.5), (10.0, 7.0)]
CAMERAS = {
    "door": look_at((1.0, -3.0, 4.0), (6.5, 5.0, 0.0), focal_px=760),
    "desk": look_at((11.5, -2.5, 3.6), (5.0, 5.0, 0.0), focal_px=740),
}


def hall() -> np.ndarray:
    """The floor from above, (H, W, 3) u8; row 0 is y = 0."""
    width, height = (round(side * PER_METRE) for side in HALL_M)
    floor = np.zeros((height, width, 3), np.uint8)
    for column in range(int(HALL_M[0])):
        for row in range(int(HALL_M[1])):
            shade = (186, 196, 202) if (column + row) % 2 else (164, 174, 181)
            corner = (column * PER_METRE, row * PER_METRE)
            cv2.rectangle(floor, corner, (corner[0] + PER_METRE, corner[1] + PER_METRE), shade, -1)
            cv2.rectangle(floor, corner, (corner[0] + PER_METRE, corner[1] + PER_METRE), (140, 148, 154), 1)
    noise = np.random.default_rng(1).normal(0, 3, floor.shape[:2])[..., None]
    floor = np.clip(floor + noise, 0, 255).astype(np.uint8)
    for x, y in CROSSES:
        at = (round(x * PER_METRE), round(y * PER_METRE))
        cv2.drawMarker(floor, at, (40, 60, 190), cv2.MARKER_CROSS, 26, 5)
    return floor


def view(name: str) -> np.ndarray:
    """What a camera sees of the hall, (720, 1280, 3) u8."""
    to_floor = CAMERAS[name].homography
    scale = np.diag([PER_METRE, PER_METRE, 1.0])
    walls = np.full((SIZE[1], SIZE[0], 3), (92, 84, 78), np.uint8)
    walls[: SIZE[1] // 3] = (104, 97, 90)
    seen = cv2.warpPerspective(hall(), np.linalg.inv(scale @ to_floor), SIZE, flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full(hall().shape[:2], 255, np.uint8), np.linalg.inv(scale @ to_floor), SIZE)
    # Above the horizon the floor comes back upside down.
    rows, columns = np.indices((SIZE[1], SIZE[0]))
    ahead = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ to_floor[2]
    below = np.sign(to_floor[2] @ [SIZE[0] / 2, SIZE[1], 1.0]) * ahead > 0
    return np.where(((mask > 128) & below)[..., None], seen, walls)


@cache
def picture(name: str) -> bytes:
    """What a camera sees, as PNG."""
    return cv2.imencode(".png", view(name))[1].tobytes()


@cache
def floor_plan() -> bytes:
    """The floor on a plan, whose row 0 is the far wall, as PNG."""
    return cv2.imencode(".png", cv2.flip(hall(), 0))[1].tobytes()


def crosses(name: str) -> np.ndarray:
    """(n, 2) px where a camera sees the crosses; NaN for those outside of its picture."""
    uv, _ = CAMERAS[name].pixel(np.column_stack([np.array(CROSSES), np.zeros(len(CROSSES))]))
    outside = ((uv < 8) | (uv > np.array(SIZE) - 8)).any(axis=1)
    uv[outside] = np.nan
    return uv


def paint(folder: Path, *, plan: bool = False) -> Path:
    """An uncalibrated site of both cameras in a folder, with its pictures; returns the site file."""
    for name in CAMERAS:
        (folder / f"{name}.png").write_bytes(picture(name))
    if plan:
        (folder / "plan.png").write_bytes(floor_plan())
    path = folder / "site.yaml"
    origin = [0, round(HALL_M[1] * PER_METRE)]
    floor = f"ground: {{map: plan.png, pixels_per_metre: {PER_METRE}, origin_px: {origin}}}\n" if plan else ""
    path.write_text(
        "# The hall. Ask Ana before changing.\n"
        "site: hall\n"
        f"{floor}"
        "cameras:\n"
        "  - name: door   # above the entrance\n"
        f"    source: {folder}/door.png\n"
        "  # the second one was moved in May\n"
        "  - name: desk\n"
        f"    source: {folder}/desk.png\n"
        "tracker: {buffer_s: 1.5}  # people stop at the desk\n"
    )
    return path

from spoton_edge.types import F8, I2, I4, I8, U8

NO_GATE: int
WALK_GATE: int
FIRST_LINK: int
ANYWHERE: int
QUADRANT: int
POLYGON: int

def gates(
    lost_camera: I2,
    lost_foot: F8,
    lost_ns: I8,
    lost_xy: F8,
    lost_sd: F8,
    new_camera: I2,
    new_foot: F8,
    new_ns: I8,
    new_xy: F8,
    new_sd: F8,
    link_cameras: I2,
    travel_s: F8,
    zone_kind: U8,
    zone_start: I4,
    zone_corner: F8,
    max_speed_mps: float,
) -> I2: ...

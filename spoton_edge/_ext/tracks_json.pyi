from spoton_edge.types import F4, F8, I2, I4, I8, U8

def people(
    global_id: I8,
    xy: F8,
    velocity: F8,
    cov: F8,
    state: U8,
    age_s: F8,
    best_view: I2,
    row: I4,
    camera: I2,
    track_id: I8,
    xyxy: F4,
    score: F4,
    names: tuple[bytes, ...],
    boxes: bool,
) -> bytes | None: ...

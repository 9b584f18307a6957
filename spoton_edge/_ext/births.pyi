from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F4, F8, I2, I4, I8, U8

def begin(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    known: int,
    next_uid: int,
    track: I4,
    seen_state: U8,
    camera: I2,
    captured_ns: I8,
    lag_s: F8,
    xyxy: F4,
    xy: F8,
    r: F8,
    floor: U8,
    limit: float,
    max_speed_mps: float,
    speed_sd_mps: float,
) -> I8: ...

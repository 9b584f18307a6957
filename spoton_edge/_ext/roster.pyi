from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F4, F8, I2, I4, I8, U8

def choose_views(
    records: NDArray[Any],
    entries: NDArray[Any],
    camera: I2,
    xyxy: F4,
    foot: U8,
    row: I4,
    picture_height: F8,
    worth: F8,
    hysteresis: float,
    still_seen_since_ns: int,
) -> None: ...
def tell(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    lost_records: NDArray[Any],
    entries: NDArray[Any],
    row: I4,
    now_ns: int,
    lost_since_ns: int,
    still_seen_since_ns: int,
) -> tuple[I8, F8, F8, F8, U8, F8, I2, I8, I4]: ...

from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F4, F8, I2, I4, I8, U8

def note(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    entries: NDArray[Any],
    at: I4,
    track: I4,
    camera: I2,
    seen_state: U8,
    captured_ns: I8,
    xyxy: F4,
    ground_cov: F8,
    foot: U8,
) -> None: ...
def weigh(
    records: NDArray[Any],
    flags: U8,
    track: I4,
    camera: I2,
    seen_state: U8,
    explained: U8,
    batch_cameras: I2,
    hit_nats: float,
    miss_nats: float,
    shadow: float,
    weight: float,
    most_nats: float,
) -> None: ...
def leaving(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    now_ns: int,
    hold_s: float,
    doubt_nats: float,
    coast_s: float,
    coast_sd_m: float,
    leave_s: float,
) -> tuple[I8, I8, I8]: ...
def sure(records: NDArray[Any], state: F8, sure_nats: float) -> I4: ...
def sweep(records: NDArray[Any], state: F8, cov: F8, going: list[int]) -> int: ...

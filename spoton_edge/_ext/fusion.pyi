from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F8, I4, U8

def predict(state: F8, cov: F8, dt_s: F8, speed_sd_mps: float, keep_s: float) -> None: ...
def update(
    state: F8, cov: F8, track: I4, xy: F8, r: F8, lag_s: F8, limit: float, max_speed_mps: float, taken: U8
) -> None: ...
def places(
    lost: NDArray[Any], now_ns: int, still_mps: float, sway_m: float, speed_sd_mps: float, keep_s: float
) -> tuple[F8, F8]: ...

from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F8, I4, U8, Bool

def compare(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    flags: U8,
    pairs: NDArray[Any],
    twin_m: float,
    near_d2: float,
    ripe_d2: float,
    tell_apart_nats: float,
    miss_nats: float,
    weight: float,
    one_nats: float,
    most_nats: float,
    kept_nats: float,
) -> tuple[NDArray[Any], I4, Bool]: ...
def meet(
    records: NDArray[Any],
    state: F8,
    cov: F8,
    pairs: NDArray[Any],
    xy: F8,
    r: F8,
    lag_s: F8,
    placed: U8,
    track: I4,
    kept_nats: float,
) -> None: ...
def unshadowed(records: NDArray[Any], pairs: NDArray[Any], candidates: I4, young_ns: int) -> I4: ...

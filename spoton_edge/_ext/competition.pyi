from spoton_edge.types import F8, I2, I4, U8

def compete(
    camera: I2,
    xy: F8,
    r: F8,
    lag_s: F8,
    state: F8,
    cov: F8,
    standing: U8,
    start: I4,
    column: I4,
    bonus: F8,
    base: float,
    limit: float,
    sweeps: int,
    leads: int,
    match: I4,
    edge: I4,
    distance_m: F8,
    margin: F8,
    explained: U8,
) -> None: ...

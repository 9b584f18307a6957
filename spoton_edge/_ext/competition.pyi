from spoton_edge.types import F4, F8, I2, I4, U8, Bool

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
    alike: F4,
    base: float,
    limit: float,
    sweeps: int,
    leads: int,
) -> tuple[I4, F8, F8, F8, Bool]: ...

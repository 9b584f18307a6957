from spoton_edge.types import F8, I2, I4, I8

def open_pairs(xy: F8, r: F8, lag_s: F8, state: F8, cov: F8, limit: float) -> tuple[I4, I4, F8]: ...
def nearest(xy: F8, r: F8, camera: I2, track: I4, state: F8, cov: F8, row: int, first: int, limit: float) -> int: ...
def agree(xy: F8, r: F8, one: I8, other: I8, limit: float) -> bool: ...
def trust(
    held: I4,
    margin: F8,
    r: F8,
    start: I4,
    column: I4,
    nats: float,
    enough_margin: float,
    enough_sd_m: float,
    bonus: F8,
) -> None: ...

from spoton_edge.types import F8, I4, I8, U8

def open_pairs(xy: F8, r: F8, lag_s: F8, placed: U8, state: F8, cov: F8, limit: float) -> tuple[I4, I4, I4, F8]: ...
def at_sides(foot: U8, gone: U8, row: I4, column: I4, d2: F8, limit: float, bonus: F8) -> None: ...
def stay(held: I4, seen_state: U8, placed: U8, state: F8, match: I4) -> None: ...
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

from spoton_edge.types import F4, F8, I2, I4, U8

COLUMNS: int
MODEL: int

def project(
    camera: I2,
    xyxy: F4,
    score: F4,
    table: F8,
    corners: F8,
    offsets: I4,
    model: F8,
    xy: F8,
    cov: F8,
    tall: F8,
    foot: U8,
) -> None: ...
def sight(xy: F8, table: F8, corners: F8, offsets: I4, camera: I2, xyxy: F4, margin: float, flags: U8) -> None: ...
def watched(xy: F8, table: F8, corners: F8, offsets: I4, out: U8) -> None: ...
def learn_bias(bias: F8, table: F8, camera: I2, track: I4, xy: F8, state: F8, rate: float, most_m: float) -> None: ...
def crowding(camera: I2, xyxy: F4, share: F4) -> None: ...

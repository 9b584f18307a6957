from spoton_edge.types import F4, F8, I2, I4, U8

COLUMNS: int
MODEL: int

def project(
    camera: I2, xyxy: F4, table: F8, corners: F8, offsets: I4, model: F8, xy: F8, cov: F8, foot: U8
) -> None: ...
def expected(xy: F8, table: F8, corners: F8, offsets: I4, camera: I2, xyxy: F4, margin: float, sees: U8) -> None: ...
def crowding(camera: I2, xyxy: F4, share: F4) -> None: ...

from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F4, I2, I4, I8

def enter(
    before_entries: NDArray[Any],
    keys: I8,
    camera: I2,
    captured_ns: I8,
    xyxy: F4,
    score: F4,
    batch_cameras: I2,
    now_ns: int,
    forget_ns: int,
    after_entries: NDArray[Any],
    row: I4,
) -> int: ...
def holders(entries: NDArray[Any], records: NDArray[Any], at: I4) -> I4: ...
def changes(
    entries: NDArray[Any],
    records: NDArray[Any],
    track: I4,
    held: I4,
    camera: I2,
    captured_ns: I8,
    track_id: I8,
    since_ns: int,
) -> list[tuple[int, int, int, int, int, int, int, bool]]: ...
def layouts() -> dict[str, dict[str, int]]: ...

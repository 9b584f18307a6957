from typing import Any

from numpy.typing import NDArray

from spoton_edge.types import F8, I2, I4, U8

def compare(
    learned: NDArray[Any],
    bias_m: F8,
    tall_m: F8,
    camera: I2,
    foot: U8,
    row: I4,
    records: NDArray[Any],
    column: I4,
    bonus: F8,
) -> None: ...
def between(learned: NDArray[Any], new: NDArray[Any], old: NDArray[Any]) -> F8: ...
def learn(
    learned: NDArray[Any],
    bias_m: F8,
    records: NDArray[Any],
    tall_m: F8,
    camera: I2,
    foot: U8,
    seen_state: U8,
    track: I4,
    weight: float,
    late_most: float,
    enough: float,
    most: float,
) -> None: ...
def exchanged(
    learned: NDArray[Any],
    records: NDArray[Any],
    pairs: NDArray[Any],
    enough: float,
    least: float,
) -> tuple[I4, F8]: ...

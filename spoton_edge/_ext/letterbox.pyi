from collections.abc import Sequence

from spoton_edge.types import F4, U8

class Normalisation:
    def __init__(self, mean: Sequence[float] = ..., std: Sequence[float] = ..., colour: str = ...) -> None: ...

def letterbox(
    image: U8, tensor: F4, normalisation: Normalisation, pad: float = 114.0, stretch: bool = False
) -> tuple[float, float]: ...
def crop(image: U8, xyxy: F4, tensor: F4, normalisation: Normalisation) -> None: ...

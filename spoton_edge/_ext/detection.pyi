from spoton_edge.types import F4

class YoloxDecoder:
    bad_rows: int
    def __init__(
        self, width: int, height: int, *, person: int = 0, min_score: float, max_iou: float
    ) -> None: ...
    def decode(self, raw: F4) -> tuple[F4, F4]: ...

from spoton_edge.types import F4, I2, I4

def gallery_cosine(
    rows: F4, camera: I2, prototypes: F4, prototype_camera: I2, pair_row: I4, pair_entry: I4, best: F4
) -> None: ...

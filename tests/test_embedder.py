import numpy as np

from spoton_edge.embedder import Embedder, ReidNetwork, StripeHistogram, unit_rows
from spoton_edge.engine import TensorSpec
from spoton_edge.types import F4, FrameBatch, Tracklets


class Colours:
    """An engine whose vector is the mean of each plane."""

    backend = "test"
    inputs = (TensorSpec("data", (None, 3, 8, 4), "float32"),)
    outputs = (TensorSpec("output", (None, 3), "float32"),)

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, batch: F4) -> tuple[F4, ...]:
        self.batches.append(len(batch))
        return (batch.mean(axis=(2, 3)),)


def network(engine: Colours, crops_per_batch: int) -> ReidNetwork:
    reid = ReidNetwork(
        engine, input_size=(4, 8), mean=(0, 0, 0), std=(1, 1, 1), colour="rgb", crops_per_batch=crops_per_batch
    )
    engine.batches.clear()
    return reid


def painted(*colours: tuple[int, int, int]) -> np.ndarray:
    """A picture of patches 20 px wide, one a colour (BGR), 40 px high."""
    return np.concatenate([np.full((40, 20, 3), colour, np.uint8) for colour in colours], axis=1)


def boxes(*columns: int) -> F4:
    return np.array([[20 * column, 0, 20 * column + 20, 40] for column in columns], np.float32).reshape(-1, 4)


RED, GREEN, BLUE, GREY = (0, 0, 200), (0, 200, 0), (200, 0, 0), (90, 90, 90)


def test_crops_of_all_cameras_go_through_one_call_and_come_back_in_order() -> None:
    engine = Colours()
    vectors = network(engine, 8).describe([painted(RED, GREEN), painted(BLUE)], [boxes(1, 0), boxes(0)])
    np.testing.assert_allclose(vectors, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert engine.batches == [3]


def test_more_crops_than_the_budget_are_described_in_several_calls() -> None:
    engine = Colours()
    picture = painted(RED, GREEN, BLUE)
    vectors = network(engine, 2).describe([picture, picture], [boxes(0, 1, 2), boxes(2, 1)])
    np.testing.assert_allclose(vectors, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]])
    assert engine.batches == [2, 2, 1]


def test_the_histogram_tells_colours_apart_and_knows_a_copy() -> None:
    vectors = StripeHistogram().describe([painted(RED, GREEN, GREY, RED)], [boxes(0, 1, 2, 3)])
    cosine = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(cosine), 1, rtol=1e-5)
    assert cosine[0, 3] > 0.999
    assert cosine[0, 1] < 0.5
    assert cosine[0, 2] < 0.5


def test_the_histogram_knows_which_half_of_the_body_has_the_colour() -> None:
    upper = np.vstack([np.full((20, 20, 3), RED, np.uint8), np.full((20, 20, 3), BLUE, np.uint8)])
    vectors = StripeHistogram().describe([upper, upper[::-1].copy()], [boxes(0), boxes(0)])
    assert vectors[0] @ vectors[1] < 0.1


def test_a_crop_outside_the_picture_has_no_appearance() -> None:
    outside = np.array([[-30, -30, -5, -5]], np.float32)
    assert not StripeHistogram().describe([painted(RED)], [outside]).any()
    assert not network(Colours(), 2).describe([painted(RED)], [outside]).any()


def test_only_wanted_tracklets_are_described() -> None:
    batch = FrameBatch(
        np.array([0, 2], np.int16), np.zeros(2, np.int64), np.zeros(2, np.int64), [painted(RED, GREEN), painted(BLUE)]
    )
    tracklets = Tracklets.tracked(
        camera=np.array([0, 0, 2], np.int16),
        track_id=np.array([1, 2, 1], np.int64),
        state=np.zeros(3, np.uint8),
        xyxy=np.concatenate([boxes(0, 1), boxes(0)]),
        score=np.ones(3, np.float32),
        captured_ns=np.zeros(3, np.int64),
    )
    described = Embedder(network(Colours(), 8)).embed(batch, tracklets, np.array([False, True, True]))
    assert described.has_embedding.tolist() == [False, True, True]
    np.testing.assert_allclose(described.embedding, [[0, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_rows_that_are_zero_or_not_finite_become_zero() -> None:
    rows = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 0]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, 0], [0, 0], [0, 0]])

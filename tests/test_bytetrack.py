"""The compiled ByteTrack against the published implementation's answers and against its slow twin."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from spoton_edge._ext.bytetrack import ByteTracker
from tests import mot17


@pytest.mark.parametrize("sequence", mot17.SEQUENCES)
def test_ids_order_and_boxes_are_those_of_the_published_tracker_in_every_frame(
    shared_data: Path, sequence: str
) -> None:
    tracker = ByteTracker(mot17.FRAME_RATE)
    none = np.zeros((0, 6))
    for (xyxy, score), expected in zip_longest(
        mot17.detections(shared_data, sequence), mot17.published(shared_data, sequence), fillvalue=none
    ):
        tracks = tracker.update(xyxy, score)
        assert tracks.track_id.tolist() == expected[:, 0].astype(int).tolist()
        np.testing.assert_allclose(tracks.xyxy, expected[:, 1:5], rtol=0, atol=1e-3)
        np.testing.assert_allclose(tracks.score, expected[:, 5], rtol=0, atol=1e-4)

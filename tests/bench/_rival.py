"""One tracker in its own environment, for tests.bench.tracker_rivals; needs NumPy and that tracker, nothing of ours.

    python _rival.py NAME STREAM.npz...     then, on stdin: "time I" or "ids I", each answered by one line of JSON

"time" follows stream I with a new tracker and gives CPU us an update; what an interface wants its input to look like is
prepared before the clock starts. "ids" gives, for each frame, rows of id, x1, y1, x2, y2.
"""

import json
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")


def ours():
    from spoton_edge._ext.bytetrack import ByteTracker

    tracker = ByteTracker(30.0)
    return (
        lambda xyxy, score, _: (xyxy, score),
        lambda frame: tracker.update(*frame),
        lambda tracks: [(int(i), *box) for i, box in zip(tracks.track_id, tracks.xyxy.tolist(), strict=True)],
    )


def pyxtrackers():
    from pyxtrackers.bytetrack.bytetrack import BYTETracker

    tracker = BYTETracker(frame_rate=30, track_thresh=0.5, match_thresh=0.8, track_buffer=30)
    return (
        lambda xyxy, score, _: np.column_stack([xyxy, score]).astype(np.float64),
        tracker.update,
        lambda rows: [(int(row[4]), *row[:4].tolist()) for row in np.asarray(rows)],
    )


def edgefirst_tracker():
    from edgefirst.tracker import ByteTrack

    tracker = ByteTrack(high_conf=0.5, iou=0.2, lifespan_ns=1_000_000_000)
    return (
        lambda xyxy, score, frame: (xyxy, score, np.zeros(len(score), np.uintp), frame * 33_333_333),
        lambda frame: tracker.update(*frame),
        lambda rows: [(row.uuid, *row.tracked_location) for row in rows if row is not None],
    )


def visiontrack_cpp():
    import visiontrack_cpp

    # Its Kalman gate and class check are no part of ByteTrack; without them it is nearer, and faster.
    config = visiontrack_cpp.TrackerConfig(
        match_iou_thresh=0.2, n_init=2, use_mahalanobis_gating=False, class_aware=False, use_lapjv=True
    )
    tracker = visiontrack_cpp.ByteTracker(config)
    return (
        lambda xyxy, score, _: (xyxy.astype(np.float64), score.astype(np.float64)),
        lambda frame: tracker.update(*frame),
        lambda out: [(int(i), *box) for i, box in zip(out[0], np.asarray(out[1]).tolist(), strict=True)],
    )


def ioutrack_rs():
    from ioutrack import ByteTrack

    tracker = ByteTrack(30, 2, 0.2, 0.6, 0.5, 0.1)
    return (
        lambda xyxy, score, _: np.column_stack([xyxy, score]).astype(np.float32),
        tracker.update,
        lambda rows: [(int(row[4]), *row[:4].tolist()) for row in np.asarray(rows)],
    )


def supervised(tracker, update):
    import supervision

    def prepare(xyxy, score, _):
        return supervision.Detections(xyxy=xyxy, confidence=score, class_id=np.zeros(len(score), int))

    def rows(out):
        ids = out.tracker_id if out.tracker_id is not None else []
        return [(int(i), *box) for i, box in zip(ids, out.xyxy.tolist(), strict=True) if i >= 0]

    return prepare, update, rows


def trackers():
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(track_activation_threshold=0.6, high_conf_det_threshold=0.5, minimum_iou_threshold=0.2)
    return supervised(tracker, tracker.update)


def supervision():
    import supervision as sv

    tracker = sv.ByteTrack(track_activation_threshold=0.5, minimum_matching_threshold=0.8)
    return supervised(tracker, tracker.update_with_detections)


def main() -> None:
    make = {
        made.__name__: made
        for made in (ours, pyxtrackers, edgefirst_tracker, visiontrack_cpp, ioutrack_rs, trackers, supervision)
    }[sys.argv[1]]
    streams = []
    for path in sys.argv[2:]:
        with np.load(path) as stream:
            streams.append([(stream[f"xyxy{i}"], stream[f"score{i}"]) for i in range(len(stream) // 2)])
    for line in sys.stdin:
        verb, index = line.split()
        prepare, update, rows = make()
        frames = [prepare(xyxy, score, number) for number, (xyxy, score) in enumerate(streams[int(index)])]
        if verb == "ids":
            answer = [rows(update(frame)) for frame in frames]
        else:
            start = time.process_time_ns()
            for frame in frames:
                update(frame)
            answer = (time.process_time_ns() - start) / 1e3 / len(frames)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

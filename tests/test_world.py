"""The simulated site is what tests stand on: it must be right itself."""

import numpy as np

from tests.world import OracleTracker, World, corridor, detections, room, wanderers


def busy_world(seed: int = 3, **changes: float) -> World:
    rng = np.random.default_rng(seed)
    return World(room(4), wanderers(8, 20.0, rng), seconds=20.0, seed=seed, **changes)  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_bytes() -> None:
    for a, b in zip(busy_world().steps(), busy_world().steps(), strict=True):
        assert a.xy.tobytes() == b.xy.tobytes()
        assert [x.tobytes() for x in a.boxes + a.looks] == [x.tobytes() for x in b.boxes + b.looks]


def test_clear_boxes_stand_on_the_truth_up_to_the_shoe() -> None:
    world = busy_world(box_noise=0.0, miss=0.0, false_alarms=0.0)
    errors = []
    for seen in world.steps():
        truth = dict(zip(seen.person.tolist(), seen.xy, strict=True))
        for camera, boxes, who, clear in zip(world.cameras, seen.boxes, seen.who, seen.clear, strict=True):
            for box, person in zip(boxes[clear], who[clear], strict=True):
                foot = camera.homography @ [(box[0] + box[2]) / 2, box[3], 1.0]
                errors.append(np.linalg.norm(foot[:2] / foot[2] - truth[int(person)]))
    assert len(errors) > 500
    assert np.max(errors) < 0.2  # the shoe, and the middle of the arms against the axis


def test_people_in_front_hide_those_behind() -> None:
    hidden = sum(len(b) for s in busy_world(miss=0.0).steps() for b in s.boxes)
    bare = sum(len(b) for s in busy_world(miss=0.0, occlusion=False).steps() for b in s.boxes)
    assert hidden < bare


def test_the_views_of_a_room_overlap_and_those_of_a_corridor_do_not() -> None:
    points = np.array([[x, y, 0.0] for x in np.linspace(-5, 35, 81) for y in np.linspace(-1, 8, 19)])

    def count(cameras: list) -> int:  # type: ignore[type-arg]
        seen = np.zeros(len(points), int)
        for camera in cameras:
            uv, depth = camera.pixel(points)
            seen += (depth > 0) & (uv > 0).all(axis=1) & (uv < camera.image_size).all(axis=1)
        return int(seen.max())

    assert count(room(4)) == 4
    floor = points[:, 1] <= 1.0
    points = points[floor]
    assert count(corridor(3)) == 1


def test_detections_follow_the_order_of_cameras_asked_for() -> None:
    seen = next(s for s in busy_world().steps() if all(len(b) for b in s.boxes))
    batch, found = detections(seen, [2, 0])
    assert batch.camera.tolist() == [2, 0]
    np.testing.assert_array_equal(found.xyxy[found.offsets[1] : found.offsets[2]], seen.boxes[0])


def test_an_oracle_track_belongs_to_one_person_unless_switches_are_asked_for() -> None:
    def owners(switch: float) -> int:
        tracker, owner = OracleTracker(switch=switch), {}
        for seen in busy_world().steps():
            tracklets, who = tracker.update(seen)
            for camera, track, person in zip(tracklets.camera, tracklets.track_id, who, strict=True):
                owner.setdefault((int(camera), int(track)), set()).add(int(person))
        return sum(len(people) > 1 for people in owner.values())

    assert owners(0.0) == 0
    assert owners(0.05) > 0

"""Reloading: what differs is taken, what does not is left alone, and a config with a fault changes nothing at all."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.assembly import build_associator, build_ground, build_links, tracker_numbers
from spoton_edge.building import source_of
from spoton_edge.client import Event, Message, Subscriber, Tracks
from spoton_edge.embedder import StripeHistogram
from spoton_edge.errors import ExitCode, PublishError, SpotOnError
from spoton_edge.reloading import numbered, settle
from spoton_edge.service import Service
from tests.reference_identity import in_polygon
from tests.steady import SIZE, camera, homography, write_detector, write_reid, write_site, write_unfit
from tests.waiting import until

LIMIT_S = 30.0


class Site:
    """A running service, its file, and what it was told."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.folder = folder
        self.model = write_detector(folder)
        self.path = folder / "site.yaml"
        self.write([camera("a", 0.0), camera("b", 10.0)], **sections)
        self.service = Service(self.path, config.load(self.path), cache=folder / "cache", state=folder / "state")
        self.numbers: dict[str, Any] = {}
        tracker = self.service.pipeline.tracker
        reconfigure = tracker.reconfigure

        def noted(rates: Any, **numbers: Any) -> None:
            self.numbers = numbers
            reconfigure(rates, **numbers)

        tracker.reconfigure = noted  # type: ignore[method-assign]

    def write(self, cameras: list[dict[str, Any]], **sections: dict[str, Any]) -> None:
        write_site(self.path, self.model, cameras, **sections)

    def reload(self, cameras: list[dict[str, Any]], **sections: dict[str, Any]) -> list[str]:
        self.write(cameras, **sections)
        return self.service.reload()

    def await_batches(self, count: int) -> None:
        goal = self.service.pipeline.batches + count
        until(lambda: self.service.pipeline.batches >= goal)

    @property
    def endpoint(self) -> str:
        return self.service.pipeline.publisher.endpoints[0]


@contextmanager
def running(folder: Path, **sections: dict[str, Any]) -> Iterator[Site]:
    site = Site(folder, **sections)
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(site.service.run()))
    thread.start()
    try:
        yield site
    finally:
        site.service.stop()
        thread.join(LIMIT_S)
    assert codes == [ExitCode.STOPPED]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as made:
        made.await_batches(10)
        yield made


def people(site: Site, cameras: set[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(camera, which of its two people) -> (id, track id), as soon as every camera is in a message."""
    with Subscriber(site.endpoint) as subscriber:
        for _ in range(400):
            message = subscriber.receive(LIMIT_S)
            if not isinstance(message, Tracks):
                continue
            seen = {
                (view.camera, int(view.box[0] > SIZE / 3)): (person.id, view.track_id)
                for person in message.tracks
                for view in person.views
                if view.box is not None
            }
            if seen.keys() == {(name, which) for name in cameras for which in (0, 1)}:
                return seen
    raise AssertionError(f"not all of {cameras} in one message; the last: {seen}")


def events(subscriber: Subscriber, wanted: Callable[[Event], bool]) -> Event:
    while True:
        message: Any = subscriber.receive(LIMIT_S)
        assert message is not None
        if isinstance(message, Message) and isinstance(message, Event) and wanted(message):
            return message


def test_a_file_that_says_the_same_changes_nothing(site: Site) -> None:
    before = people(site, {"a", "b"})
    assert site.service.reload() == []
    assert people(site, {"a", "b"}) == before


def test_a_camera_added_and_taken_away_leaves_the_others_their_readers_and_ids(site: Site) -> None:
    before = people(site, {"a", "b"})
    readers = site.service.capture._readers[:]
    added = [camera("c", 20.0, "test:64x64@9"), camera("b", 10.0), camera("a", 0.0)]
    assert site.reload(added) == ["camera c: added"]
    during = people(site, {"a", "b", "c"})
    assert {key: during[key] for key in before} == before
    assert len({identity for identity, _ in during.values()}) == 6
    assert site.reload([camera("a", 0.0), camera("b", 10.0)]) == ["camera c: removed"]
    assert people(site, {"a", "b"}) == before
    assert site.service.capture._readers == readers
    # Back again: its track ids go on counting, for they are never used twice.
    site.reload(added)
    again = people(site, {"a", "b", "c"})
    assert {key: again[key] for key in before} == before
    assert min(again["c", which][1] for which in (0, 1)) > max(during["c", which][1] for which in (0, 1))


def test_the_last_camera_before_another_may_go(site: Site) -> None:
    before = people(site, {"a", "b"})
    assert site.reload([camera("b", 10.0)]) == ["camera a: removed"]
    after = people(site, {"b"})
    assert after == {key: value for key, value in before.items() if key[0] == "b"}


def test_a_camera_that_shows_something_else_starts_anew_and_the_others_go_on(site: Site) -> None:
    before = people(site, {"a", "b"})
    assert site.reload([camera("a", 0.0), camera("b", 10.0, "test:64x64@12")]) == ["camera b: source changed"]
    until(lambda: site.service.capture.states()["b"] == "live")
    after = people(site, {"a", "b"})
    assert {key: after[key] for key in after if key[0] == "a"} == {key: before[key] for key in before if key[0] == "a"}
    assert min(after["b", which][1] for which in (0, 1)) > max(before["b", which][1] for which in (0, 1))


def test_a_camera_that_is_recalibrated_keeps_its_tracks_and_places_people_anew(site: Site) -> None:
    before = people(site, {"a", "b"})
    places = where(site)
    assert site.reload([camera("a", 0.0), camera("b", 10.1)]) == ["camera b: ground changed"]
    assert people(site, {"a", "b"}) == before  # a hand's breadth is nobody else
    until(lambda: where(site)[before["b", 0][0]] > places[before["b", 0][0]] + 0.05)
    assert where(site)[before["a", 0][0]] == pytest.approx(places[before["a", 0][0]], abs=0.05)


def where(site: Site) -> dict[int, float]:
    """x of everybody, m."""
    with Subscriber(site.endpoint) as subscriber:
        while True:
            message = subscriber.receive(LIMIT_S)
            if isinstance(message, Tracks) and message.tracks:
                return {person.id: person.x for person in message.tracks if person.x is not None}


def test_cameras_that_cut_one_stream_share_it_with_one_that_joins(site: Site) -> None:
    left = {**camera("left", 20.0, "test:128x64@10"), "crop": [0, 0, 64, 64]}
    right = {**camera("right", 30.0, "test:128x64@10"), "crop": [64, 0, 128, 64]}
    site.reload([camera("a", 0.0), left])
    before = people(site, {"a", "left"})
    readers = site.service.capture._readers[:]
    assert site.reload([camera("a", 0.0), left, right]) == ["camera right: added"]
    after = people(site, {"a", "left", "right"})
    assert {key: after[key] for key in before} == before
    assert site.service.capture._readers == readers
    site.reload([camera("a", 0.0), right])  # the one that began the reader goes
    assert people(site, {"a", "right"}).items() <= after.items()


def test_more_cameras_than_the_network_takes_at_once_are_served_by_several_calls(site: Site) -> None:
    names = [f"k{number}" for number in range(6)]
    site.reload([camera(name, 10.0 * index) for index, name in enumerate(names)])
    assert len(people(site, set(names))) == 12
    until(lambda: site.service.pipeline.detector.max_batch >= 6)
    assert len(people(site, set(names))) == 12


def test_endpoints_move_and_the_one_that_stays_loses_nothing(site: Site) -> None:
    stays, goes, comes = (f"ipc://{site.folder}/{name}" for name in ("p", "goes", "comes"))
    cameras = [camera("a", 0.0), camera("b", 10.0)]
    site.reload(cameras, publish={"bind": [stays, goes]})
    with Subscriber(stays) as subscriber, Subscriber(goes) as left:
        assert next(iter(left))
        last = 0
        assert site.reload(cameras, publish={"bind": [comes, stays]}) == ["publish.bind: changed"]
        after = site.service.pipeline.batches + 3
        while last < after:
            message = subscriber.receive(LIMIT_S)
            assert message is not None
            assert message.kind != "missed"
            if isinstance(message, Tracks):
                last = message.seq
    with Subscriber(comes) as subscriber:
        assert subscriber.receive(LIMIT_S) is not None
    assert not (site.folder / "goes").exists()


def test_an_endpoint_in_use_refuses_the_whole_of_it(site: Site) -> None:
    before = people(site, {"a", "b"})
    taken = [f"ipc://{site.folder}/new", f"ipc://{site.folder}/c"]  # the second is the control socket
    with Subscriber(site.endpoint) as subscriber:
        with pytest.raises(PublishError, match="another program listens there"):
            site.reload([camera("a", 0.0), camera("c", 20.0)], publish={"bind": taken})
        refused = events(subscriber, lambda event: event.event == "reload")
    assert "another program" in refused.raw["detail"]
    assert people(site, {"a", "b"}) == before
    assert not (site.folder / "new").exists()
    assert "another program" in site.service.status()["config"]["refused"]


def test_a_credential_that_is_not_loaded_keeps_one_camera_out_and_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(site.folder))
    absent = camera("c", 20.0, "rtsp://{cred:door}@127.0.0.1:1/x")
    leads = {**camera("a", 0.0), "handoff": [{"zone": "upper_left", "to": "c"}]}
    lines = site.reload([leads, camera("b", 10.0), absent], identity={"forget_s": 60.0})
    assert lines[0].startswith("camera c: there is no credential door")
    assert lines[0].endswith("needs restart")
    assert "identity.forget_s: changed" in lines
    assert set(site.service.capture.states()) == {"a", "b"}
    assert site.service.status()["config"]["needs_restart"] == ["cameras (c)"]
    assert site.service.pipeline.associator.handoff.links == ()
    (site.folder / "door").write_text("user:password")
    assert site.service.reload() == ["camera a: handoff changed", "camera c: added"]
    assert site.service.status()["config"]["needs_restart"] == []


def test_what_needs_a_restart_says_so_by_key_and_stays(site: Site) -> None:
    cameras = [camera("a", 0.0), camera("b", 10.0)]
    lines = site.reload(cameras, runtime={"threads": 2, "sync_window_ms": 50.0})
    assert lines == ["runtime.threads: needs restart", "runtime.sync_window_ms: changed"]
    status = site.service.status()["config"]
    assert status["needs_restart"] == ["runtime.threads"]
    assert site.reload(cameras) == ["runtime.sync_window_ms: changed"]
    assert site.service.status()["config"]["needs_restart"] == []


def looks(site: Site) -> tuple[int, int]:
    """People whose looks are remembered, and the length of their vectors."""
    associator = site.service.pipeline.associator
    return associator.gallery, associator._census.looks._gallery.dimension


def test_another_re_id_model_forgets_looks_and_keeps_ids(site: Site) -> None:
    cameras = [camera("a", 0.0), camera("b", 10.0)]
    service, pipeline = site.service, site.service.pipeline
    before = people(site, {"a", "b"})
    until(lambda: pipeline.associator.gallery == 4)  # colour histograms, until now
    models = [write_reid(site.folder / f"looks{dimension}.onnx", dimension) for dimension in (8, 12)]
    for model, dimension in zip(models, (8, 12), strict=True):
        old = pipeline.embedder
        lines = site.reload(cameras, reid={"model": str(model)})
        assert lines == ["reid.model: changed; takes effect when the new network is ready"]
        until(lambda old=old: pipeline.embedder is not old)
        until(lambda dimension=dimension: looks(site) == (4, dimension))
        assert people(site, {"a", "b"}) == before
        assert service.status()["config"]["needs_restart"] == []
        assert site.reload(cameras, reid={"model": str(model)}) == []
    site.reload(cameras)
    until(lambda: looks(site) == (4, StripeHistogram().dimension))
    assert people(site, {"a", "b"}) == before


def test_a_re_id_model_that_cannot_be_used_leaves_the_old_one_and_its_looks(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    cameras, pipeline = [camera("a", 0.0), camera("b", 10.0)], site.service.pipeline
    until(lambda: pipeline.associator.gallery == 4)
    old, before = pipeline.embedder, people(site, {"a", "b"})
    model = write_reid(site.folder / "looks.onnx", 8)
    write_unfit(model)
    site.reload(cameras, reid={"model": str(model)})
    until(lambda: "is not taken, the old one stays" in caplog.text)
    site.await_batches(3)
    assert pipeline.embedder is old
    assert pipeline.associator.gallery == 4
    assert people(site, {"a", "b"}) == before
    assert "looks.onnx is not taken" in site.service._note_for_operator()
    write_reid(model, 8)  # mended: the same file again is tried again
    site.reload(cameras, reid={"model": str(model)})
    until(lambda: pipeline.embedder is not old)
    assert site.service._note_for_operator() == ""


def test_both_networks_are_swapped_by_one_reload_and_each_stands_for_itself(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    cameras, pipeline = [camera("a", 0.0), camera("b", 10.0)], site.service.pipeline
    detector, embedder = pipeline.detector, pipeline.embedder
    broken = write_unfit(site.folder / "broken.onnx")
    broken.with_suffix(".toml").write_text((site.folder / "steady.toml").read_text())
    model = write_reid(site.folder / "looks.onnx", 8)
    site.reload(cameras, reid={"model": str(model)}, detector={"model": str(broken)})
    until(lambda: pipeline.embedder is not embedder and "broken.onnx is not taken" in caplog.text)
    site.await_batches(3)
    assert pipeline.detector is detector
    until(lambda: site.service.status()["reid"] == "looks.onnx")  # it is told once a second


def test_a_file_that_is_watched_is_reloaded_when_it_has_been_written(tmp_path: Path) -> None:
    with running(tmp_path, runtime={"watch": True}) as site:
        site.await_batches(3)
        site.write([camera("a", 0.0), camera("c", 10.0)], runtime={"watch": True})
        until(lambda: set(site.service.capture.states()) == {"a", "c"})
        site.path.write_text("cameras: 7")
        until(lambda: bool(site.service.status()["config"]["refused"]))
        site.write([camera("a", 0.0)], runtime={"watch": True})
        until(lambda: set(site.service.capture.states()) == {"a"})
        until(lambda: site.service.status()["config"]["refused"] is None)


# ---- any edit -------------------------------------------------------------------------------------------------------


def edits() -> st.SearchStrategy[Callable[[dict[str, Any]], None]]:
    """Changes of a site as it is written, some of them faulty."""
    names = st.sampled_from(["a", "b", "c", "d"])
    places = st.sampled_from([0.0, 10.0, 10.1, 20.0, None])
    sources = st.sampled_from(
        ["test:64x64@10", "test:64x64@12", "test:128x64@10", "test:0x0", "/no/such/clip.mp4", "rtsp://{cred:no}@h/x"]
    )

    def add(name: str, x: float | None, source: str) -> Callable[[dict[str, Any]], None]:
        return lambda site: site["cameras"].append(camera(name, x, source))

    def remove(index: int) -> Callable[[dict[str, Any]], None]:
        return lambda site: site["cameras"].pop(index % len(site["cameras"])) and None

    def edit(index: int, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        def change(site: dict[str, Any]) -> None:
            of = site["cameras"][index % len(site["cameras"])]
            of.pop(key, None)
            if value is not None:
                of[key] = value

        return change

    def put(section: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
        return lambda site: site.setdefault(section, {}).update({key: value})

    grounds = st.sampled_from(
        [
            None,
            {"homography": homography(0.0), "image_size": [SIZE, SIZE]},
            {"homography": homography(5.0), "image_size": [32, 32]},
            {"homography": homography(5.0)},
            {"homography": [[1, 0, 0], [0, 0, 0], [0, 0, 1]]},
            {"points": [[0, 0, 0, 0], [64, 0, 4, 0], [64, 64, 4, 4], [0, 64, 0, 4]]},
            {"points": [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]},
        ]
    )
    crops = st.sampled_from([None, [0, 0, 64, 64], [0, 0, 32, 64], [0, 0, 999, 64], [5, 5, 5, 5]])
    handoffs = st.lists(
        st.fixed_dictionaries(
            {"zone": st.sampled_from(["upper_left", "nowhere", [[0, 0], [9, 0], [9, 9]]]), "to": names},
            optional={"travel_s": st.sampled_from([[0.5, 20], [3, 1]]), "enter": st.sampled_from(["lower_left"])},
        ),
        max_size=2,
    )
    share = st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.5, "high"])
    seconds = st.sampled_from([0.05, 1.0, 30.0, 1e6, 2e6, -1.0])
    index = st.integers(0, 3)
    return st.one_of(
        st.builds(add, names, places, sources),
        st.builds(remove, index),
        st.builds(edit, index, st.just("source"), sources),
        st.builds(edit, index, st.just("ground"), grounds),
        st.builds(edit, index, st.just("crop"), crops),
        st.builds(edit, index, st.just("handoff"), handoffs),
        st.builds(edit, index, st.just("region"), st.sampled_from([None, [[0, 0], [60, 0], [60, 60]], [[0, 0]]])),
        st.builds(edit, index, st.just("clock_offset_ms"), st.sampled_from([None, 40, -1e12])),
        st.builds(put, st.just("tracker"), st.sampled_from(["high_score", "low_score", "new_score", "match"]), share),
        st.builds(put, st.just("tracker"), st.just("buffer_s"), seconds),
        st.builds(put, st.just("identity"), st.sampled_from(["forget_s", "max_speed_mps"]), seconds),
        st.builds(put, st.just("detector"), st.just("min_score"), share),
        st.builds(put, st.just("detector"), st.just("every"), st.sampled_from([1, 2, 0])),
        st.builds(put, st.just("reid"), st.just("crops_per_batch"), st.sampled_from([1, 8, 0])),
        st.builds(put, st.just("publish"), st.just("boxes"), st.booleans()),
        st.builds(
            lambda names: lambda site: site["publish"].update(bind=[f"{site['_at']}/{name}" for name in names]),
            st.lists(st.sampled_from(["p", "q", "c", "no/folder"]), max_size=2),
        ),
        st.builds(put, st.just("runtime"), st.sampled_from(["sync_window_ms", "stall_s"]), seconds),
        st.builds(put, st.just("runtime"), st.just("threads"), st.sampled_from([1, 2])),
        st.builds(put, st.sampled_from(["box", "detecter"]), st.just("x"), st.just(1)),
    )


def test_random_edits_are_taken_whole_or_not_at_all() -> None:
    take_any_edits(50)


@pytest.mark.soak
def test_five_hundred_random_edits_are_taken_whole_or_not_at_all() -> None:
    take_any_edits(500)


def take_any_edits(examples: int) -> None:
    with tempfile.TemporaryDirectory(prefix="spoton") as name, running(Path(name)) as site:
        site.await_batches(3)
        taken: list[bool] = []

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(st.lists(edits(), min_size=1, max_size=2))
        def edit(changes: list[Callable[[dict[str, Any]], None]]) -> None:
            good = site.path.read_text()
            written = yaml.safe_load(good)
            written["_at"] = f"ipc://{site.folder}"
            for change in changes:
                if written["cameras"]:
                    change(written)
            del written["_at"]
            site.path.write_text(yaml.safe_dump(written))
            before = site.service._running
            try:
                site.service.reload()
            except SpotOnError:
                taken.append(False)
                assert site.service._running is before
                assert site.service.status()["config"]["refused"]
                site.path.write_text(good)
            else:
                taken.append(True)
                assert site.service.status()["config"]["refused"] is None
                wanted, _, restart = settle(before.site, config.load(site.path))
                assert site.service._running.site == wanted
                if not restart:
                    assert wanted == config.load(site.path)
            runs_as_written(site)

        edit()
        site.await_batches(3)
        assert 0.1 < np.mean(taken) < 0.9  # both ways are taken


def runs_as_written(site: Site) -> None:
    """Every stage is what the config that is said to run would make it anew."""
    service, running = site.service, site.service._running
    wanted, pipeline = running.site, site.service.pipeline
    capture = service.capture
    assert [camera.source for camera in capture._cameras] == [source_of(camera) for camera in wanted.cameras]
    assert [running.names[camera.index] for camera in capture._cameras] == [camera.name for camera in wanted.cameras]
    served = [camera for reader in capture._readers for camera in reader.cameras]
    assert sorted(camera.source.name for camera in served) == sorted(camera.name for camera in wanted.cameras)
    if site.numbers:
        assert site.numbers == tracker_numbers(wanted)
    whole = numbered(wanted, running.names)
    sizes = {camera.index: camera.size for camera in capture._cameras}
    pictures = [sizes.get(number) for number in range(len(running.names))]
    ground = build_ground(whole, pictures)
    assert np.array_equal(pipeline.ground.table, ground.table, equal_nan=True)
    assert pipeline.ground is pipeline.associator.site
    fresh = build_associator(whole, ground, None, pictures=pictures)
    assert pipeline.associator.handoff.links == fresh.handoff.links
    assert pipeline.associator.handoff.max_speed_mps == wanted.identity.max_speed_mps
    assert pipeline.detect_every == wanted.detector.every
    assert sorted(pipeline.publisher._bound[0]) == sorted(set(wanted.publish.bind))
    assert pipeline.encoder is pipeline.publisher.encoder
    assert pipeline.encoder._cameras == tuple(running.names)
    assert service._health.stall_s == wanted.runtime.stall_s


def test_a_handoff_by_a_quarter_of_an_uncalibrated_picture_counts_from_when_its_size_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leads = {**camera("a"), "handoff": [{"zone": "lower_right", "to": "b", "enter": "upper_left"}]}
    path = write_site(tmp_path / "site.yaml", write_detector(tmp_path), [leads, camera("b")])
    loaded = config.load(path)
    ground = build_ground(loaded, [None, None])
    assert build_links(loaded, ground, [None, (64, 64)]) == []
    assert "camera a: the handoff to b is left out" in caplog.text
    (link,) = build_links(loaded, ground, [(64, 64), (64, 64)])
    assert (link.camera, link.to) == (0, 1)
    corners = [(10.0, 10.0), (40.0, 10.0), (10.0, 40.0), (64.0, 64.0)]
    assert [in_polygon(link.zone, *corner) for corner in corners] == [False, False, False, True]
    assert [in_polygon(link.enter or (), *corner) for corner in corners] == [True, False, False, False]

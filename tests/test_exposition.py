"""What Prometheus reads: every figure, under names that do not change, on this machine only; and its dashboard."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spoton_edge import config
from spoton_edge.errors import ConfigError, PublishError
from spoton_edge.exposition import STATES, MetricsServer
from spoton_edge.metrics import AGE_S, Figures, Histogram, StageTimer, Tally
from spoton_edge.types import CameraStatus, Delivery, Event, GlobalTracks, Reason, StageTime, Status, Views
from tests.steady import camera, write_detector, write_site
from tests.test_reloading import running
from tests.waiting import until

DASHBOARD = Path(__file__).parents[1] / "systemd" / "grafana.json"


def figures() -> Figures:
    """A daemon with two cameras, one of them down, on a GPU."""
    cameras = [
        CameraStatus("c09", "live", 14.9, 100, 3, 1, skew_ms=-40.0, reconnects=2, age_s=0.03),
        CameraStatus('od"d\\', "offline", 0.0, 0, 0, 0, unplaced="not calibrated"),
    ]
    age = Histogram(AGE_S)
    age.add(0.03)
    timer = StageTimer(("detect", "track"))
    with timer("detect"):
        pass
    return Figures(
        site="lobby",
        box="lobby-1",
        run="ab12",
        detector="yolox-nano",
        engine="onnxruntime CPU",
        reid="histogram",
        status=Status(cameras, 90, 14.7, 3, {"detect": StageTime(1.0, 2.0)}),
        people={"visible": 2, "coasting": 1, "lost": 4},
        events={"appeared": 5},
        handoffs={"walk": 2, "link": 1},
        gallery=6,
        reid_budget_hits=7,
        bad_rows=8,
        stages=timer.histograms(),
        age=age,
        delivery=Delivery(connections=1, subscriptions=2, late=3, sent={"tracks": 90}),
        reloads={"applied": 1, "refused": 2},
        restart_keys=1,
        gpu_memory=(2**30, 2**33),
    )


def scrape(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample, by name and label values."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def samples() -> dict[tuple[str, tuple[str, ...]], float]:
    server = MetricsServer("127.0.0.1:0")
    try:
        server.show(figures())
        return scrape(server.port)
    finally:
        server.close()


def test_every_figure_can_be_read(samples: dict[tuple[str, tuple[str, ...]], float]) -> None:
    expected = {
        ("spoton_camera_up", ("c09",)): 1,
        ("spoton_camera_up", ('od"d\\',)): 0,
        ("spoton_camera_state", ("c09", "live")): 1,
        ("spoton_camera_state", ('od"d\\', "offline")): 1,
        ("spoton_camera_fps", ("c09",)): 14.9,
        ("spoton_camera_dropped_total", ("c09",)): 3,
        ("spoton_camera_bad_frames_total", ("c09",)): 1,
        ("spoton_camera_reconnects_total", ("c09",)): 2,
        ("spoton_camera_frame_age_seconds", ("c09",)): 0.03,
        ("spoton_camera_skew_seconds", ("c09",)): -0.04,
        ("spoton_camera_placed", ('od"d\\',)): 0,
        ("spoton_people", ("lost",)): 4,
        ("spoton_handoffs_total", ("walk",)): 2,
        ("spoton_events_total", ("appeared",)): 5,
        ("spoton_gallery_entries", ()): 6,
        ("spoton_reid_budget_hits_total", ()): 7,
        ("spoton_detector_bad_rows_total", ()): 8,
        ("spoton_batches_total", ()): 90,
        ("spoton_batch_age_seconds_count", ()): 1,
        ("spoton_batch_age_seconds_bucket", ("0.02",)): 0,
        ("spoton_batch_age_seconds_bucket", ("0.05",)): 1,
        ("spoton_batch_age_seconds_bucket", ("+Inf",)): 1,
        ("spoton_stage_seconds_count", ("detect",)): 1,
        ("spoton_stage_seconds_count", ("track",)): 0,
        ("spoton_reloads_total", ("refused",)): 2,
        ("spoton_config_restart_keys", ()): 1,
        ("spoton_gpu_memory_bytes", ("used",)): 2**30,
        ("spoton_publish_sent_total", ("tracks",)): 90,
        ("spoton_publish_late_total", ()): 3,
    }
    assert {key: samples.get(key) for key in expected} == expected
    assert ("spoton_camera_frame_age_seconds", ('od"d\\',)) not in samples  # never had one
    assert sum(1 for name, _ in samples if name == "spoton_camera_state") == 2 * len(STATES)


def test_the_dashboard_asks_for_nothing_that_is_not_there(
    samples: dict[tuple[str, tuple[str, ...]], float],
) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"(?:spoton|process)_\w+", query)}
    there = {name for name, _ in samples}
    assert asked <= there
    assert len(queries) > 20
    # And what there is, somebody can look at: counters, gauges and histograms of this program.
    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in there if name.startswith("spoton_")}
    drawn = {re.sub(r"_bucket$", "", name) for name in asked}
    quiet = {
        "spoton_batches_total",
        "spoton_camera_frames_total",
        "spoton_camera_placed",
        "spoton_detector_bad_rows_total",
        "spoton_publish_overflowed_total",
        "spoton_publish_sent_total",
        "spoton_publish_snapshots_total",
        "spoton_publish_subscriptions",
        "spoton_reloads_total",
    }
    assert families - drawn == quiet
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def test_before_the_first_figures_there_are_only_those_of_the_process() -> None:
    server = MetricsServer("127.0.0.1:0")
    try:
        names = {name for name, _ in scrape(server.port)}
    finally:
        server.close()
    assert "process_resident_memory_bytes" in names
    assert not any(name.startswith("spoton_") for name in names)


def test_an_address_in_use_is_one_line_that_names_the_key() -> None:
    first = MetricsServer("127.0.0.1:0")
    try:
        with pytest.raises(PublishError, match=r"cannot bind 127.0.0.1:\d+: address already in use; .*runtime.metrics"):
            MetricsServer(f"127.0.0.1:{first.port}")
    finally:
        first.close()


@pytest.mark.parametrize("value", ["false", "no", "null", "'127.0.0.1:9477'", "'[::1]:1'", "'localhost:65535'"])
def test_metrics_are_off_or_for_this_machine(value: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"cameras: [{{name: a, source: 'test:'}}]\nruntime: {{metrics: {value}}}\n")
    metrics = config.load(path).runtime.metrics
    assert metrics == (value.strip("'") if ":" in value else False)


@pytest.mark.parametrize(
    "value", ["true", "9477", "'0.0.0.0:9477'", "'10.0.0.9:9477'", "'127.0.0.1:99999'", "'[::]:1'"]
)
def test_metrics_for_others_are_refused(value: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"cameras: [{{name: a, source: 'test:'}}]\nruntime: {{metrics: {value}}}\n")
    with pytest.raises(ConfigError, match=r"runtime.metrics: "):
        config.load(path)


def test_a_tally_counts_people_events_and_handoffs_by_gate() -> None:
    empty = np.zeros(0)
    views = Views(*(empty.astype(t) for t in (np.int32, np.int16, np.int64)), np.zeros((0, 4), np.float32), empty)
    state = np.array([0, 0, 1, 2], np.uint8)
    four = np.zeros((4, 2))
    tracks = GlobalTracks(np.arange(4), four, four, np.zeros((4, 3)), state, np.zeros(4), np.zeros(4, np.int16), views)
    tally = Tally()
    events = [
        Event("handed_off", 0, 1, reason=Reason("link:c13")),
        Event("handed_off", 0, 2, reason=Reason("walk")),
        Event("appeared", 0, 3, reason=Reason("new")),
    ]
    tally.count(tracks, events, 0.03)
    assert tally.people == {"visible": 2, "coasting": 1, "lost": 1}
    assert tally.present == 3
    assert tally.events == {"handed_off": 2, "appeared": 1}
    assert tally.handoffs == {"link": 1, "walk": 1}
    assert sum(tally.age.counts) == 1


def test_a_running_daemon_is_scraped(tmp_path: Path) -> None:
    with running(tmp_path, runtime={"metrics": "127.0.0.1:0"}) as site:
        metrics = site.service._metrics
        assert metrics is not None
        until(lambda: scrape(metrics.port).get(("spoton_people", ("visible",))) == 4)
        samples = scrape(metrics.port)
        assert samples["spoton_camera_up", ("a",)] == 1
        assert samples["spoton_stage_seconds_count", ("publish",)] > 0
        site.reload([camera("b", 10.0)], runtime={"metrics": "127.0.0.1:0"})
        until(lambda: ("spoton_camera_up", ("a",)) not in scrape(metrics.port))
        assert scrape(metrics.port)["spoton_reloads_total", ("applied",)] == 1
        site.path.write_text("cameras: 7")
        with pytest.raises(ConfigError):
            site.service.reload()
        until(lambda: scrape(metrics.port).get(("spoton_reloads_total", ("refused",))) == 1)
        write_site(site.path, write_detector(tmp_path), [camera("b", 10.0)])

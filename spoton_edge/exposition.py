"""What a daemon counts, for Prometheus: text over HTTP on this machine, read once a second from the loop.

Names follow Prometheus' rules: base units, counters end in `_total`. `systemd/grafana.json` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from spoton_edge import __version__
from spoton_edge.errors import PublishError
from spoton_edge.metrics import Figures, Histogram

STATES = ("connecting", "live", "stalled", "offline", "refused", "ended")


class MetricsServer:
    """Answers scrapes with the figures that `show` was last given; none before the first.

    Raises PublishError where the address cannot be had.
    """

    def __init__(self, address: str) -> None:
        """address: HOST:PORT; port 0 takes any."""
        host, _, port = address.rpartition(":")
        self._figures: Figures | None = None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        ProcessCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PublishError(f"cannot bind {address}: {reason}; change runtime.metrics") from None
        self.port = int(self._server.server_port)

    def show(self, figures: Figures) -> None:
        """What scrapes are answered with from now on. From any thread."""
        self._figures = figures

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterable[Metric]:
        """Called by the registry for each scrape."""
        figures = self._figures
        return families(figures) if figures is not None else ()


def families(figures: Figures) -> Iterator[Metric]:
    """Every metric."""
    yield from _daemon(figures)
    yield from _cameras(figures)
    yield from _people(figures)
    yield from _publishing(figures)


def _daemon(figures: Figures) -> Iterator[Metric]:
    info = {"version": __version__, "site": figures.site, "box": figures.box, "run": figures.run}
    info |= {"detector": figures.detector, "engine": figures.engine, "reid": figures.reid}
    yield _gauge("spoton_info", "Constant 1; what runs, in its labels", {tuple(info.values()): 1}, tuple(info))
    stages = HistogramMetricFamily("spoton_stage_seconds", "Wall time of a stage in one batch", labels=["stage"])
    for stage, histogram in figures.stages.items():
        stages.add_metric([stage], *_buckets(histogram))
    yield stages
    age = HistogramMetricFamily("spoton_batch_age_seconds", "Age of a batch's oldest frame when the batch was taken")
    age.add_metric([], *_buckets(figures.age))
    yield age
    yield _counter("spoton_batches", "Batches processed", {(): figures.status.batches})
    yield _gauge("spoton_batch_rate_hertz", "Batches a second, of late", {(): figures.status.batch_rate_hz})
    reloads = {(result,): count for result, count in figures.reloads.items()}
    yield _counter("spoton_reloads", "Times the config was read again: applied, refused", reloads, ("result",))
    yield _gauge("spoton_config_restart_keys", "Config keys that wait for a restart", {(): figures.restart_keys})
    if figures.gpu_memory is not None:
        used, total = figures.gpu_memory
        sizes = {("used",): used, ("total",): total}
        yield _gauge("spoton_gpu_memory_bytes", "Memory of the GPU, of all processes", sizes, ("kind",))


def _cameras(figures: Figures) -> Iterator[Metric]:
    cameras = figures.status.cameras
    names = ("camera",)
    up = {(camera.name,): float(camera.state == "live") for camera in cameras}
    yield _gauge("spoton_camera_up", "1 where a camera is live", up, names)
    states = {(camera.name, state): float(camera.state == state) for camera in cameras for state in STATES}
    yield _gauge("spoton_camera_state", "1 for the state that a camera is in", states, ("camera", "state"))
    yield _gauge("spoton_camera_fps", "Frames a second, of late", {(c.name,): c.fps for c in cameras}, names)
    yield _counter("spoton_camera_frames", "Frames received", {(c.name,): c.frames for c in cameras}, names)
    dropped = {(c.name,): c.dropped for c in cameras}
    yield _counter("spoton_camera_dropped", "Frames that a newer one overtook", dropped, names)
    bad = {(c.name,): c.bad_frames for c in cameras}
    yield _counter("spoton_camera_bad_frames", "Frames that could not be decoded", bad, names)
    reconnects = {(c.name,): c.reconnects for c in cameras}
    yield _counter("spoton_camera_reconnects", "Times that a camera came back", reconnects, names)
    ages = {(c.name,): c.age_s for c in cameras if c.age_s is not None}
    yield _gauge("spoton_camera_frame_age_seconds", "Since the last frame arrived", ages, names)
    skews = {(c.name,): c.skew_ms / 1e3 for c in cameras if c.skew_ms is not None}
    yield _gauge("spoton_camera_skew_seconds", "Gain of a camera's clock on the others'", skews, names)
    placed = {(c.name,): float(c.unplaced is None) for c in cameras}
    yield _gauge("spoton_camera_placed", "1 where people have places on the floor", placed, names)


def _people(figures: Figures) -> Iterator[Metric]:
    people = {(state,): count for state, count in figures.people.items()}
    yield _gauge("spoton_people", "Global tracks by state", people, ("state",))
    events = {(kind,): count for kind, count in figures.events.items()}
    yield _counter("spoton_events", "What happened to identities", events, ("event",))
    handoffs = {(gate,): count for gate, count in figures.handoffs.items()}
    yield _counter("spoton_handoffs", "Handoffs by what made them possible", handoffs, ("gate",))
    yield _gauge("spoton_gallery_entries", "People whose looks are remembered", {(): figures.gallery})
    hits = {(): figures.reid_budget_hits}
    yield _counter("spoton_reid_budget_hits", "Batches with more crops to describe than allowed", hits)
    bad = {(): figures.bad_rows}
    yield _counter("spoton_detector_bad_rows", "Detections dropped because they were not finite", bad)


def _publishing(figures: Figures) -> Iterator[Metric]:
    delivery = figures.delivery
    yield _gauge("spoton_publish_connections", "Subscribers' connections", {(): delivery.connections})
    yield _gauge("spoton_publish_subscriptions", "What they subscribe to", {(): delivery.subscriptions})
    yield _counter("spoton_publish_late", "Times a subscriber's queue ran full", {(): delivery.late})
    yield _counter("spoton_publish_overflowed", "Messages lost by all", {(): delivery.overflowed})
    yield _counter("spoton_publish_refused", "Connections closed because they asked too much", {(): delivery.refused})
    yield _counter("spoton_publish_snapshots", "Snapshots served", {(): delivery.snapshots})
    sent = {(kind,): number for kind, number in delivery.sent.items()}
    yield _counter("spoton_publish_sent", "Messages sent", sent, ("kind",))


def _gauge(name: str, about: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> Metric:
    family = GaugeMetricFamily(name, about, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _counter(name: str, about: str, values: Mapping[Any, float], labels: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(name, about, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper bound, as Prometheus has them, and the sum."""
    total, buckets = 0, []
    for bound, count in zip((*histogram.bounds_s, float("inf")), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    return buckets, histogram.sum_s

"""Streams that are not RTSP over TCP: over UDP and TLS, MJPEG and MPEG-TS over HTTP(S), devices that are not there."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest

from spoton_edge.capture import Capture, Source
from tests.e2e.rtsp import RtspCamera, access_units, certificate, need_server
from tests.e2e.watching import Watch
from tests.footage import number_in, picture, write_clip

PERIOD_S = 0.05
LOGIN = "Basic b3BlcmF0b3I6cEBzcw=="  # operator:p@ss


class HttpCamera(BaseHTTPRequestHandler):
    """Serves /video.mjpeg without end, /clip.ts at its own pace once, and /private to those who know the login."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, clip: bytes, asked: list[str]) -> None:
        self.clip, self.asked = clip, asked
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.close_connection = True
        with suppress(ConnectionError):
            if self.path == "/forbidden":
                self.send_error(403)
            elif self.path == "/private" and self.headers.get("Authorization") != LOGIN:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path == "/clip.ts":
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                for at in range(0, len(self.clip), 4 * 188):
                    self.wfile.write(self.clip[at : at + 4 * 188])
                    time.sleep(0.005)
            else:
                self._multipart()

    def _multipart(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(2000):
            data = cv2.imencode(".jpg", picture(number % 4096))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(PERIOD_S)


@contextmanager
def http_camera(clip: Path | None = None, pem: Path | None = None) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = partial(HttpCamera, clip=clip.read_bytes() if clip else b"", asked=asked)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http{'s' if pem else ''}://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


def test_mjpeg_over_http_is_stamped_on_arrival() -> None:
    with http_camera() as (url, _), Watch([Source("c0", f"{url}/video.mjpeg")], stall_s=2.0) as watch:
        watch.until_fresh(0, 10.0)
        watch.forget()
        watch.until(lambda: len(watch.batch_cameras) >= 40, 20.0, "40 frames")
        # The stream says 25 frames/s of itself and comes at less than 20: its own times would run away by seconds.
        assert watch.oldest_ms < 1000
        status = watch.capture.status()[0]
        assert status.state == "live"
        assert status.skew_ms is None
        assert status.bad_frames == 0


def test_mpeg_ts_over_http_is_followed_and_opened_anew_when_it_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.ts", range(60), codec="mpeg2video")
    with http_camera(clip) as (url, asked), Watch([Source("c0", f"{url}/clip.ts")], stall_s=2.0) as watch:
        watch.until_fresh(0, 10.0)
        watch.until(lambda: len(asked) >= 2, 20.0, "a second connection")
        watch.until_fresh(0, 10.0)
        details = [event.detail for event in watch.capture.events()]
    assert details[:3] == ["live", "offline", "live"]


@pytest.mark.parametrize("path", ["forbidden", "private"])
def test_http_that_refuses_the_login_is_left_alone(path: str) -> None:
    with http_camera() as (url, asked), Watch([Source("c0", f"{url}/{path}")], stall_s=2.0) as watch:
        watch.until_state(0, "refused", 10.0)
        requests = len(asked)  # one, and one more where the server names the way to log in
        time.sleep(1.5)
        assert len(asked) == requests <= 2


def test_http_takes_the_login_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM", "operator:p@ss")
    with http_camera() as (url, _):
        source = Source("c0", f"{url}/private".replace("http://", "http://{env:CAM}@"))
        with Watch([source], stall_s=2.0) as watch:
            watch.until_fresh(0, 10.0)


def test_https_takes_a_camera_that_signed_its_own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM", "operator:p@ss")
    with http_camera(pem=certificate(tmp_path / "camera.pem")) as (url, _):
        source = Source("c0", f"{url}/private".replace("https://", "https://{env:CAM}@"))
        with Watch([source], stall_s=2.0) as watch:
            watch.until_fresh(0, 10.0)


def test_rtsps_takes_a_camera_that_signed_its_own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_server()
    monkeypatch.setenv("CAM", "operator:p@ss")
    camera = RtspCamera(access_units(tmp_path / "h264", "h264", range(60)), login="operator:p@ss")
    camera.start("--certificate", str(certificate(tmp_path / "camera.pem")))
    try:
        with Watch([Source("c0", camera.url.replace("rtsp://", "rtsps://{env:CAM}@"))], stall_s=2.0) as watch:
            watch.until_fresh(0, 20.0)
            watch.until(lambda: watch.count[0] >= 30, 20.0, "30 frames")
            camera.kill()
            watch.until_state(0, "offline", 10.0)
            camera.start("--certificate", str(tmp_path / "camera.pem"))
            watch.until_fresh(0, 10.0)
    finally:
        camera.kill()


def test_rtsp_over_udp_on_request(tmp_path: Path) -> None:
    need_server()
    camera = RtspCamera(access_units(tmp_path / "h264", "h264", range(60)))
    camera.start()
    try:
        with Watch([Source("c0", camera.url, transport="udp")], stall_s=5.0) as watch:
            watch.until_fresh(0, 20.0)
            watch.until(lambda: watch.count[0] >= 30, 20.0, "30 frames")
            assert watch.capture.status()[0].bad_frames == 0
            batch = watch.images[0]
            assert 0 <= number_in(batch) < 60
    finally:
        camera.kill()


@pytest.mark.parametrize(("codec", "slices"), [("h264", 1), ("h264", 4), ("hevc", 1), ("hevc", 4), ("mpeg4", 1)])
def test_every_picture_of_a_stream_comes_whole_however_it_is_cut(tmp_path: Path, codec: str, slices: int) -> None:
    need_server()
    size = (640, 384)  # key pictures take several packets
    camera = RtspCamera(access_units(tmp_path / codec, codec, range(60), size, slices=slices), codec)
    camera.start()
    seen: list[int] = []
    try:
        with Capture([Source("c0", camera.url)]) as capture:
            deadline = time.monotonic() + 30.0
            while len(seen) < 75:  # first joined by time, then as soon as they are whole
                assert time.monotonic() < deadline, capture.status()
                batch = capture.take(0.1)
                if batch is not None:
                    seen += [number_in(image) for image in batch.images]
            status = capture.status()[0]
        assert status.bad_frames == 0
        steps = {(after - before) % 60 for before, after in itertools.pairwise(seen[-30:])}
        assert steps == {1} or status.dropped
    finally:
        camera.kill()


def test_a_device_that_is_not_there_is_offline_and_waited_for() -> None:
    with Watch([Source("c0", "/dev/video987")], stall_s=1.0) as watch:
        watch.until_state(0, "offline", 10.0)

"""What a source can be, and that its login is never shown."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.capture import Capture, Source
from spoton_edge.capture import reader as reader_module
from spoton_edge.capture.batcher import Batcher
from spoton_edge.capture.reader import Camera, Pace, Reader, event_queue
from spoton_edge.capture.source import Kind, redact, scrub
from spoton_edge.capture.stamps import RecordedClock
from spoton_edge.capture.video import RefusedError, SilentError, SourceError, Video
from spoton_edge.cli import main
from spoton_edge.errors import CredentialError, ExitCode
from tests.footage import write_clip


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("rtsp://10.0.0.9/stream1", Kind.STREAM),
        ("https://cam.example/video.m3u8", Kind.STREAM),
        ("/dev/video0", Kind.DEVICE),
        ("c09/rgb/%06d.jpg", Kind.SEQUENCE),
        ("clip 100%.mp4", Kind.FILE),
        ("/data/%d/clip.mp4", Kind.FILE),
        ("file:///data/clip.mp4", Kind.FILE),
        ("test:", Kind.PATTERN),
    ],
)
def test_the_kind_of_a_source_is_seen_from_its_name(url: str, kind: Kind) -> None:
    source = Source("c", url)
    assert source.kind is kind
    assert source.recorded == (kind in (Kind.FILE, Kind.SEQUENCE, Kind.PATTERN))


def test_a_login_comes_from_a_credential_file_and_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cam9").write_text("admin:p@ss:w/rd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Source("c", "rtsp://{cred:cam9}@10.0.0.9/s").resolved() == "rtsp://admin:p%40ss%3Aw%2Frd@10.0.0.9/s"


def test_a_login_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM9", "admin:secret")
    assert Source("c", "rtsp://{env:CAM9}@10.0.0.9/s").resolved() == "rtsp://admin:secret@10.0.0.9/s"


@pytest.mark.parametrize("name", ["cam9", "../outside", "folder"])
def test_an_absent_credential_is_one_line_that_says_how_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here" / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("a:b")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "here"))
    url = f"rtsp://{{cred:{name}}}@127.0.0.1/s"
    if name == "../outside":  # not a credential's name at all: left as it stands, nothing is read
        assert Source("c09", url).resolved() == url
        return
    with pytest.raises(CredentialError, match=rf"camera c09: .*credential {name}.*") as raised:
        Capture([Source("c09", url)]).start()
    assert raised.value.exit_code is ExitCode.MISSING
    assert "\n" not in str(raised.value)


def test_without_a_credentials_directory_or_variable_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(CredentialError, match="spoton-edge credential set x"):
        Source("c09", "rtsp://{cred:x}@h/s").resolved()
    monkeypatch.delenv("NO_SUCH_LOGIN", raising=False)
    with pytest.raises(CredentialError, match="NO_SUCH_LOGIN"):
        Source("c09", "rtsp://{env:NO_SUCH_LOGIN}@h/s").resolved()


WORD = st.text("abcXYZ0189_.!$&'()*+,;=%-", min_size=1, max_size=12)


@given(WORD, st.text("QRSTUVWqrstuvw456", min_size=4, max_size=12))
def test_a_login_is_never_shown(user: str, password: str) -> None:
    url = f"rtsp://{user}:{password}@10.0.0.9:554/stream?token={password}#x"
    assert password not in Source("c", url).shown
    assert "10.0.0.9:554/stream" in Source("c", url).shown
    assert password not in scrub(f"cannot open {url}: {user}:{password} is wrong, {password} too", url)
    assert password not in redact(f"two: {url} and {url}")


def test_an_unreachable_camera_shows_no_login(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LOGIN", "operator:hunter2")
    with Capture([Source("c09", "rtsp://{env:LOGIN}@127.0.0.1:1/stream")]) as capture:
        while capture.status()[0].state == "connecting":
            threading.Event().wait(0.01)
        assert capture.status()[0].state == "offline"
        assert [event.detail for event in capture.events()] == ["offline"]
        shown = caplog.text + repr(capture.status()) + repr(threading.enumerate())
    assert "c09" in caplog.text
    assert "hunter2" not in shown
    assert "operator" not in shown


def lone_reader(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[Reader, Camera]:
    """A reader whose source fails with `error` whenever it is opened."""

    def fail(*_: object, **__: object) -> Video:
        raise error

    monkeypatch.setattr(reader_module, "Video", fail)
    camera = Camera(0, Source("c09", "rtsp://10.0.0.9/s"), event_queue())
    return Reader([camera], Batcher(1, 1), Pace(5.0, False, RecordedClock(), False)), camera


def test_attempts_back_off_with_jitter_to_four_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, camera = lone_reader(monkeypatch, SourceError("no route"))
    waits = [reader._attempt() or 0.0 for _ in range(12)]
    for wait, most in zip(waits, [0.5, 1, 2, 4] + [4] * 8, strict=True):
        assert most / 2 <= wait <= most
    assert len(set(waits)) == len(waits)
    assert camera.state == "offline"
    reader.retry()
    assert (reader._attempt() or 0.0) <= 0.5


def test_a_refused_login_is_left_alone_for_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, camera = lone_reader(monkeypatch, RefusedError("401"))
    waits = [reader._attempt() or 0.0 for _ in range(7)]
    for wait, least in zip(waits, [60, 120, 240, 480, 900, 900, 900], strict=True):
        assert least <= wait <= 1.1 * least
    assert camera.state == "refused"
    reader.retry()
    assert (reader._attempt() or 0.0) <= 66


def test_silence_of_a_camera_that_never_delivered_is_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, camera = lone_reader(monkeypatch, SilentError("silent"))
    reader._attempt()
    assert camera.state == "offline"
    camera.state = "live"
    reader._attempt()
    assert camera.state == "stalled"


def test_a_fault_in_one_reader_is_logged_and_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader, camera = lone_reader(monkeypatch, KeyError("oops"))
    assert reader._attempt() is not None
    assert camera.state == "offline"
    assert "KeyError" in caplog.text


def test_a_wish_for_cuda_where_there_is_none_is_one_line_and_decodes_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("spoton_edge.capture.capture.cuda_problem", lambda: "no driver")
    clip = str(write_clip(tmp_path / "a.avi", range(4)))
    sources = [Source("a", clip, decode="cuda"), Source("b", clip, decode="auto"), Source("c", clip, decode="cpu")]
    with Capture(sources, pace="fast") as capture:
        assert sum(len(batch) for batch in capture) == 12
    lines = [record.getMessage() for record in caplog.records if "cuda" in record.getMessage()]
    assert lines == ["camera a: decode: cuda is not possible here (no driver); decoding on the CPU"]


def test_the_snapshot_verb_saves_a_picture_or_says_in_one_line_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_SUCH_LOGIN", raising=False)
    clip = write_clip(tmp_path / "a.avi", range(3))
    site = tmp_path / "site.yaml"
    site.write_text(
        f"cameras:\n"
        f"  - {{name: c1, source: '{clip}', crop: [0, 0, 64, 96]}}\n"
        f"  - {{name: c2, source: 'rtsp://{{env:NO_SUCH_LOGIN}}@127.0.0.1:1/x'}}\n"
        f"  - {{name: c3, source: 'rtsp://me:secret@127.0.0.1:1/x'}}\n"
    )
    out = tmp_path / "c.jpg"
    assert main(["snapshot", str(site), "c1", str(out)]) == ExitCode.STOPPED
    assert out.is_file()
    assert "64x96" in capsys.readouterr().out
    for camera, code, says in (
        ("c2", ExitCode.MISSING, "NO_SUCH_LOGIN"),
        ("c3", ExitCode.UNEXPECTED, "Connection refused"),
        ("c4", ExitCode.USAGE, "c1, c2, c3"),
    ):
        assert main(["snapshot", str(site), camera, str(tmp_path / "none.jpg")]) == code
        said = capsys.readouterr().err
        assert says in said
        assert "secret" not in said
        assert said.count("\n") == 1
    assert not (tmp_path / "none.jpg").exists()

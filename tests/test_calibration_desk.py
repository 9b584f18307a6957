"""What the calibrator's server answers: to its page, to drafts that are none, and to whoever has no token."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.calibration.desk import Desk
from spoton_edge.calibration.draft import Draft
from spoton_edge.calibration.files import ChangedError
from spoton_edge.cli import main
from spoton_edge.errors import CameraError, UsageError
from spoton_edge.lens import Lens
from tests.e2e.painted import CAMERAS, CROSSES, crosses, paint
from tests.web import Served, serving


def points(name: str) -> list[list[float]]:
    pixels = crosses(name)
    seen = np.isfinite(pixels).all(axis=1)
    return np.column_stack([pixels[seen], np.array(CROSSES)[seen]]).round(2).tolist()


def draft(at: Desk, **cameras: dict) -> Draft:
    return Draft.parse(json.dumps({"read": at.open()["read"], "cameras": cameras}).encode())


def of(name: str, **more) -> dict:
    return {"points": points(name), "image_size": [1280, 720], **more}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(paint(tmp_path, plan=True))


def test_the_page_is_told_the_site_and_shown_its_pictures(desk):
    site = desk.open()
    assert [(c["name"], c["kind"], c["points"]) for c in site["cameras"]] == [("door", None, []), ("desk", None, [])]
    assert site["floor"] == {"plan": True, "pixels_per_metre": 80.0, "origin_px": [0.0, 720.0], "y_down": False}
    assert desk.picture("door").startswith(b"\xff\xd8\xff")
    assert desk.plan()[1] == "image/png"


def test_a_draft_is_judged_with_all_that_is_drawn_of_it(desk):
    answer = desk.judge(
        draft(desk, door=of("door", region=[[100, 300], [1200, 320], [1200, 700], [100, 700]]), desk=of("desk"))
    )
    door = answer["cameras"][0]
    assert (door["grade"], len(door["points"]), door["reasons"]) == ("good", len(points("door")), [])
    assert max(point["off_m"] for point in door["points"]) < 0.02
    assert {line["axis"] for line in door["grid"]} == {0, 1}
    assert len(door["veil"]["trusted"]) == door["veil"]["columns"] * door["veil"]["rows"]
    assert len(door["region"]) > 10
    assert np.allclose(door["camera"], (1.0, -3.0), atol=0.2)
    (pair,) = answer["pairs"]
    assert (pair["grade"], pair["count"]) == ("good", 8)


@pytest.mark.parametrize("distortion", [(), (-0.2, 0.05, 0, 0)])
def test_a_pixel_and_its_place_are_shown_in_both_pictures_with_a_persons_height(tmp_path, distortion):
    path = paint(tmp_path)
    k = np.array([[760, 0, 640], [0, 760, 360], [0, 0, 1.0]])
    pose = np.linalg.solve(k, CAMERAS["door"].projection)
    camera = {"matrix": k.tolist(), "distortion": list(distortion), "rotation": pose[:, :3].tolist()}
    camera["translation"] = pose[:, 3].tolist()
    ground = f"    ground: {{camera: {json.dumps(camera)}, image_size: [1280, 720]}}\n"
    path.write_text(path.read_text().replace("door.png\n", "door.png\n" + ground))
    desk = Desk(path)
    assert desk.place("door", uv=(640, 400)) == {"uv": None, "xy": None, "head": None}  # not judged yet
    desk.judge(draft(desk))
    there = desk.place("door", xy=(6.0, 4.0))
    assert np.allclose(desk.place("door", uv=there["uv"])["xy"], (6.0, 4.0), atol=0.02)
    lens = Lens(k, distortion)
    foot, head = (CAMERAS["door"].pixel(np.array([[6.0, 4.0, z]]))[0] for z in (0.0, 1.75))
    assert np.allclose(there["uv"], lens.bend(foot)[0], atol=0.1)
    assert np.allclose(there["head"], lens.bend(head)[0], atol=0.1)
    assert desk.place("door", uv=(640, 5))["xy"] is None  # the sky


@pytest.mark.parametrize(("count", "words"), [(0, "not calibrated"), (3, "3 of at least 4 points")])
def test_too_few_points_are_no_calibration_and_are_kept_out_of_the_file(desk, count, words):
    few = draft(desk, door=of("door") | {"points": points("door")[:count]}, desk=of("desk"))
    door = desk.judge(few)["cameras"][0]
    assert door["grade"] is None
    assert words in door["reasons"][0]
    answer = desk.save(few, confirmed=False)
    assert answer["saved"]
    assert answer["unfinished"] == (["door"] if count else [])
    assert [camera.ground is None for camera in desk._site.cameras] == [True, True]
    desk.open()
    assert [camera.ground is None for camera in desk._site.cameras] == [True, False]


NUMBER = st.one_of(st.floats(-1e9, 1e9, allow_nan=False), st.integers(0, 3).map(float), st.floats(0, 1280))
ANY_POINTS = st.lists(st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).map(list), max_size=7)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=ANY_POINTS)
@pytest.mark.filterwarnings("error")
def test_whatever_is_clicked_and_typed_has_a_verdict_that_can_be_sent(desk, table):
    answer = desk.judge(draft(desk, door=of("door") | {"points": table}))
    door = json.loads(json.dumps(answer, allow_nan=False))["cameras"][0]
    assert door["grade"] in (None, "good", "usable", "refuse")
    assert door["reasons"] or door["grade"] == "good"


def test_points_that_replace_a_calibrated_camera_keep_its_lens(tmp_path):
    path = paint(tmp_path)
    lens = {"matrix": [[900, 0, 640], [0, 900, 360], [0, 0, 1]], "distortion": [0.01, 0, 0, 0]}
    pose = lens | {"rotation": [0.1, 0.2, 0.3], "translation": [0, 0, 5]}
    path.write_text(
        path.read_text().replace(
            "door.png\n", f"door.png\n    ground: {{camera: {json.dumps(pose)}, image_size: [1280, 720]}}\n"
        )
    )
    desk = Desk(path)
    assert desk.save(draft(desk, door=of("door")), confirmed=True)["saved"]
    ground = config.load(path).cameras[0].ground
    assert (ground.camera, ground.lens.distortion) == (None, (0.01, 0, 0, 0))
    assert np.allclose(ground.points, points("door"))


def test_a_file_that_is_another_now_is_not_written(desk, tmp_path):
    old = draft(desk, door=of("door"))
    (tmp_path / "site.yaml").write_text((tmp_path / "site.yaml").read_text() + "# by somebody else\n")
    with pytest.raises(ChangedError):
        desk.save(old, confirmed=True)
    assert not (tmp_path / "site.yaml.bak").exists()


def test_a_file_that_is_gone_or_a_folder_that_takes_none_is_told_in_one_line(desk, tmp_path, monkeypatch):
    mine = draft(desk, door=of("door"))
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(UsageError, match=r"site\.yaml: cannot be written \(No space left on device\)"):
            desk.save(mine, confirmed=True)
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")]
    (tmp_path / "site.yaml").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        desk.save(mine, confirmed=True)


def test_a_camera_of_another_shape_than_its_calibration_is_refused_once_its_picture_is_seen(desk):
    wide = draft(desk, door=of("door") | {"image_size": [1280, 960]})
    assert desk.judge(wide)["cameras"][0]["grade"] == "good"
    desk.picture("door")
    assert "another shape" in desk.judge(wide)["cameras"][0]["reasons"][0]


def test_a_source_that_cannot_be_opened_says_so(desk, tmp_path):
    (tmp_path / "door.png").unlink()
    with pytest.raises(CameraError, match="camera door"):
        desk.picture("door")
    with pytest.raises(UsageError, match="there is no camera hall"):
        desk.picture("hall")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b'{"read": "", "cameras": {"door": {"points": [[1, 2, 3]]}}}', "door.points.0: needs 4 entries"),
        (b'{"read": "", "cameras": {"door": {"points": [[1, 2, 3, NaN]]}}}', "door.points.0.3"),
        (b'{"read": "", "cameras": {"door": {"region": [[0, 0], [9, 9], [9, 0], [0, 9]]}}}', "crosses the side"),
        (b'{"read": "", "cameras": {"door": {"source": "rtsp://elsewhere"}}}', "door.source"),
    ],
)
def test_what_is_no_draft_is_told_in_one_line(body, words):
    with pytest.raises(UsageError) as caught:
        Draft.parse(body)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = paint(tmp_path_factory.mktemp("served"))
    with serving("-m", "spoton_edge", "calibrate", "serve", str(site), "--bind", "127.0.0.1:0") as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/site", "/picture/door", "/judge", "/save"])
def test_without_the_token_nothing_is_shown_and_nothing_saved(served, path):
    method = "POST" if path in ("/judge", "/save") else "GET"
    assert served.ask(path, method=method, body=b"{}").status == 401


def test_with_the_token_only_its_own_page_may_save(served):
    body = json.dumps({"read": "x", "cameras": {}}).encode()
    assert served.ask("/save", method="POST", body=body, cookie=served.cookie()).status == 409
    foreign = served.ask("/save", method="POST", body=body, cookie=served.cookie(), origin="http://evil.example")
    assert foreign.status == 403
    assert served.ask("/save", cookie=served.cookie()).status == 405


def test_a_request_that_asks_for_too_much_or_for_nonsense_is_a_line_of_json(served):
    for path, body in (("/judge", b"[" * 2_000_000), ("/judge", b"{}"), ("/save", b"null")):
        answer = served.ask(path, method="POST", body=body, cookie=served.cookie())
        assert answer.status == 400
        assert "\n" not in json.loads(answer.body)["error"]
    for query in ("", "?u=1", "?u=nan&v=1", "?x=1e9&y=0", "?u=a&v=b"):
        assert served.ask(f"/place/door{query}", cookie=served.cookie()).status == 400
    missing = served.ask("/picture/nobody", cookie=served.cookie())
    assert (missing.status, json.loads(missing.body)["error"]) == (
        400, "there is no camera nobody; was it renamed? load the site anew",
    )  # fmt: skip


def test_every_file_of_the_page_is_served_with_its_type(served):
    for name, kind in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
        answer = served.ask(name, cookie=served.cookie())
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)


def test_the_calibrator_is_for_this_machine_only(tmp_path, capsys):
    site = paint(tmp_path)
    assert main(["calibrate", "serve", str(site), "--bind", "0.0.0.0:0"]) == 2
    assert "for this machine only" in capsys.readouterr().err
    (tmp_path / "site.yaml").write_text("cameras: 7")
    assert main(["calibrate", "serve", str(site), "--bind", "127.0.0.1:0"]) == 2
    assert "site.yaml:1: cameras: must be a list" in capsys.readouterr().err

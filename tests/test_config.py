"""The site file: what loads, what is refused, and in which words.

`python -m tests.test_config` renews README's table.
"""

import copy
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.config import changes, geometry
from spoton_edge.config.outline import fields_at
from spoton_edge.config.sections import Site
from spoton_edge.errors import ConfigError, ExitCode

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "calibration" / "example-site.yaml"
DEMO = ROOT / "calibration" / "demo-site.yaml"
README = ROOT / "README.md"
MARKERS = ("<!-- config -->", "<!-- /config -->")

ONE_CAMERA = "cameras:\n  - {name: c1, source: c1.mp4}\n"

# The example of the design as it stands there, with numbers where it has dots.
DESIGN = """\
site: lobby
box: lobby-1
ground: {map: floorplan.png, pixels_per_metre: 100, origin_px: [0, 0], axes: y_up}
cameras:
  - name: c09
    source: rtsp://{cred:c09}@10.0.0.9/stream1
    decode: auto
    transport: tcp
    crop: [0, 0, 448, 576]
    clock_offset_ms: 0
    ground:
      homography: [[0.0537, -0.606, 88.9], [-0.14, -0.402, 121.0], [0.00091, 0.0197, 1.0]]
      image_size: [448, 576]
    region: [[0, 100], [447, 100], [447, 575], [0, 575]]
    handoff:
      - {zone: lower_left, to: c13, enter: upper_right, travel_s: [0.5, 20]}
  - {name: c13, source: c13.mp4}
detector: {model: yolox-nano, input: [416, 416], min_score: 0.1, every: 1}
tracker:  {high_score: 0.5, low_score: 0.1, new_score: 0.6, match_limit: 0.8, buffer_s: 1.0}
reid:     {model: null, crops_per_batch: 32, refresh_s: 1.0}
identity: {max_speed_mps: 3.0, forget_s: 120, resume_s: 10}
publish:  {bind: [tcp://127.0.0.1:5591], snapshot: tcp://127.0.0.1:5592, format: json, boxes: true, preview: false,
           insecure: false}
runtime:  {backend: auto, watch: false, sync_window_ms: 100, stall_s: 5, control: auto}
uplink:   {server: null, pose: [0, 0, 0], border: [], share_appearance: false}
"""


@pytest.fixture
def site_file(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "site.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems(path: Path) -> list[str]:
    """The faults that stop a load, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.exit_code == ExitCode.USAGE
    assert all("\n" not in line and line.startswith(str(path)) for line in caught.value.problems)
    return [line.removeprefix(f"{path}:").lstrip() for line in caught.value.problems]


# --- what loads ---


def test_a_name_and_a_source_are_enough(site_file):
    site = config.load(site_file(ONE_CAMERA))
    assert [camera.name for camera in site.cameras] == ["c1"]
    assert site.detector.input == (416, 416)
    assert site.publish.bind == ("tcp://127.0.0.1:5591",)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", site.box)


def test_the_example_site_loads_and_has_every_key():
    site = config.load(EXAMPLE)
    assert [camera.name for camera in site.cameras] == ["c09", "c13", "c14", "corridor"]
    text = EXAMPLE.read_text()
    keys = {line.split("|")[1].strip(" `") for line in config.reference().splitlines() if line.startswith("| `")}
    absent = {key for key in keys if not re.search(rf"\b{key}: ?", text)}
    assert not absent


def test_the_example_site_shows_the_defaults():
    given_, default = config.load(EXAMPLE), Site.model_validate({"cameras": [{"name": "a", "source": "b"}]})
    for section in ("ground", "detector", "tracker", "reid", "identity", "publish", "runtime", "uplink"):
        assert getattr(given_, section) == getattr(default, section)


def test_the_ways_to_calibrate_in_the_example_agree_on_the_ground():
    by_name = {camera.name: camera.ground for camera in config.load(EXAMPLE).cameras}
    mark = np.array([10.0, 6.0])  # a mark of the floor that the example's three cameras see
    seen = np.linalg.inv(by_name["c09"].homography) @ [*mark, 1]
    assert np.allclose(seen[:2] / seen[2], [1330.6, 422.9], atol=0.1)
    assert (1068.8, 572.5, *mark) in by_name["c13"].points
    seen = np.array(by_name["c14"].projection) @ [*mark, 0, 1]
    assert np.allclose(seen[:2] / seen[2], [693.3, 400.9], atol=0.1)


def test_the_demo_site_takes_its_clip_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPOTON_DEMO_VIDEO", "/somewhere/clip.avi")
    site = config.load(DEMO)
    assert {camera.source for camera in site.cameras} == {"/somewhere/clip.avi"}
    assert {camera.name: camera.crop for camera in site.cameras} == {"W": (0, 0, 448, 576), "E": (320, 0, 768, 576)}


def test_the_two_cameras_of_the_demo_agree_on_the_ground(monkeypatch):
    monkeypatch.setenv("SPOTON_DEMO_VIDEO", "clip.avi")
    west, east = (np.array(camera.ground.homography) for camera in config.load(DEMO).cameras)
    a, b = west @ [400.0, 300.0, 1], east @ [80.0, 300.0, 1]  # one pixel of the clip in either crop
    assert np.allclose(a[:2] / a[2], b[:2] / b[2], atol=1e-6)


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("SPOTON_DEMO_VIDEO", raising=False)
    lines = problems(DEMO)
    assert len(lines) == 2
    assert all("environment variable SPOTON_DEMO_VIDEO is not set" in line for line in lines)


def test_the_designs_example_is_taken_whole(site_file):
    site = config.load(site_file(DESIGN))
    assert site.cameras[0].source == "rtsp://{cred:c09}@10.0.0.9/stream1"
    assert site.cameras[0].handoff[0].travel_s == (0.5, 20.0)
    assert site.cameras[0].crop == (0, 0, 448, 576)


def test_a_site_cannot_be_changed(site_file):
    site = config.load(site_file(ONE_CAMERA))
    with pytest.raises(ValueError, match="frozen"):
        site.site = "other"


def test_equal_files_give_equal_sites(site_file):
    assert config.load(site_file(DESIGN.replace("rtsp", "/tmp/rtsp"))) == config.load(
        site_file("# moved down\n" + DESIGN.replace("rtsp", "/tmp/rtsp"))
    )


def test_paths_start_at_the_folder_of_the_file(site_file, monkeypatch):
    path = site_file(
        ONE_CAMERA + "ground: {map: plan.png}\ndetector: {model: nets/yolo.onnx}\nreid: {model: /r.onnx}\n"
    )
    monkeypatch.chdir(path.parent.parent)
    site = config.load(path.relative_to(path.parent.parent))
    assert site.cameras[0].source == str(path.parent / "c1.mp4")
    assert site.ground.map == str(path.parent / "plan.png")
    assert site.detector.model == str(path.parent / "nets/yolo.onnx")
    assert site.reid.model == "/r.onnx"


def test_a_model_by_name_stays_a_name(site_file):
    assert config.load(site_file(ONE_CAMERA + "reid: {model: osnet-x0.25}\n")).reid.model == "osnet-x0.25"


def test_an_empty_section_is_all_defaults(site_file):
    assert config.load(site_file(ONE_CAMERA + "tracker:\n")).tracker == config.Tracker()


def test_words_are_not_taken_for_other_things(site_file):
    site = config.load(site_file("site: no\nbox: 12-30\ncameras:\n  - {name: on, source: off}\n"))
    assert (site.site, site.box, site.cameras[0].name) == ("no", "12-30", "on")


def test_yes_and_no_switch_what_true_and_false_switch(site_file):
    site = config.load(site_file(ONE_CAMERA + "publish: {boxes: no, insecure: yes}\n"))
    assert (site.publish.boxes, site.publish.insecure) == (False, True)


def test_numbers_as_python_prints_them_are_numbers(site_file):
    text = ONE_CAMERA + "tracker: {low_score: 1e-05, buffer_s: 3}\nuplink: {pose: [1E3, -.5, +2.]}\n"
    site = config.load(site_file(text))
    assert site.tracker.low_score == 1e-05
    assert site.tracker.buffer_s == 3.0
    assert site.uplink.pose == (1000.0, -0.5, 2.0)


def test_cameras_may_share_what_is_equal_by_an_alias(site_file):
    text = "cameras:\n  - &first {name: a, source: x.mp4, decode: cpu}\n  - {<<: *first, name: b}\n"
    first, second = config.load(site_file(text)).cameras
    assert (second.name, second.source, second.decode) == ("b", first.source, "cpu")


def test_a_zone_is_a_quadrant_or_a_polygon(site_file):
    text = "cameras:\n  - name: a\n    source: a.mp4\n    handoff: [{zone: [[0, 0], [9, 0], [0, 9]], to: b}]\n"
    site = config.load(site_file(text + "  - {name: b, source: b.mp4}\n"))
    assert site.cameras[0].handoff[0].zone == ((0, 0), (9, 0), (0, 9))


# --- what is refused, and how ---

CASES = {
    "a typo in a key": ("trackr: {}", "3: trackr: unknown key; did you mean 'tracker'?"),
    "a typo deep in a list": (
        "\n    handof: []",
        "4: cameras[0].handof: unknown key; did you mean 'handoff'?",
    ),
    "a key of another section": ("every: 2", "3: every: unknown key here; it belongs in detector"),
    "a typo in a choice": (
        "publish:\n  format: jsno",
        "4: publish.format: 'jsno' is not one of json, msgpack; did you mean 'json'?",
    ),
    "a text for a number": (
        "runtime: {stall_s: 5s}",
        "3: runtime.stall_s: must be a number, not '5s'; write it without quotes or units",
    ),
    "a number for a name": ("site: 7", "3: site: must be text, not 7; put it in quotes"),
    "a name with a space": (
        "site: my lobby",
        "3: site: 'my lobby' is no name; use 1 to 64 letters, digits, '_' and '-', the first a letter or digit",
    ),
    "a fraction for a count": (
        "detector: {every: 1.5}",
        "3: detector.every: must be a whole number, not 1.5; correct the value",
    ),
    "a number out of range": (
        "tracker: {match_limit: 1.5}",
        "3: tracker.match_limit: must be at most 1, not 1.5; correct the value",
    ),
    "not a number": (
        "runtime: {stall_s: .nan}",
        "3: runtime.stall_s: must be a finite number, not nan; correct the value",
    ),
    "a low score above the high one": (
        "tracker:\n  high_score: 0.3\n  low_score: 0.4",
        "5: tracker.low_score: 0.4 is above high_score, 0.3; lower it or raise high_score",
    ),
    "a default low score above the high one": (
        "tracker:\n  high_score: 0.05",
        "3: tracker.low_score: 0.1 is above high_score, 0.05; lower it or raise high_score",
    ),
    "an input size that the network cannot take": (
        "detector: {input: [416, 400]}",
        "3: detector.input: [416, 400] is not in multiples of 32; the nearest is [416, 384]",
    ),
    "an address open to the network": (
        "publish:\n  bind:\n    - ipc:///tmp/x\n    - tcp://0.0.0.0:5591",
        "6: publish.bind[1]: 'tcp://0.0.0.0:5591' can be reached by other machines, unencrypted and by anyone; bind "
        "to 127.0.0.1 or ipc://, name publish.keys, or set publish.insecure: true",
    ),
    "one endpoint for two things": (
        "publish:\n  snapshot: tcp://127.0.0.1:7\n  bind: [tcp://127.0.0.1:7]",
        "4: publish.snapshot: 'tcp://127.0.0.1:7' is already used on line 5; give each its own",
    ),
    "an endpoint without a port": (
        "publish: {snapshot: tcp://127.0.0.1}",
        "3: publish.snapshot: is no endpoint; write tcp://ADDRESS:PORT, as in tcp://127.0.0.1:5591, or ipc:///PATH",
    ),
    "no endpoint at all": ("publish: {bind: []}", "3: publish.bind: is an empty list; give at least one"),
    "a control socket on the network": (
        "runtime: {control: tcp://127.0.0.1:1}",
        "3: runtime.control: must be 'auto' or ipc:///PATH: who may use it is decided by the file's permissions",
    ),
    "an equal key": ("site: a\nsite: b", "4: site: is given twice, first on line 3; remove one"),
    "a key of the wrong sort": ("[a, b]: 1", "3: a key must be a plain word followed by ': '"),
    "a tag": ("site: !!python/name:os.system x", "3: site: the tag 'tag:yaml.org,2002:python/name:os.system' is not"),
    "a value that belies its tag": ("detector: {every: !!int x}", "3: detector.every: 'x' cannot be read as the tag"),
    "a list for a mapping": ("tracker: [1]", "3: tracker: must be a mapping, not a list of 1; correct the value"),
    "a crop that holds nothing": (
        "\n    crop: [0, 0, 0, 9]",
        "4: cameras[0].crop: [0, 0, 0, 9] is empty; give [x0, y0, x1, y1] with x0 < x1 and y0 < y1 (x1, y1 not "
        "included)",
    ),
    "a crop of three": ("\n    crop: [0, 0, 9]", "4: cameras[0].crop: needs 4 entries [x0, y0, x1, y1], has 3"),
    "a homography of two rows": (
        "\n    ground: {homography: [[2, 0, 0], [0, 2, 0]]}",
        "4: cameras[0].ground.homography: needs 3 entries [1st row, 2nd row, 3rd row], has 2",
    ),
    "three points": (
        "\n    ground: {points: [[0, 0, 0, 0], [9, 0, 1, 0], [0, 9, 0, 1]]}",
        "4: cameras[0].ground.points: a homography needs 4 to 1000 points [u, v, x, y], here are 3",
    ),
    "a word among the points": (
        "\n    ground:\n      points:\n        - [0, 0, 0, 0]\n        - [9, 0, one, 0]",
        "7: cameras[0].ground.points[1][2]: must be a number, not 'one'",
    ),
    "two calibrations": (
        "\n    ground: {homography: [[0, 1, 0], [1, 0, 0], [0, 0, 1]], projection: [[1, 0, 0, 1], [0, 1, 0, 1], "
        "[0, 0, 1, 1]]}",
        "4: cameras[0].ground: has homography and projection; give exactly one of homography, points, projection",
    ),
    "no calibration": ("\n    ground: {}", "4: cameras[0].ground: has no calibration; give exactly one of"),
    "a size that is none": (
        "\n    ground: {image_size: [0, 9], homography: [[0, 1, 0], [1, 0, 0], [0, 0, 1]]}",
        "4: cameras[0].ground.image_size[0]: must be at least 1, not 0",
    ),
    "a calibration of another shape than the crop": (
        "\n    crop: [0, 0, 448, 576]\n    ground:\n      image_size: [768, 576]",
        "6: cameras[0].ground.image_size: [768, 576] has another shape than the crop, [448, 576]",
    ),
    "a polygon of two": ("\n    region: [[0, 0], [1, 1]]", "4: cameras[0].region: a polygon needs 3 to 200 corners"),
    "a source of an unknown kind": (
        "  - {name: d, source: 'ftp://x'}",
        "3: cameras[1].source: sources of the kind 'ftp://' are not known",
    ),
    "an unknown quadrant": (
        "\n    handoff: [{zone: lowerleft, to: c1}]",
        "4: cameras[0].handoff[0].zone: 'lowerleft' is not one of upper_left, upper_right, lower_left, lower_right; "
        "did you mean 'lower_left'?",
    ),
    "a handoff to nowhere": (
        "\n    handoff: [{zone: lower_left, to: C1}]",
        "4: cameras[0].handoff[0].to: there is no camera 'C1'; did you mean 'c1'?",
    ),
    "a handoff to itself": (
        "\n    handoff: [{zone: lower_left, to: c1}]",
        "4: cameras[0].handoff[0].to: is the camera itself; remove it",
    ),
    "a travel time that ends before it starts": (
        "\n    handoff: [{travel_s: [5, 1]}]",
        "4: cameras[0].handoff[0].travel_s: the shortest, 5.0 s, is more than the longest, 1.0 s; swap",
    ),
    "a second camera of the same name": (
        "  - {name: c1, source: b.mp4}",
        "3: cameras[1].name: 'c1' is already the camera of line 2; give each its own name",
    ),
    "a camera without a source": ("  - {name: c2}", "3: cameras[1].source: is missing; add a line 'source:"),
    "an empty camera": ("  -", "3: cameras[1].name: is missing; add a line 'name: c1'"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_line_key_and_remedy(site_file, case):
    text, expected = CASES[case]
    camera = "cameras:\n  - name: c1\n    source: c1.mp4" if text.startswith("\n") else ONE_CAMERA.rstrip()
    text = f"{camera}{text}\n" if text.startswith("\n") else f"{camera}\n{text}\n"
    lines = problems(site_file(text))
    assert any(line.startswith(expected) for line in lines), lines


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(site_file):
    text = "sit: a\ncameras:\n  - {name: a b, source: ''}\n  - {name: c, source: x.mp4, crop: [0]}\ntracker: 3\n"
    lines = problems(site_file(text))
    assert [line.partition(": ")[2].partition(": ")[0] for line in lines] == [
        "sit",
        "cameras[0].name",
        "cameras[0].source",
        "cameras[1].crop",
        "tracker",
    ]
    assert [int(line.partition(":")[0]) for line in lines] == [1, 3, 3, 4, 5]


def test_no_cameras_is_a_mistake(site_file):
    assert problems(site_file("site: a\n"))[0].startswith("1: cameras: is missing")
    assert problems(site_file("cameras: []\n")) == ["1: cameras: is an empty list; give at least one"]


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "ipc:///tmp/a"])
def test_what_only_this_machine_can_reach_needs_no_leave(site_file, endpoint):
    assert config.load(site_file(ONE_CAMERA + f"publish: {{bind: ['{endpoint}']}}\n")).publish.bind == (endpoint,)


@pytest.mark.parametrize("endpoint", ["tcp://*:1", "tcp://eth0:1", "tcp://[::]:1", "tcp://127.evil.org:1"])
def test_what_others_can_reach_needs_leave(site_file, endpoint):
    text = ONE_CAMERA + f"publish: {{bind: ['{endpoint}']}}\n"
    assert "publish.insecure: true" in problems(site_file(text))[0]
    assert config.load(site_file(text.replace("]}", "], insecure: true}"))).publish.bind == (endpoint,)


def test_what_others_can_reach_needs_no_leave_where_it_is_encrypted(site_file, tmp_path):
    publish = config.load(site_file(ONE_CAMERA + "publish: {bind: ['tcp://*:1'], keys: keys}\n")).publish
    assert publish.bind == ("tcp://*:1",)
    assert publish.keys == str(tmp_path / "keys")


# --- files that are no site files ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"\x7fELF\0\0\1", "is a binary file"),
        (b"site: a\nbox: \xff\n", "2: is not UTF-8 text"),
        (b"site: a\nbox: \x07\n", "2: an unprintable character"),
        (b"- a\n- b\n", "1: the file must be 'key: value' lines"),
        (b"just text\n", "1: the file must be 'key: value' lines"),
        (b"site: [a\nbox: b\n", "2:4: not valid YAML: "),
        (b"site: a\n\tbox: b\n", "2:1: not valid YAML: "),
        (b"cameras:\n  - name: a\n    source: test:\n", "3:17: not valid YAML: mapping values are not allowed here"),
        (b"site: *nowhere\n", "1:7: not valid YAML: found undefined alias 'nowhere'"),
        (b"a: 1\n---\nb: 2\n", "2:1: not valid YAML: "),
        (b"a: " + b"[" * 3000, "nested deeper than 20 levels"),
        (b"#" * (5 << 20), "is larger than 4 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_as_yaml_is_told_in_one_line(site_file, content, expected):
    lines = problems(site_file(content))
    assert len(lines) == 1
    assert lines[0].startswith(expected)


def test_a_missing_file_and_a_directory_are_told_in_one_line(tmp_path):
    assert problems(tmp_path / "none.yaml") == ["no such file; name the site's YAML file"]
    assert problems(tmp_path) == ["is a directory; name the site's YAML file in it"]


def test_a_file_that_may_not_be_read_is_told_in_one_line(site_file, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = site_file(ONE_CAMERA)
    monkeypatch.setattr(Path, "open", refuse)
    assert problems(path) == ["cannot be read (Permission denied); check the path and its permissions"]


def test_aliases_that_multiply_are_stopped(site_file):
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)]
    lines = problems(site_file("\n".join(["x0: &x0 [a, b]", *levels, ""])))
    assert lines == ["has more than 100000 entries (do aliases repeat each other?)"]


def test_an_alias_inside_itself_is_stopped(site_file):
    lines = problems(site_file("cameras: &all\n  - *all\n  - &m {<<: *m}\n"))
    assert any("contains itself" in line for line in lines)
    assert any("merges itself" in line for line in lines)


def test_a_fault_is_one_line_whatever_its_text(site_file):
    lines = problems(site_file('cameras: []\n"a\\nb": 1\nsite: "x\\u2028y\\e[31m"\nbox: "\\ud800"\n'))
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 4


# --- check, renamed keys, documentation ---


def test_check_tells_of_files_that_are_not_there(site_file, tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"x")
    text = (
        "cameras:\n  - {name: a, source: there.mp4}\n  - {name: b, source: gone.mp4}\n  - {name: c, source: .}\n"
        f"  - {{name: d, source: {'x' * 300}.mp4}}\nreid: {{model: gone.onnx}}\nground: {{map: there.mp4/plan.png}}\n"
    )
    path = site_file(text)
    config.load(path)
    lines = [line.removeprefix(f"{path}:") for line in config.check(path)]
    assert [line.partition(";")[0] for line in lines] == [
        f"3: cameras[1].source: no such file: {tmp_path}/gone.mp4",
        f"4: cameras[2].source: is not a file: {tmp_path}",
        f"5: cameras[3].source: cannot be read (File name too long): {tmp_path}/{'x' * 300}.mp4",
        f"6: reid.model: no such file: {tmp_path}/gone.onnx",
        f"7: ground.map: cannot be read (Not a directory): {tmp_path}/there.mp4/plan.png",
    ]


def test_check_tells_of_missing_files_beside_other_mistakes(site_file):
    lines = config.check(site_file(ONE_CAMERA + "sit: a\n"))
    assert ["no such file" in lines[0], "did you mean 'site'" in lines[1], len(lines)] == [True, True, 2]


def test_check_finds_nothing_wrong_with_a_good_site(site_file, tmp_path):
    (tmp_path / "c1.mp4").write_bytes(b"x")
    assert config.check(site_file(ONE_CAMERA)) == []


def test_check_tells_of_a_file_it_cannot_read(tmp_path):
    assert config.check(tmp_path / "none.yaml") == [f"{tmp_path}/none.yaml: no such file; name the site's YAML file"]


def test_an_old_name_is_taken_with_a_warning_that_names_the_new(site_file, monkeypatch, caplog):
    monkeypatch.setitem(changes.RENAMED, "cameras[].window", "cameras[].crop")
    monkeypatch.setitem(changes.RENAMED, "place", "site")
    path = site_file("place: hall\ncameras:\n  - name: a\n    source: a.mp4\n    window: [0, 0, 4, 5]\n")
    with caplog.at_level(logging.WARNING):
        site = config.load(path)
    assert (site.site, site.cameras[0].crop) == ("hall", (0, 0, 4, 5))
    assert {record.message for record in caplog.records} == {
        f"{path}:5: cameras[0].window: has a new name; write cameras[0].crop",
        f"{path}:1: place: has a new name; write site",
    }


def test_a_key_may_move_to_a_section_that_the_file_does_not_have(site_file, monkeypatch):
    monkeypatch.setitem(changes.RENAMED, "detector.gone_s", "identity.forget_s")
    site = config.load(site_file(ONE_CAMERA + "detector: {gone_s: 7}\n"))
    assert site.identity.forget_s == 7


def test_a_mistake_under_an_old_name_keeps_its_line(site_file, monkeypatch):
    monkeypatch.setitem(changes.RENAMED, "cameras[].window", "cameras[].crop")
    text = "cameras:\n  - name: a\n    source: a.mp4\n    window:\n      - x\n      - 0\n      - 4\n      - 5\n"
    assert problems(site_file(text))[0].startswith("5: cameras[0].crop[0]: must be a whole number, not 'x'")


def test_an_old_name_beside_the_new_is_a_mistake(site_file, monkeypatch):
    monkeypatch.setitem(changes.RENAMED, "place", "site")
    assert problems(site_file(ONE_CAMERA + "place: a\nsite: b\n")) == [
        "3: place: is the old name of site, also given; remove this one"
    ]


def test_every_new_name_exists_and_no_old_one_does():
    for old, new in changes.RENAMED.items():
        for key, exists in ((old, False), (new, True)):
            section, _, name = key.rpartition(".")
            loc = tuple(section.replace("[]", "").split(".")) if section else ()
            assert (name in fields_at(loc)) is exists


def test_the_schema_accepts_the_examples_and_refuses_a_typo(monkeypatch):
    monkeypatch.setenv("SPOTON_DEMO_VIDEO", "clip.avi")
    schema = json.loads(json.dumps(config.schema()))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for path in (EXAMPLE, DEMO):
        validator.validate(yaml.safe_load(path.read_text()))
    assert not validator.is_valid({"cameras": [{"name": "a", "sauce": "b"}]})
    assert not validator.is_valid({"cameras": []})


def test_every_key_of_the_schema_is_described():
    schema = config.schema()
    for section in (schema, *schema["$defs"].values()):
        for key, field in section["properties"].items():
            assert field.get("description"), key
            assert "default" in field or "x-default" in field or key in section["required"], key


def test_readme_has_the_reference_as_it_is():
    rest = README.read_text().partition(MARKERS[0])[2]
    block, closing, _ = rest.partition(MARKERS[1])
    assert closing, f"README.md needs the markers {MARKERS}"
    assert block.strip() == config.reference().strip(), "renew it: python -m tests.test_config"


def test_passwords_in_sources_are_not_shown(site_file):
    site = Site.model_validate(
        {
            "cameras": [
                {"name": "a", "source": "rtsp://me:secret@host/x"},
                {"name": "b", "source": "rtsp://{cred:b}@host/x"},
                {"name": "c", "source": "rtsp://host/x"},
                {"name": "d", "source": "RTSP://me:se@cret@host/x"},
                {"name": "e", "source": "http://host/x?user=me&password=secret"},
            ]
        }
    )
    shown = [camera["source"] for camera in yaml.safe_load(config.effective(site))["cameras"]]
    assert shown == [
        "rtsp://***@host/x",
        "rtsp://{cred:b}@host/x",
        "rtsp://host/x",
        "RTSP://***@host/x",
        "http://host/x?***",
    ]


@pytest.mark.parametrize(
    "mistyped", ["rtsp:/me:secret@host/x", "rtsp //me:se@cret@host/x", "me:sec/secret@host/%06d.jpg"]
)
def test_a_mistyped_url_shows_no_password(mistyped, site_file):
    (problem,) = config.check(site_file(f"cameras: [{{name: a, source: '{mistyped}'}}]\n"))
    assert "cameras[0].source: no such" in str(problem)
    assert "secret" not in str(problem)
    assert "cret@" not in str(problem)


# --- properties ---

WORDS = st.sampled_from(["no", "1e3", "007", "0x1F", "1_0", "null", "on", "12-30", "y", "1e-5", "2020-01-01", "a"])
NAMES = WORDS.filter(lambda word: word != "a") | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
NUMBERS = st.floats(0, 1, allow_subnormal=True)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True), score=NUMBERS, pose=st.tuples(NUMBERS, NUMBERS, NUMBERS)
)
def test_a_site_shown_in_full_loads_as_the_same_site(site_file, names, score, pose):
    site = Site.model_validate(
        {
            "site": names[0],
            "cameras": [{"name": name, "source": f"/{name}"} for name in names],
            "tracker": {"high_score": 1, "low_score": score},
            "uplink": {"pose": pose},
        }
    )
    assert config.load(site_file(config.effective(site))) == site


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["auto", "lower_left", "c13", "tcp://*:1", "${X}", "a/%d.jpg", "x.onnx", "%", "://", 10**400, "yes"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def containers(data: Any) -> list[Any]:
    """Every mapping and list of the data, itself included."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else []
    return ([data] if isinstance(data, dict | list) else []) + [c for value in inner for c in containers(value)]


def loads_or_tells(path: Path) -> None:
    """A site or faults in single printable lines; any other exception fails the test."""
    told: list[str] = []
    try:
        site = config.load(path)
    except ConfigError as error:
        told = error.problems
    if told:
        assert all(line.startswith(str(path)) and line.isprintable() for line in told)
        assert len(config.check(path)) >= len(told)
    else:
        path.write_text(config.effective(site))
        assert config.load(path) == site


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_site_with_values_replaced_loads_or_tells_why_not(site_file, data):
    site = copy.deepcopy(yaml.safe_load(EXAMPLE.read_text()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(containers(site)))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "add" and isinstance(place, dict):
            place[data.draw(st.text(max_size=6))] = data.draw(JUNK)
        elif action == "add":
            place.append(data.draw(JUNK))
        elif keys and action == "remove":
            del place[data.draw(st.sampled_from(keys))]
        elif keys:
            place[data.draw(st.sampled_from(keys))] = data.draw(JUNK)
    loads_or_tells(site_file(yaml.safe_dump(site, allow_unicode=True)))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_site_with_its_text_garbled_loads_or_tells_why_not(site_file, data):
    text = EXAMPLE.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.integers(0, 30)))
        filling = data.draw(st.text("\n \t:-[]{}&*!|>'\"%@`#,?0aé\x85\u2028", max_size=6))
        text = text[:start] + filling + text[stop:]
    loads_or_tells(site_file(text))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_load_or_tell_why_not(site_file, content):
    loads_or_tells(site_file(content))


# --- geometry ---


@pytest.mark.parametrize(
    ("corners", "fault"),
    [
        ([(0, 0), (4, 0), (4, 4), (0, 4)], None),
        ([(0, 0), (4, 0), (1, 1), (0, 4)], None),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "crosses"),
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], "crosses"),
        ([(0, 0), (1, 1), (2, 2)], "on one line"),
        ([(0, 0), (1, 0), (1, 1), (0, 0)], "given twice"),
        ([(0, 0), (1, 0)], "3 to 200 corners"),
    ],
)
def test_a_polygon_is_simple_and_has_an_area(corners, fault):
    found = geometry.polygon_fault(corners)
    assert (found is None) if fault is None else (found is not None and fault in found)


def _renew_readme() -> None:
    before, _, rest = README.read_text().partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    README.write_text(f"{before}{MARKERS[0]}\n{config.reference()}{MARKERS[1]}{after or os.linesep}")


if __name__ == "__main__":
    _renew_readme()

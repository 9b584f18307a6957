"""A site file is changed where it is meant to be, and every other byte of it stays."""

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge import config
from spoton_edge.calibration.edit import changed_text
from spoton_edge.calibration.files import ChangedError, replace_unless_changed
from spoton_edge.config.document import read
from spoton_edge.errors import UsageError

SITE = """\
# The lobby. Ask Ana before changing.
cameras:
  - name: c1   # above the door
    source: 'c1.mp4'
    ground:    # by Ana
      # tile corners, from the north wall
      points:
        - [102, 710, 0, 0]    # pillar
        - [1180, 655, 6, 0]
        - [820, 310, 6, 9]    # the plant
        - [310, 325, 0, 9]
      image_size: [1280, 720] # the sub stream

  # ---- second floor ----
  - {name: c2, source: c2.mp4, ground: {file: c2.yaml}} # flat
  - name: c3
    source: c3.mp4   # replaced in May
    region: [[0, 0],
             [9, 0], [9, 9]]  # the carpet
tracker: {buffer_s: 1.50}     # as it was
"""
POINTS = [[102, 710, 0, 0], [1181.5, 655, 6, 0], [820, 310, 6.1, 9], [310, 325, 0, 9], [500, 500, 3, 3]]
GROUND = {"points": POINTS, "image_size": [1280, 720]}


def parsed(tmp_path: Path, text: str) -> dict:
    (tmp_path / "parsed.yaml").write_text(text)
    return read(tmp_path / "parsed.yaml").data


def test_only_the_lines_of_a_changed_section_are_others():
    text = changed_text(SITE, {"c1": {"ground": GROUND}})
    assert text == SITE.replace(
        SITE[SITE.index("    ground:    # by Ana") : SITE.index("\n\n  # ---- second")],
        """\
    ground:  # by Ana
      # tile corners, from the north wall
      points:
      - [102, 710, 0, 0]  # pillar
      - [1181.5, 655, 6, 0]
      - [820, 310, 6.1, 9]  # the plant
      - [310, 325, 0, 9]
      - [500, 500, 3, 3]
      image_size: [1280, 720]  # the sub stream""",
    )


def test_what_a_camera_lacks_is_added_at_its_end(tmp_path):
    handoff = [{"zone": "lower_left", "to": "c1", "travel_s": [0.5, 20]}]
    text = changed_text(SITE, {"c3": {"ground": GROUND, "handoff": handoff}})
    data = parsed(tmp_path, text)
    assert data["cameras"][2]["ground"] == GROUND
    assert data["cameras"][2]["handoff"] == handoff
    assert text.startswith(SITE[: SITE.index("tracker:")])
    assert text.endswith(SITE[SITE.index("tracker:") :])


def test_a_camera_on_one_line_stays_on_one_line(tmp_path):
    text = changed_text(SITE, {"c2": {"ground": GROUND, "region": [[0, 0], [9, 0], [9, 9]]}})
    assert parsed(tmp_path, text)["cameras"][1]["ground"] == GROUND
    assert text.count("\n") == SITE.count("\n")
    assert "]]} # flat\n" in text
    assert parsed(tmp_path, changed_text(text, {"c2": {"ground": None}}))["cameras"][1] == {
        "name": "c2",
        "source": "c2.mp4",
        "region": [[0, 0], [9, 0], [9, 9]],
    }


def test_a_section_can_go(tmp_path):
    text = changed_text(SITE, {"c3": {"region": None}, "c1": {"ground": None}})
    data = parsed(tmp_path, text)
    assert [sorted(camera) for camera in data["cameras"]] == [["name", "source"], ["ground", "name", "source"],
                                                              ["name", "source"]]  # fmt: skip
    assert "# ---- second floor ----" in text


def test_lines_of_other_systems_end_as_they_did():
    text = changed_text(SITE.replace("\n", "\r\n"), {"c1": {"ground": GROUND}})
    assert text.count("\r\n") == text.count("\n") == SITE.count("\n") + 1


def test_what_is_shared_by_an_anchor_is_not_changed_for_all():
    shared = "cameras:\n- name: a\n  ground: &g {file: a.yaml}\n- name: b\n  ground: *g\n"
    for camera in "ab":
        with pytest.raises(UsageError, match="shared by a YAML anchor"):
            changed_text(shared, {camera: {"ground": GROUND}})
    with pytest.raises(UsageError, match="is not written out"):
        changed_text("x: &x {name: a}\ncameras:\n- <<: *x\n", {"a": {"ground": GROUND}})


KEYS = st.fixed_dictionaries(
    {},
    optional={
        "ground": st.one_of(
            st.none(), st.just(GROUND), st.just({"homography": [[0.1, 0.2, 3], [4, 5, 6.5], [0, 1, 1]]})
        ),
        "region": st.one_of(st.none(), st.just([[0, 0], [500.5, 0], [9, 9]])),
        "handoff": st.one_of(st.none(), st.just([{"zone": [[0, 0], [5, 0], [9, 9]], "to": "c1", "travel_s": [1, 2]}])),
        "clock_offset_ms": st.one_of(st.none(), st.just(-33.5)),
    },
)


@settings(deadline=None, max_examples=80)
@given(changes=st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), KEYS), again=st.booleans())
def test_any_change_is_what_the_file_says_afterwards_and_nothing_else_is(tmp_path_factory, changes, again):
    folder = tmp_path_factory.mktemp("edit")
    text = changed_text(SITE, changes)
    if again:
        text = changed_text(text, changes)
    wanted = parsed(folder, SITE)
    for camera in wanted["cameras"]:
        for key, value in changes.get(camera["name"], {}).items():
            if value is None:
                camera.pop(key, None)
            else:
                camera[key] = value
    assert parsed(folder, text) == wanted
    for comment in ("# The lobby. Ask", "# above the door", "# ---- second floor ----", "# flat", "# replaced in May"):
        assert text.count(comment) == 1


def test_a_file_is_replaced_whole_with_its_permissions_and_what_was_there_is_kept(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("old")
    path.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to(path)
    backup = replace_unless_changed(tmp_path / "link.yaml", "new", b"old")
    assert (path.read_text(), backup.read_text(), backup.name) == ("new", "old", "site.yaml.bak")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "link.yaml").is_symlink()
    with pytest.raises(ChangedError, match="nothing is written"):
        replace_unless_changed(path, "newer", b"old")
    assert (path.read_text(), backup.read_text()) == ("new", "old")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.yaml", "site.yaml", "site.yaml.bak"]


def test_the_example_site_survives_a_change_of_every_camera(tmp_path):
    example = Path(__file__).parents[1] / "calibration" / "example-site.yaml"
    text = example.read_text()
    names = [camera.name for camera in config.load(example).cameras]
    changed = changed_text(text, {name: {"ground": GROUND | {"image_size": [448, 576]}} for name in names})
    assert [camera["ground"]["points"] for camera in parsed(tmp_path, changed)["cameras"]] == [POINTS] * len(names)
    cameras = text.index("cameras:")
    assert changed[:cameras] == text[:cameras]
    rest = text[text.index("\ndetector:") :]
    assert changed.endswith(rest)

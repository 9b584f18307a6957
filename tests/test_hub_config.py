"""The file of a site of many boxes: what it says, and every fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoton_edge import config
from spoton_edge.errors import ConfigError, ExitCode
from spoton_edge.site_verbs import spelt_out

GOOD = """\
site: mall
boxes:
  - name: lobby
  - {name: hall, domain: hub}
links:
  - {leave: lobby/east, enter: hall/west, travel_s: [2, 15]}
"""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["site", "hub.yaml"], ["site", "serve", "hub.yaml"]),
        (["--log-level", "debug", "site", "hub.yaml"], ["--log-level", "debug", "site", "serve", "hub.yaml"]),
        (["site", "enroll", "box"], ["site", "enroll", "box"]),
        (["site", "--help"], ["site", "--help"]),
        (["site"], ["site"]),
        (["reload", "--site", "site"], ["reload", "--site", "site"]),
    ],
)
def test_a_site_is_served_without_a_word_for_it(given: list[str], meant: list[str]) -> None:
    assert spelt_out(given) == meant


def faults(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load_hub(path)
    assert caught.value.exit_code == ExitCode.USAGE
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


def test_a_site_of_two_boxes(tmp_path: Path) -> None:
    (tmp_path / "hub.yaml").write_text(GOOD + "nkey: hub.nk\n")
    hub = config.load_hub(tmp_path / "hub.yaml")
    assert [box.name for box in hub.boxes] == ["lobby", "hall"]
    assert (hub.links[0].leave, hub.links[0].travel_s) == ("lobby/east", (2.0, 15.0))
    assert hub.nkey == str(tmp_path / "hub.nk")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", " is empty; start with 'boxes:'"),
        ("- lobby\n", "1: the file must be 'key: value' lines at the top; start with 'boxes:'"),
        ("site: a\n", "1: boxes: is missing; add a line with 'boxes'"),
        (GOOD + "boxs: []\n", "7: boxs: unknown key; did you mean 'boxes'?"),
        (GOOD + "max_speed_mps: 2\n", "7: max_speed_mps: unknown key here; it belongs in identity"),
        ("boxes: [{name: a}, {name: a}]\n", "1: boxes[1].name: 'a' is already the name of a box; give each its own"),
        (
            GOOD.replace("lobby/east", "loby/east"),
            "6: links[0].leave: there is no box 'loby'; did you mean 'lobby'?",
        ),
        (
            GOOD + "publish: {bind: ['tcp://0.0.0.0:5591']}\n",
            "7: publish.bind[0]: 'tcp://0.0.0.0:5591' can be reached by other machines, unencrypted and by anyone; "
            "bind to 127.0.0.1 or ipc://, or set publish.insecure: true",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_remedy(tmp_path: Path, text: str, fault: str) -> None:
    assert faults(tmp_path / "hub.yaml", text) == [fault]

"""`make demo-site` from end to end: daemons, uplinks, servers, the site service and the live map, all real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from spoton_edge import models
from spoton_edge.demo import CLIP_VARIABLE
from tests.e2e.browser import chromium, opened
from tests.e2e.harness import lacking
from tests.e2e.nats import nats_server
from tests.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def namespaces() -> set[str]:
    try:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return set()
    return {line.split()[0] for line in listed.splitlines() if line.startswith("spoton-")}


def test_three_boxes_and_a_hub_show_the_people_of_all_on_one_map(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats_server()
    if not (models.cache_dir() / "models" / "yolox-nano.onnx").is_file():
        lacking("no yolox-nano in the cache: run spoton-edge models fetch yolox-nano")
    monkeypatch.setenv(CLIP_VARIABLE, str(clip))
    out, log, before = tmp_path / "map.png", tmp_path / "log", namespaces()
    command = [sys.executable, "-m", "spoton_edge", "demo-site", "--seconds", "20", "--out", str(out)]
    with log.open("wb") as said:
        demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        found = until(lambda: re.search(r"live map: (http://\S+)", log.read_text()), "the map's address", 90.0)
        with chromium() as browser, opened(browser, found[1]) as page:
            page.locator("#people li").nth(2).wait_for(timeout=60_000)
            page.locator("#log li", has_text="went from E to S").first.wait_for(timeout=60_000)
            cameras = page.locator("[data-camera]").evaluate_all("all => all.map((one) => one.dataset.camera)")
            ids = page.locator("#people b").all_inner_texts()
        assert demo.wait(timeout=120) == 0, log.read_text()
    finally:
        demo.terminate()
        demo.wait(timeout=30)
    assert cameras == ["W", "E", "S"]
    assert all(re.fullmatch(r"\d{4}", shown) for shown in ids)
    told = re.findall(r"(\d+) people on the site, (\d+) handoffs between boxes", log.read_text())
    people, handoffs = map(int, told[-1])
    assert people >= 5
    assert handoffs >= 3
    assert out.stat().st_size > 50_000
    assert namespaces() == before

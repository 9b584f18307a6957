"""How good real calibrations are, by the program's own commands: PETS, MultiviewX, CMC, and the laboratory of UFES."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge import config
from spoton_edge.calibration.annotations import MULTIVIEWX, foot_errors_m, read_annotations
from spoton_edge.calibration.judge import judge_site
from spoton_edge.cli import main as spoton_edge
from spoton_edge.ground_plane import FootModel, GroundPlane
from tests import ufes
from tests.conftest import SHARED

DATA = SHARED / "data"
DRAWS = 100


def command(*arguments: str | Path) -> str:
    """What `spoton-edge calibrate ...` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = spoton_edge(["calibrate", *map(str, arguments)])
    if code:
        sys.exit(f"calibrate {arguments[0]} ended with {code}:\n{out.getvalue()}")
    return out.getvalue()


def planes(path: Path) -> dict[str, GroundPlane]:
    return {v.camera: v.plane for v in judge_site(config.load(path)) if v.plane is not None}


def report(*arguments: str | Path) -> dict[str, Any]:
    return dict(json.loads(command(*arguments, "--json")))


def pets(folder: Path) -> None:
    rows = np.loadtxt(DATA / "pets09_s2l1_view1" / "gt" / "gt.txt", delimiter=",")
    rows = rows[rows[:, 6] == 1]
    uv, xy = np.column_stack([rows[:, 2] + rows[:, 4] / 2, rows[:, 3] + rows[:, 5]]), rows[:, 7:9]
    medians = []
    for seed in range(DRAWS):
        chosen = np.random.default_rng(seed).choice(len(uv), 8, replace=False)
        archive, out = folder / "homography_points_W.npz", folder / f"pets{seed}.yaml"
        np.savez(archive, image_points=uv[chosen], map_points=xy[chosen])
        spread = io.StringIO()
        with contextlib.redirect_stdout(spread):
            refused = spoton_edge(
                ["calibrate", "import", str(archive), "--image-size", "768", "576", "--out", str(out)]
            )
        if not refused:
            placed = planes(out)["W"].to_ground(np.delete(uv, chosen, axis=0))
            medians.append(float(np.median(np.linalg.norm(placed - np.delete(xy, chosen, axis=0), axis=1))))
    low, middle, high = 100 * np.percentile(medians, [5, 50, 95])
    print(f"PETS, 8 random feet of {len(uv)}, the others' median, {DRAWS} draws ({DRAWS - len(medians)} refused): "
          f"{middle:.1f} cm (5 % {low:.1f}, 95 % {high:.1f})")  # fmt: skip


def multiviewx(folder: Path) -> None:
    out = folder / "multiviewx.yaml"
    command("import", DATA / "multiviewx_sample", "--out", out)
    found = planes(out)
    annotated = read_annotations(DATA / "multiviewx_sample", list(found), MULTIVIEWX)
    medians = [100 * np.median(foot_errors_m(plane, annotated[name])) for name, plane in found.items()]
    print(f"MultiviewX, annotated feet, median of each view: {' '.join(f'{m:.1f}' for m in medians)} cm")


def cmc(folder: Path) -> None:
    out = folder / "cmc.yaml"
    command("import", DATA / "cmc" / "calib", "--image-size", "1920", "1024", "--out", out)
    for sequence in ("CMC1", "CMC2"):
        table = np.loadtxt(DATA / "cmc" / "gt_ground" / f"{sequence}.csv", delimiter=",", skiprows=1)
        medians = []
        for name, plane in planes(out).items():
            errors: list[float] = []
            with np.load(DATA / "cmc" / "det_fairmot" / sequence / f"Cam_{name[-1]}.npz") as archive:
                for key in archive.files:
                    if not archive[key].size:
                        continue
                    box = archive[key].reshape(-1, archive[key].shape[-1])[:, :4]
                    box = box[box[:, 3] < 0.995 * 1024]
                    people = table[table[:, 0] == int(key) + 1, 2:4]
                    if not len(people):
                        continue
                    placed = plane.to_ground(np.column_stack([(box[:, 0] + box[:, 2]) / 2, box[:, 3]]))
                    errors += [d for p in placed if (d := float(np.linalg.norm(people - p, axis=1).min())) < 1.0]
            medians.append(100 * np.median(errors))
        print(f"{sequence}, detected feet to the nearest person within 1 m, median of each view: "
              f"{' '.join(f'{m:.1f}' for m in medians)} cm")  # fmt: skip


def laboratory(folder: Path) -> None:
    site, boxes, out = folder / "ufes.yaml", folder / "boxes", folder / "refined.yaml"
    marks = DATA / "ufes4cam" / "gt" / "floor_crosses.csv"
    command("import", DATA / "ufes4cam" / "config_camera_2021_USE", "--out", site)
    ufes.write_boxes(DATA, boxes)
    print(f"UFES, floor crosses around the views' mean: "
          f"{100 * report('check', site, '--no-sources', '--marks', marks)['marks_rms_m']:.1f} cm rms")  # fmt: skip
    causes = report("check", site, "--no-sources", "--detections", boxes)["people_rms_m"]
    shares = ", ".join(f"{name} {100 * value:.1f}" for name, value in causes.items())
    print(f"UFES, boxes' feet around the views' mean: {shares} cm rms")
    result = report("refine", site, "--detections", boxes, "--frames", "0:135", "--out", out)
    before, after, foot = (100 * result[key] for key in ("tested_before_m", "tested_after_m", "foot_m"))
    print(f"UFES, refined on frames < 135: view to mean on the others {before:.1f} -> {after:.1f} cm rms")
    print(f"UFES, feet lie {foot:.0f} cm towards the camera")
    shoe = FootModel().shoe_m
    for name, path, allowance in (
        ("as imported, bare foot points", site, 0.0),
        ("as imported, with the daemon's shoe", site, shoe),
        ("refined, with the daemon's shoe", out, shoe),
    ):
        single, fused = ufes.errors(DATA, planes(path), shoe_m=allowance)
        print(f"UFES, frames >= 135 against hand-read places, {name}:")
        print(f"    one view {100 * single:.1f}, mean of views {100 * fused:.1f} cm rms")


def main() -> None:
    """Print the figures; each set that is absent is named."""
    with tempfile.TemporaryDirectory() as folder:
        sets = {"pets09_s2l1_view1": pets, "multiviewx_sample": multiviewx, "cmc": cmc, "ufes4cam": laboratory}
        for needs, run in sets.items():
            if (DATA / needs).is_dir():
                run(Path(folder))
            else:
                print(f"{needs}: absent")


if __name__ == "__main__":
    main()

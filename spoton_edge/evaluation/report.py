"""Scores as a table for people, a JSON file for programs, and a picture of what went wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from spoton_edge.evaluation.breaks import history
from spoton_edge.evaluation.picture import draw
from spoton_edge.evaluation.scores import Score, score
from spoton_edge.evaluation.sequences import Scene

HEADER = ("", "frames", "people", "ids", "HOTA", "IDF1", "MOTA", "switches", "missed", "false", "off by")


def table(scores: Sequence[Score]) -> str:
    """One line a scene, per cent with one decimal."""
    rows = [HEADER, *(_cells(figures) for figures in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )


def report(scenes: Sequence[Scene], out: Path | None) -> list[Score]:
    """The scores of all scenes; with `out`, a folder, also `scores.json`, which lists every break, and `breaks.png`."""
    scores = [score(scene) for scene in scenes]
    if out is None:
        return scores
    histories = {scene.name: history(scene) for scene in scenes}
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "scores": [asdict(figures) for figures in scores],
        "breaks": [asdict(broken) for told in histories.values() for broken in told.breaks],
    }
    (out / "scores.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    subtitles = {figures.name: _subtitle(figures) for figures in scores}
    draw(out / "breaks.png", histories, subtitles)
    return scores


def _cells(figures: Score) -> tuple[str, ...]:
    distance = "" if figures.mean_distance_m is None else f"{figures.mean_distance_m:.3f} m"
    counts = (figures.switches, figures.misses, figures.false_alarms)
    return (
        figures.name,
        *map(str, (figures.steps, figures.people, figures.ids)),
        *(f"{100 * share:.1f}" for share in (figures.hota, figures.idf1, figures.mota)),
        *map(str, counts),
        distance,
    )


def _subtitle(figures: Score) -> str:
    gate = "" if figures.gate_m is None else f", gate {figures.gate_m:g} m"
    return (
        f"{figures.people} people, {figures.ids} ids, {figures.switches} switches, IDF1 {100 * figures.idf1:.1f}, "
        f"MOTA {100 * figures.mota:.1f}{gate}"
    )

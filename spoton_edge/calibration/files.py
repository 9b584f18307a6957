"""Writing calibrations: a new file each time, whole or not at all; an operator's comments and order are kept."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spoton_edge.config.document import dump
from spoton_edge.errors import MissingExtraError, UsageError


def write_new(path: Path, text: str) -> None:
    """Creates a file; raises `UsageError` where there is one already, or none can be made."""
    if path.exists():
        raise UsageError(f"{path}: is there already; name a new file")
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
        try:
            os.link(file.name, path)  # unlike a rename, this never replaces a file made in the meantime
            path.chmod(0o644)
        finally:
            Path(file.name).unlink()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from None


def ground_text(ground: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """A camera's `ground` as a file of its own, for `ground: {file: ...}`."""
    return _remarks(remarks) + dump(dict(ground))


def site_text(site: Mapping[str, Any], remarks: Sequence[str]) -> str:
    """A whole site file."""
    return _remarks(remarks) + dump(dict(site))


def changed_site_text(
    path: Path, grounds: Mapping[str, Mapping[str, Any]], clocks: Mapping[str, float], remarks: Sequence[str]
) -> str:
    """The text of a site file with some cameras' `ground` and `clock_offset_ms` replaced, all else as it stands."""
    try:
        from ruamel.yaml import YAML
    except ImportError as error:
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[calibrate]'") from None
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 160
    data = yaml.load(path.read_text(encoding="utf-8"))
    for camera in data["cameras"]:
        name = camera["name"]
        if name in grounds:
            camera["ground"] = _flow(grounds[name])
        if name in clocks:
            camera["clock_offset_ms"] = round(clocks[name], 1)
    out = io.StringIO()
    yaml.dump(data, out)
    return _remarks(remarks) + out.getvalue()


def _flow(ground: Mapping[str, Any]) -> Any:
    """Matrices with a row on a line, as people write them."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    def row(values: Sequence[Any]) -> Any:
        sequence = CommentedSeq(values)
        sequence.fa.set_flow_style()
        return sequence

    out = CommentedMap()
    for key, value in ground.items():
        if isinstance(value, Mapping):
            out[key] = _flow(value)
        elif isinstance(value, list):
            out[key] = CommentedSeq([row(v) for v in value]) if value and isinstance(value[0], list) else row(value)
        else:
            out[key] = value
    return out


def _remarks(lines: Sequence[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)

"""Imports point one way, stages do not know each other, and each heavy library has its place."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spoton_edge"

# Modules of a level may import modules of lower levels, and of their own only where `TOGETHER` says so.
LEVELS: list[set[str]] = [
    {"spoton_edge", "errors", "types", "_ext"},
    {"client", "client_pictures", "feed", "lens", "logs", "messages", "ownership", "systemd", "tables"},
    {
        "codecs",
        "config",
        "credentials",
        "door",
        "endpoints",
        "errands",
        "file_sources",
        "file_watch",
        "ids",
        "impostors",
        "keys",
        "gallery",
        "graph_surgery",
        "ground_plane",
        "half_precision",
        "handoff",
        "health",
        "installation",
        "manifests",
        "metrics",
        "models",
        "people",
        "pinned_files",
        "polygons",
        "recording",
        "state",
        "transfers",
        "web",
        "wire",
    },
    {"engine"},
    {"decoding"},
    {
        "assignment",
        "association",
        "births",
        "capture",
        "census",
        "control",
        "corrections",
        "crop_schedule",
        "departures",
        "detector",
        "embedder",
        "global_track",
        "life",
        "looks",
        "matching",
        "naming",
        "policy",
        "preview",
        "publisher",
        "recognition",
        "resumption",
        "roster",
        "sightings",
        "stature",
        "tracker",
        "tracklet_book",
        "twins",
    },
    {"explain", "exposition", "people_file", "recorder"},
    {"calibration"},
    {"pipeline"},
    {"assembly", "description", "networks", "pictures"},
    {"building", "engine_check", "model_comparison", "network_swap"},
    {"doctor", "evaluation", "play", "record", "reloading", "replay", "view", "watch"},
    {"service"},
    {"demo_map", "demo_page"},
    {"demo"},
    {"site"},
    {"enrolment"},
    {"demo_site"},
    {"engine_verbs", "replay_verbs", "service_verbs", "site_verbs"},
    {"cli"},
    {"__main__"},
]
TOGETHER = [
    {"client", "client_pictures", "feed", "messages"},
    {"codecs", "people", "wire"},
    {"models", "manifests", "pinned_files", "file_sources", "transfers", "graph_surgery", "half_precision"},
    {
        "association",
        "assignment",
        "births",
        "census",
        "corrections",
        "crop_schedule",
        "departures",
        "global_track",
        "life",
        "looks",
        "matching",
        "naming",
        "policy",
        "recognition",
        "resumption",
        "roster",
        "sightings",
        "stature",
        "tracklet_book",
        "twins",
    },
    {"door", "endpoints"},
]

HEAVY = {
    "av": {"capture"},
    "cryptography": {"enrolment"},
    "cv2": {"calibration", "embedder", "evaluation", "pictures", "preview"},
    "h5py": {"calibration"},
    "matplotlib": {"calibration", "demo_map", "evaluation"},
    "nkeys": {"enrolment"},
    "onnx": {"graph_surgery", "half_precision"},
    "onnxruntime": {"engine"},
    "prometheus_client": {"exposition"},
    "ruamel": {"calibration"},
    "scipy": {"calibration", "evaluation"},
    "starlette": {"calibration", "view", "web"},
    "systemd": {"logs"},
    "uvicorn": {"web"},
    "yaml": {"config"},
    "zmq": {"client", "client_pictures", "control", "door", "endpoints", "keys", "play", "preview", "publisher"},
}
CLIENT = ("client.py", "client_pictures.py", "feed.py", "messages.py")


def part(path: Path) -> str:
    """The module or package directly below spoton_edge."""
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0].removesuffix(".py")
    return "spoton_edge" if name == "__init__" else name


def imports(path: Path) -> Iterator[str]:
    """Full names that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def level(name: str) -> int:
    for number, members in enumerate(LEVELS):
        if name in members:
            return number
    raise AssertionError(f"{name} has no place in the import order")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    importer = part(path)
    for name in imports(path):
        head, _, rest = name.partition(".")
        if head != "spoton_edge":
            continue
        imported = rest.split(".")[0]
        if not (PACKAGE / imported).is_dir() and not (PACKAGE / f"{imported}.py").exists():
            imported = "spoton_edge"  # a name of the package itself
        if imported == importer or any({imported, importer} <= group for group in TOGETHER):
            continue
        assert level(imported) < level(importer), f"{importer} must not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_library_is_imported_in_its_place_only(path: Path) -> None:
    for name in imports(path):
        allowed = HEAVY.get(name.split(".")[0])
        assert allowed is None or part(path) in allowed, f"{part(path)} must not import {name}"


def test_the_client_needs_the_standard_library_and_pyzmq_only() -> None:
    own = {f"spoton_edge.{name.removesuffix('.py')}" for name in CLIENT}
    for file in CLIENT:
        for name in imports(PACKAGE / file):
            library = name.split(".")[0]
            assert library in sys.stdlib_module_names | {"zmq"} or name.rpartition(".")[0] in own, name

"""Calibrations that others wrote, as `ground` sections of ours: found by their content, one reader a format.

Every reader gives the file's numbers, not yet believed: `judge` says whether they are any good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spoton_edge.errors import MissingExtraError, UsageError
from spoton_edge.types import F8

GroundData = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read: sections as plain data, in the order of the files."""

    grounds: dict[str, GroundData] = field(default_factory=dict)
    floor: dict[str, Any] = field(default_factory=dict)  # the site's `ground`
    handoffs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __or__(self, other: Imported) -> Imported:
        both = {name for name in self.grounds if name in other.grounds}
        if both:
            raise UsageError(f"camera {sorted(both)[0]} comes twice; import its files one by one")
        links = {name: [*self.handoffs.get(name, []), *other.handoffs.get(name, [])]
                 for name in [*self.handoffs, *other.handoffs]}  # fmt: skip
        return Imported(self.grounds | other.grounds, self.floor | other.floor, links, [*self.notes, *other.notes])


def read(path: Path, *, pixels_per_metre: float | None = None) -> Imported:
    """Reads a file or a folder of any known format. Raises `UsageError` with what the path is not."""
    if path.is_dir():
        return _folder(path, pixels_per_metre)
    if not path.is_file():
        raise UsageError(f"{path}: no such file or folder")
    readers: dict[str, Callable[[Path, float | None], Imported]] = {
        ".npz": _point_pairs,
        ".json": _json,
        ".mat": _matlab,
        ".xml": _opencv,
        ".yml": _opencv,
        ".yaml": _opencv,
        ".py": _handoff_source,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: known are {', '.join(readers)} and folders of them")
    try:
        return reader(path, pixels_per_metre)
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, OSError, IndexError, SyntaxError) as error:
        raise UsageError(f"{path}: cannot be read as a calibration ({type(error).__name__}: {error})") from None


def camera_name(path: Path) -> str:
    """`homography_points_c09_scene_s14.npz` -> c09, `cam1_cam_mat.mat` -> cam1, `extr_Camera1.xml` -> Camera1."""
    stem = re.sub(r"^(homography_points|homography|calibration|intr|extr)_", "", path.stem, flags=re.IGNORECASE)
    stem = re.sub(r"_(cam_mat|scene_.*|calib.*|homography)$", "", stem, flags=re.IGNORECASE)
    if re.fullmatch(r"\d+", stem):
        stem = f"cam{stem}"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:64] or "camera"


def _folder(path: Path, pixels_per_metre: float | None) -> Imported:
    inner = path / "calibrations" if (path / "calibrations").is_dir() else path
    extrinsic = sorted(inner.rglob("extr_*.xml"))
    if extrinsic:
        return _wildtrack(inner, extrinsic)
    files = [
        file for file in sorted(path.iterdir()) if file.suffix.lower() in (".npz", ".json", ".mat", ".xml", ".yml")
    ]
    if not files:
        raise UsageError(f"{path}: no calibration in it (.npz, .json, .mat, .xml, .yml, or WILDTRACK's extr_*.xml)")
    imported = Imported()
    for file in files:
        imported |= read(file, pixels_per_metre=pixels_per_metre)
    return imported


def _point_pairs(path: Path, pixels_per_metre: float | None) -> Imported:
    """NumPy archive of `image_points` (n, 2) px and `map_points` (n, 2), metres or pixels of a floor picture."""
    with np.load(path, allow_pickle=False) as archive:
        if "image_points" in archive and "map_points" in archive:
            image, floor = (
                np.asarray(archive[key], np.float64).reshape(-1, 2) for key in ("image_points", "map_points")
            )
            if len(image) != len(floor):
                raise UsageError(f"{path}: {len(image)} image_points and {len(floor)} map_points; one each is needed")
            notes = []
            if pixels_per_metre is None and len(floor) and np.ptp(floor, axis=0).max() > 200:
                notes.append(f"{path.name}: map_points span {np.ptp(floor, axis=0).max():.0f}: metres, or pixels of a "
                             "floor picture? give --pixels-per-metre")  # fmt: skip
            points = np.column_stack([image, floor / (pixels_per_metre or 1.0)])
            return Imported({camera_name(path): {"points": _rows(points)}}, notes=notes)
        for key in ("homography", "homography_matrix", "H"):
            if key in archive:
                return Imported({camera_name(path): {"homography": _to_metres(archive[key], pixels_per_metre)}})
        raise UsageError(f"{path}: has {', '.join(archive.files)}; image_points and map_points are needed")


def _json(path: Path, pixels_per_metre: float | None) -> Imported:
    data = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(data, dict) and "intrinsic" in data and "extrinsic" in data:
        return _intrinsic_extrinsic(path, data)
    if isinstance(data, dict) and "cameras" in data:
        return _floor_plan(path, data, pixels_per_metre)
    rules = _json_rules(data)
    if rules:
        return Imported(handoffs=rules)
    raise UsageError(f"{path}: neither cameras with source_points, nor intrinsic and extrinsic, nor exit_rules")


def _floor_plan(path: Path, data: dict[str, Any], pixels_per_metre: float | None) -> Imported:
    """`campus.json`, `factory.json`: cameras whose points or homographies lead to pixels of a floor picture."""
    plan = data.get("ground_plane") or {}
    scale = pixels_per_metre or plan.get("pixels_per_meter") or data.get("pixels_per_meter")
    if not scale:
        raise UsageError(f"{path}: pixels_per_meter is missing; give --pixels-per-metre")
    floor: dict[str, Any] = {"pixels_per_metre": float(scale), "axes": "y_down"}
    picture = next(
        (plan[key] for key in ("image", "image_path", "map", "path") if isinstance(plan.get(key), str)), None
    )
    if picture:
        floor["map"] = picture
    cameras = data["cameras"]
    listed = cameras.items() if isinstance(cameras, dict) else ((None, camera) for camera in cameras)
    grounds: dict[str, GroundData] = {}
    notes: list[str] = []
    for n, (key, camera) in enumerate(listed):
        name = str(key or camera.get("camera_id") or camera.get("id") or camera.get("name") or f"cam{n}")
        source, target = camera.get("source_points") or [], camera.get("destination_points") or []
        ground: GroundData = {}
        if len(source) >= 4 and len(source) == len(target):
            points = np.column_stack([np.asarray(source, np.float64), np.asarray(target, np.float64) / float(scale)])
            ground["points"] = _rows(points)
            if _is_identity(camera.get("homography")):
                notes.append(f"{name}: its homography was the identity and is left out; the points are taken")
        elif camera.get("homography") is not None:
            matrix = camera["homography"]
            # The identity stays the identity, so that the verdict can call it that.
            ground["homography"] = np.eye(3).tolist() if _is_identity(matrix) else _to_metres(matrix, float(scale))
        size = camera.get("image_size") or camera.get("resolution")
        if isinstance(size, dict):
            size = [size["width"], size["height"]]
        if size:
            ground["image_size"] = [int(side) for side in size]
        if ground:
            grounds[name] = ground
        else:
            notes.append(f"{name}: has neither 4 source_points and destination_points nor a homography")
    return Imported(grounds, floor, _json_rules(data), notes)


def _is_identity(matrix: Any) -> bool:
    h = None if matrix is None else np.asarray(matrix, np.float64)
    return h is not None and h.shape == (3, 3) and np.allclose(h, np.eye(3))


def _intrinsic_extrinsic(path: Path, data: dict[str, Any]) -> Imported:
    """Intrinsic 3x3, distortion and extrinsic 4x4 (world -> camera, metres) as tensors with a list of doubles."""
    pose = np.reshape(data["extrinsic"][0]["tf"]["doubles"], (4, 4))
    camera = {
        "matrix": _rows(np.reshape(data["intrinsic"]["doubles"], (3, 3))),
        "distortion": [float(x) for x in data["distortion"]["doubles"]],
        "rotation": _rows(pose[:3, :3]),
        "translation": [float(x) for x in pose[:3, 3]],
    }
    ground: GroundData = {"camera": camera}
    if "resolution" in data:
        ground["image_size"] = [int(data["resolution"]["width"]), int(data["resolution"]["height"])]
    return Imported({camera_name(path): ground})


def _matlab(path: Path, pixels_per_metre: float | None) -> Imported:
    """A 3x4 (world -> pixels) or 3x3 (pixels -> floor) in a MATLAB file, v7.3 (HDF5) or older."""
    for name, matrix in _matlab_matrices(path):
        if matrix.shape == (3, 4):
            return Imported({camera_name(path): {"projection": _rows(matrix)}})
        if matrix.shape == (3, 3):
            return Imported({camera_name(path): {"homography": _to_metres(matrix, pixels_per_metre)}},
                            notes=[f"{path.name}: {name} is taken as pixels -> floor"])  # fmt: skip
    raise UsageError(f"{path}: no 3x4 or 3x3 matrix in it")


def _matlab_matrices(path: Path) -> Iterator[tuple[str, F8]]:
    try:
        import h5py

        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                for name, entry in file.items():
                    if isinstance(entry, h5py.Dataset):
                        yield name, np.asarray(entry[()], np.float64).T  # MATLAB stores columns first
            return
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[calibrate]'") from None
    for name, value in loadmat(path).items():
        if not name.startswith("__") and getattr(value, "ndim", 0) == 2:
            yield name, np.asarray(value, np.float64)


_MATRIX_KEYS = ("camera_matrix", "K", "intrinsic_matrix", "M1", "matrix")
_DISTORTION_KEYS = ("distortion_coefficients", "dist_coeffs", "distortion", "D")


def _opencv(path: Path, pixels_per_metre: float | None) -> Imported:
    """OpenCV's FileStorage, YAML or XML: camera_matrix, distortion, rvec/R, tvec/T; or homography, projection."""
    values = _storage(path)
    size = (values.get("image_width"), values.get("image_height"))
    ground: GroundData = {} if None in size else {"image_size": [int(np.asarray(s).item()) for s in size]}
    for key in ("homography", "H", "homography_matrix"):
        if key in values and np.shape(values[key]) == (3, 3):
            return Imported({camera_name(path): {"homography": _to_metres(values[key], pixels_per_metre), **ground}})
    for key in ("projection", "P", "projection_matrix"):
        if key in values and np.shape(values[key]) == (3, 4):
            return Imported({camera_name(path): {"projection": _rows(values[key]), **ground}})
    camera = _pose(values, str(path))
    return Imported({camera_name(path): {"camera": camera, **ground}})


def _pose(values: dict[str, Any], where: str) -> dict[str, Any]:
    matrix = next((values[key] for key in _MATRIX_KEYS if key in values), None)
    rotation = next((values[key] for key in ("rvec", "R", "rotation", "rotation_matrix") if key in values), None)
    translation = next((values[key] for key in ("tvec", "T", "t", "translation") if key in values), None)
    if matrix is None or rotation is None or translation is None:
        raise UsageError(
            f"{where}: has {', '.join(values) or 'nothing'}; a matrix, a rotation and a translation are needed"
        )
    rotation = np.asarray(rotation, np.float64)
    camera: dict[str, Any] = {"matrix": _rows(np.asarray(matrix, np.float64))}
    distortion = next((np.asarray(values[key], np.float64).ravel() for key in _DISTORTION_KEYS if key in values), None)
    if distortion is not None and distortion.any():
        camera["distortion"] = [float(x) for x in distortion]
    camera["rotation"] = _rows(rotation) if rotation.shape == (3, 3) else [float(x) for x in rotation.ravel()]
    camera["translation"] = [float(x) for x in np.asarray(translation, np.float64).ravel()]
    return camera


def _storage(path: Path) -> dict[str, Any]:
    import cv2

    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    if not storage.isOpened():
        raise UsageError(f"{path}: is no OpenCV file storage")
    values: dict[str, Any] = {}
    root = storage.root()
    for key in root.keys():  # noqa: SIM118 - a FileNode is no mapping
        node = root.getNode(key)
        if node.isMap() and (matrix := node.mat()) is not None:
            values[key] = matrix
        elif node.isSeq():
            values[key] = [node.at(i).real() for i in range(node.size())]
        elif node.isInt() or node.isReal():
            values[key] = node.real()
    storage.release()
    return values


def _wildtrack(folder: Path, extrinsic: Sequence[Path]) -> Imported:
    """WILDTRACK and MultiviewX: intr_*.xml and extr_*.xml a camera; centimetres in the first, metres in the second."""
    grounds: dict[str, GroundData] = {}
    notes = []
    for path in extrinsic:
        name = camera_name(path)
        candidates = sorted(folder.rglob(f"intr_{name}.xml"))
        # WILDTRACK has the lens twice: for its raw pictures, and with zero distortion for the pictures it publishes.
        intrinsic = next((c for c in candidates if "zero" in c.parent.name), candidates[0] if candidates else None)
        if intrinsic is None:
            raise UsageError(f"{path}: there is no intr_{name}.xml beside it")
        values = {**_storage(intrinsic), **_xml_vectors(path), **_storage(path)}
        camera = _pose(values, str(path))
        if np.linalg.norm(camera["translation"]) > 100:
            camera["translation"] = [x / 100 for x in camera["translation"]]
            notes.append(f"{name}: its translation is in centimetres")
        grounds[name] = {"camera": camera, "image_size": [1920, 1080]}
    return Imported(grounds, notes=notes)


def _xml_vectors(path: Path) -> dict[str, Any]:
    """WILDTRACK writes its vectors as bare numbers, which FileStorage gives as text."""
    found = re.findall(r"<(rvec|tvec)>\s*([-+0-9.eE\s]+)</\1>", path.read_text(encoding="utf-8"))
    return {key: [float(x) for x in text.split()] for key, text in found}


_SIDES = {"bottom": "lower", "top": "upper", "down": "lower", "up": "upper"}


def quadrants(area: str) -> list[str]:
    """'upper right', 'bottom_left', 'down' -> the quadrants of ours that it covers; none for words that say nothing."""
    words = [_SIDES.get(word, word) for word in re.split(r"[\s_-]+", area.lower())]
    rows = [word for word in words if word in ("upper", "lower")] or ["upper", "lower"]
    columns = [word for word in words if word in ("left", "right")] or ["left", "right"]
    known = any(word in ("upper", "lower", "left", "right") for word in words)
    return [f"{row}_{column}" for row in rows for column in columns] if known else []


def _links(camera: str, rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Handoffs of ours from exit rules; an entry of a whole side is left open, because an entry is one quadrant."""
    links = []
    for rule in rules:
        to = str(rule.get("target_cam_id") or rule.get("target_camera") or rule.get("to") or "")
        leave = str(rule.get("source_exit_quadrant") or rule.get("exit_quadrant") or rule.get("direction") or "")
        enter = quadrants(str(rule.get("target_entry_area") or rule.get("entry_area") or ""))
        if not to or to == camera:
            continue
        for zone in quadrants(leave):
            link = {"zone": zone, "to": to} | ({"enter": enter[0]} if len(enter) == 1 else {})
            if link not in links:
                links.append(link)
    return links


def _json_rules(data: Any) -> dict[str, list[dict[str, Any]]]:
    """{camera: {exit_rules: [...]}}, or the same in a list of cameras."""
    cameras = data.get("cameras", data) if isinstance(data, dict) else data
    if isinstance(cameras, dict):
        listed = [(re.split(r"[/,\s]+", str(key))[-1], value) for key, value in cameras.items()]
    elif isinstance(cameras, list):
        listed = [(str(c.get("camera_id") or c.get("id") or c.get("name")), c) for c in cameras if isinstance(c, dict)]
    else:
        return {}
    rules = {name: _links(name, c["exit_rules"]) for name, c in listed if isinstance(c, dict) and c.get("exit_rules")}
    return {name: links for name, links in rules.items() if links}


def _handoff_source(path: Path, _: float | None) -> Imported:
    """Exit rules written as Python: ("site", "c09"): Config(exit_rules=[Rule(...)]). Parsed, never run."""
    import ast

    handoffs: dict[str, list[dict[str, Any]]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Dict):
            continue
        for key, value in zip(node.keys, node.values, strict=True):
            if not isinstance(key, ast.Tuple | ast.Constant) or not isinstance(value, ast.Call):
                continue
            name = _word(key.elts[-1] if isinstance(key, ast.Tuple) else key)
            rules = next((k.value for k in value.keywords if k.arg == "exit_rules"), None)
            if not name or not isinstance(rules, ast.List):
                continue
            calls = [call for call in rules.elts if isinstance(call, ast.Call)]
            links = _links(name, [{str(k.arg): _word(k.value) for k in call.keywords} for call in calls])
            if links:
                handoffs[name] = links
    if not handoffs:
        raise UsageError(f"{path}: no exit_rules=[...] in it")
    return Imported(handoffs=handoffs)


def _word(node: Any) -> str:
    """The text in "a", Name("a") or Enum.A."""
    import ast

    if isinstance(node, ast.Call) and node.args:
        node = node.args[0]
    if isinstance(node, ast.Attribute):
        return node.attr.lower()
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _to_metres(matrix: Any, pixels_per_metre: float | None) -> list[list[float]]:
    h = np.asarray(matrix, np.float64)
    if h.shape != (3, 3):
        raise UsageError(f"a homography is 3 x 3 numbers, this one is {' x '.join(map(str, h.shape))}")
    scale = 1.0 / (pixels_per_metre or 1.0)
    return _rows(np.diag([scale, scale, 1.0]) @ h)


def _rows(matrix: Any) -> list[list[float]]:
    return [[float(f"{x:.10g}") for x in row] for row in np.asarray(matrix, np.float64)]

"""From the sources to an installed program: sdist -> wheel -> install -> import, in an environment of its own."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import call
from tests.e2e.installed import ROOT

pytestmark = pytest.mark.timeout(900)
PIP = (sys.executable, "-m", "pip", "--python")


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel and its base dependencies only."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder)
    python = folder / "bin" / "python"
    call(*PIP, python, "install", "--quiet", wheel, cwd=folder)
    return python


def test_the_sdist_holds_every_source_of_the_compiled_core(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[-1] for name in archive.getnames()}
    wanted = {
        str(path.relative_to(ROOT)) for path in (ROOT / "ext").rglob("*") if path.suffix in (".pyx", ".pxd", ".c", ".h")
    }
    assert wanted <= held, sorted(wanted - held)


def test_the_wheel_holds_core_stubs_schemas_manifests_and_sites(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
    for extension in (ROOT / "ext").glob("*.pyx"):
        assert any(name.startswith(f"spoton_edge/_ext/{extension.stem}.") and name.endswith(".so") for name in held)
        assert f"spoton_edge/_ext/{extension.stem}.pyi" in held
    assert {"spoton_edge/py.typed", "spoton_edge/schemas/tracks.json"} <= set(held)
    assert "spoton_edge/_manifests/yolox-nano.toml" in held
    assert "spoton_edge/_sites/demo-site.yaml" in held
    assert {"spoton_edge/web/map/index.html", "spoton_edge/web/common/base.css"} <= set(held)
    assert not any(name.startswith(("tests/", "ext/")) for name in held)


def test_the_installed_core_imports(bare: Path, tmp_path: Path) -> None:
    names = ", ".join(f"spoton_edge._ext.{path.stem}" for path in (ROOT / "ext").glob("*.pyx"))
    call(bare, "-c", f"import {names}", cwd=tmp_path)


def test_the_base_brings_no_video_and_no_inference_library(bare: Path, tmp_path: Path) -> None:
    installed = call(*PIP, bare, "list", "--format", "freeze", cwd=tmp_path).lower()
    for heavy in ("onnxruntime", "av==", "opencv", "tensorrt", "matplotlib", "onnx"):
        assert heavy not in installed


def test_the_base_checks_sites_and_names_the_extra_that_a_verb_lacks(bare: Path, tmp_path: Path) -> None:
    program = bare.parent / "spoton-edge"
    assert "cameras" in call(program, "schema", cwd=tmp_path)
    site = tmp_path / "site.yaml"
    site.write_text("cameras: [{name: a, source: a.mp4}]")
    (tmp_path / "a.mp4").touch()
    result = subprocess.run([program, "run", site], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 4
    assert result.stderr.startswith("error: ")
    assert "pip install 'spoton-edge[cpu]'" in result.stderr


def test_the_map_names_the_extra_that_it_lacks(bare: Path) -> None:
    program = bare.parent / "spoton-edge"
    result = subprocess.run([program, "view"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 4
    assert result.stderr.startswith("error: ")
    assert "pip install 'spoton-edge[view]'" in result.stderr


def test_the_client_imports_nothing_but_pyzmq(bare: Path, tmp_path: Path) -> None:
    program = (
        "import sys, spoton_edge.client, spoton_edge.client_pictures\n"
        "heavy = {'numpy', 'pydantic', 'yaml', 'lap'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    call(bare, "-c", program, cwd=tmp_path)

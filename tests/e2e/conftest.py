"""What the tests of packages share, built once a session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.installed import ROOT, build_package


def call(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    call(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", folder, ROOT, cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist alone, as a package index's client does; it compiles the core, so once for all."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    call(*build, "--wheel-dir", folder, sdist, cwd=folder)
    (archive,) = folder.glob("*.whl")
    return archive


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest) -> Path:
    """The Debian package of that wheel, or the one that SPOTON_DEB names."""
    given = os.environ.get("SPOTON_DEB")
    return Path(given) if given else build_package(request.getfixturevalue("wheel"))

"""What the tests of packages and of the installed service share, made once a session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.installed import ROOT, Installed, build_package
from tests.e2e.machine import Machine, booted


def call(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    result = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
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


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that runs systemd; skips by name where none can be booted."""
    with booted(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="session")
def installed(machine: Machine, package: Path) -> Installed:
    """The package on that machine, until a test takes it away."""
    return Installed(machine, package)


@pytest.fixture
def service(installed: Installed) -> Iterator[Installed]:
    """The service, stopped, with a site of one made-up camera."""
    installed.site()
    yield installed
    installed.afresh()

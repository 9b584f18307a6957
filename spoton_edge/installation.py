"""Puts the service of a virtual environment in place, and takes it away again. The Debian package does the same by its
own means, and neither touches what the other has put there.

Operators' files are never overwritten: the site file and the credentials stay as they are, drop-ins too.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from spoton_edge.errors import StateError, UsageError

USER = "spoton-edge"
UNITS = ("spoton-edge.service", "spoton-edge@.service")
_SITE = ("nats-hub", "nats-hub-again", "nats-leaf", "nats-leaf-again", "site", "uplink")
SITE_UNITS = tuple(f"spoton-edge-{name}.service" for name in _SITE)
SITE_PATHS = ("spoton-edge-nats-hub-again.path", "spoton-edge-nats-leaf-again.path")
PACKAGED = "usr/lib/systemd/system/spoton-edge.service"
PROGRAM, NATS_SERVER = "/usr/bin/spoton-edge", "/usr/bin/nats-server"  # in the units as they are shipped
CONFIG, CACHE, STATE, RUN = "etc/spoton-edge", "var/cache/spoton-edge", "var/lib/spoton-edge", "run/spoton-edge"
# The servers' streams; of a user that exists only while they run, systemd keeps them below `private`.
STREAMS = ("var/lib/private/spoton-edge-nats", "var/lib/spoton-edge-nats")
PACKAGE = Path("/usr/lib/spoton-edge")  # the package's own environment
REBUILD = "make deb EXTRAS=cpu,systemd,view,..."
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  what the unit's sandbox hides
Log = Callable[[str], None]

NEXT = """\
next, as root:
  edit {site}           # name your cameras; it shows a made-up picture until then
  {program} credential set NAME          # for each {{cred:NAME}} in it
  {program} models fetch yolox-nano      # the service itself never downloads
  {program} doctor --service             # says what is wrong and what to do
  systemctl enable --now spoton-edge"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to install: the machine's root folder, another one for an image; and the program that the units start."""

    program: Path
    root: Path = Path("/")

    @property
    def files(self) -> dict[Path, str]:
        """What is installed and overwritten by the next installation: paths and contents."""
        shipped = shipped_files()
        written = {
            self.root / "etc/sysusers.d/spoton-edge.conf": (shipped / "sysusers.conf").read_text(encoding="utf-8"),
            self.root / "etc/tmpfiles.d/spoton-edge.conf": (shipped / "tmpfiles.conf").read_text(encoding="utf-8"),
        }
        nats_server = self.program.with_name("nats-server")
        for unit in (*UNITS, *(f"site/{name}" for name in (*SITE_UNITS, *SITE_PATHS))):
            text = (shipped / unit).read_text(encoding="utf-8").replace(f"={PROGRAM} ", f"={self.program} ")
            if nats_server.exists():
                text = text.replace(f"={NATS_SERVER} ", f"={nats_server} ")
            written[self.root / "etc/systemd/system" / Path(unit).name] = text
        return written


def shipped_files() -> Path:
    """The folder with the units, in a wheel or in a checkout."""
    inside = Path(str(files("spoton_edge") / "_systemd"))
    return inside if inside.is_dir() else Path(__file__).parents[1] / "systemd"


def own_program() -> Path:
    """The `spoton-edge` of the environment that runs this."""
    return Path(sys.prefix) / "bin" / "spoton-edge"


def is_packaged() -> bool:
    """Whether this program is the Debian package's, to whose environment nobody adds."""
    return Path(sys.prefix) == PACKAGE


def install(target: Target, log: Log) -> None:
    """Write the units, the user and the folders, and say what to do next; again, after an upgrade, it renews them.

    Raises:
        UsageError: the Debian package is installed, or the service could not run this program.
        StateError: a file cannot be written, by who is not root, say.
    """
    refuse_beside_package(target.root)
    unreachable(target.program)
    site = target.root / CONFIG / "site.yaml"
    try:
        for path, text in target.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            log(f"wrote {path}")
        site.parent.mkdir(parents=True, exist_ok=True)
        if site.exists():
            log(f"kept {site}")
        else:
            shutil.copyfile(shipped_files() / "site.yaml", site)
            log(f"wrote {site}, an example")
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror}; run this as root") from None
    if target.root == Path("/"):
        _call("systemd-sysusers", "/etc/sysusers.d/spoton-edge.conf")
        _call("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/spoton-edge.conf")
        _call("systemctl", "daemon-reload")
        _call("systemctl", "try-restart", "spoton-edge.service", "spoton-edge@*.service", *SITE_UNITS)
    log(NEXT.format(site=site, program=target.program))


def uninstall(target: Target, log: Log, *, purge: bool) -> None:
    """Stop the service and remove what `install` wrote; `purge`: also sites, credentials, state, models and the user.

    Raises:
        UsageError: the Debian package is installed, or nothing is.
        StateError: a file cannot be removed, by who is not root, say.
    """
    refuse_beside_package(target.root)
    here = target.root == Path("/")
    installed = [path for path in target.files if path.exists()]
    if not installed and not purge:
        raise UsageError("nothing is installed here; remove what it left behind with --purge")
    if here and (units := [path.name for path in installed if path.suffix == ".service"]):
        _call("systemctl", "disable", "--quiet", *units)
        _call("systemctl", "stop", "spoton-edge@*.service", *(unit for unit in units if "@" not in unit))
    try:
        for path in installed:
            path.unlink()
            log(f"removed {path}")
        if purge:
            for folder in (target.root / name for name in (CONFIG, CACHE, STATE, RUN, *STREAMS)):
                if folder.is_symlink():
                    folder.unlink()
                elif folder.exists():
                    shutil.rmtree(folder)
                    log(f"removed {folder}")
            for folder in (target.root / "etc/systemd/system").glob("spoton-edge*.service.d"):
                shutil.rmtree(folder)
                log(f"removed {folder}")
        else:
            log(f"kept {target.root / CONFIG}, {target.root / STATE} and {target.root / CACHE}; --purge removes them")
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror}; run this as root") from None
    if here:
        _call("systemctl", "daemon-reload")
        if purge and _exists(USER):
            _call("userdel", USER)
            log(f"removed the user {USER}")


def refuse_beside_package(root: Path) -> None:
    """Raises UsageError where the Debian package has put the service in place."""
    if (root / PACKAGED).exists():
        raise UsageError(f"the Debian package is installed ({root / PACKAGED}); use apt, or remove it first")


def unreachable(program: Path) -> None:
    """Raises UsageError where the service's user could not run a program, or its sandbox would hide it."""
    if not program.exists():
        raise UsageError(f"there is no {program}; run the spoton-edge of the environment that is to be installed")
    python = program.parent / "python3"
    for path in dict.fromkeys((program.absolute(), python.resolve())):
        hidden = next((f"its sandbox hides {place}" for place in HIDDEN if path.is_relative_to(place)), None)
        closed = next((f"others may not enter {folder}" for folder in path.parents if not _open(folder)), None)
        if why := hidden or closed:
            raise UsageError(
                f"the service could not run {path}: {why}; make the environment elsewhere, of a Python that all may "
                "run: /usr/bin/python3 -m venv /opt/spoton-edge"
            )


def _open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _call(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        complaint = (result.stderr or result.stdout).strip().replace("\n", "; ")
        raise StateError(f"{' '.join(command)}: {complaint or f'exit code {result.returncode}'}")


def _exists(user: str) -> bool:
    return subprocess.run(["id", user], capture_output=True, check=False).returncode == 0  # noqa: S607

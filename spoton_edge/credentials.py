"""Logins of cameras: one file a login, which only root may read, and of which systemd gives the service copies.

The unit's `LoadCredential=camera:/etc/spoton-edge/credentials` makes `camera_NAME` of each file NAME there. What a
drop-in loads by itself (`LoadCredential=c09:FILE`) is found under its own name.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from spoton_edge.errors import CredentialError, UsageError

FOLDER = Path("/etc/spoton-edge/credentials")
PREFIX = "camera_"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REFERENCE = re.compile(r"\{cred:([A-Za-z0-9_.-]+)\}")


def names_in(sources: Iterable[str]) -> list[str]:
    """The credentials that sources name, each once, in order."""
    return list(dict.fromkeys(name for source in sources for name in _REFERENCE.findall(source)))


def read(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """A login, `user:password`: what systemd has loaded for the service; outside of it the folder's, for who may.

    Raises:
        CredentialError: there is none of that name, or it may not be read.
    """
    loaded = environment.get("CREDENTIALS_DIRECTORY")
    places = [Path(loaded) / name, Path(loaded) / f"{PREFIX}{name}"] if loaded else [FOLDER / name]
    for place in places:
        try:
            return place.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise CredentialError(f"credential {name} cannot be read ({reason}: {place})") from None
    remedy = f"as root: spoton-edge credential set {name}"
    raise CredentialError(f"there is no credential {name}; {remedy}{', and restart the service' if loaded else ''}")


def unreadable(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this user cannot know which credentials there are: only root and the service itself do."""
    if environment.get("CREDENTIALS_DIRECTORY"):
        return False
    return FOLDER.exists() and not os.access(FOLDER, os.R_OK | os.X_OK, effective_ids=True)


def store(name: str, login: str) -> Path:
    """Write a login into the folder, for root alone, whole or not at all; returns its file.

    Raises:
        UsageError: the name or the login is none.
        CredentialError: this user may not write there.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageError(f"{name!r} is no name; use letters, digits, '.', '_' and '-'")
    login = login.rstrip("\r\n")
    if not login.isprintable() or ":" not in login:
        raise UsageError("a login is one line user:password (user: where there is no password); nothing was changed")
    path = FOLDER / name
    fresh = FOLDER.parent / f".{name}.{secrets.token_hex(8)}"  # not inside: systemd would load it
    try:
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(login + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise CredentialError(f"{path}: cannot be written ({error.strerror}); run this as root") from None
    finally:
        fresh.unlink(missing_ok=True)
    return path


def ask(name: str) -> str:
    """The login that somebody types, unseen, or that a program writes to our standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"login of {name}, user:password: ")
    return sys.stdin.read(65536)

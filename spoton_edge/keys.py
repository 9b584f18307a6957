"""CURVE keys: the daemon's own, and the allow-list of its subscribers.

    KEYS/server.key              the daemon's pair, secret
    KEYS/subscribers/NAME.key    the public key of a subscriber that may connect
    NAME.key                     what that subscriber needs: its own pair, secret, and the daemon's public key

Keys are 40 characters of Z85, as everywhere in ZeroMQ. Read at start and on reload.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq
from zmq.utils.z85 import encode

from spoton_edge.client import read_key_file
from spoton_edge.errors import KeysError, UsageError

SERVER = "server.key"
SUBSCRIBERS = "subscribers"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The daemon's pair, and who may connect: names by public key."""

    public: str
    secret: str
    allowed: Mapping[str, str]


class Judge:
    """Tells libzmq, by the ZeroMQ Authentication Protocol (RFC 27), who may connect to the encrypted endpoints.

    Args:
        context: of the sockets to guard.
        keys: None: nothing is encrypted, everybody may connect.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys | None) -> None:
        self.keys = keys
        self.socket = context.socket(zmq.REP)
        self.socket.bind("inproc://zeromq.zap.01")  # the protocol's place

    def guard(self, zmq_socket: zmq.Socket[bytes], endpoint: str) -> None:
        """Has the socket encrypt what comes by an endpoint, if it is tcp, to which it is about to be bound."""
        if self.keys is None:
            return
        if not endpoint.startswith("tcp://"):
            zmq_socket.setsockopt(zmq.CURVE_SERVER, 0)
        else:
            zmq_socket.setsockopt(zmq.CURVE_SERVER, 1)
            zmq_socket.setsockopt_string(zmq.CURVE_SECRETKEY, self.keys.secret)
            zmq_socket.setsockopt_string(zmq.ZAP_DOMAIN, "subscribers")

    def answer(self) -> None:
        """Judges the handshakes that wait for it. The user of a connection is its public key."""
        with contextlib.suppress(zmq.Again):
            while True:
                version, request, _, _, _, mechanism, *credentials = self.socket.recv_multipart(zmq.DONTWAIT)
                user = encode(credentials[0]) if credentials else b""
                if mechanism == b"NULL":  # by ipc: whoever may open its file
                    self.socket.send_multipart([version, request, b"200", b"welcome", b"", b""])
                elif self.keys is not None and user.decode() in self.keys.allowed:
                    self.socket.send_multipart([version, request, b"200", b"welcome", user, b""])
                else:
                    # 300, a passing failure: after a 400 libzmq never connects again, though the key may yet be added.
                    self.socket.send_multipart([version, request, b"300", b"not on the list", b"", b""])


def load(folder: Path) -> Keys:
    """Reads a folder of keys.

    Raises:
        KeysError: a file is missing, readable by others, or no key; one line with the remedy.
    """
    path = folder / SERVER
    try:
        mode = path.stat().st_mode
    except OSError as error:
        remedy = f"make it with: spoton-edge keys new {folder} NAME"
        raise KeysError(f"{path}: {_reason(error)}; {remedy}") from None
    if mode & 0o077:
        raise KeysError(f"{path}: others can read this secret; chmod 600 {path}")
    pair = _read(path, ("public", "secret"))
    return Keys(pair["public"], pair["secret"], {public: name for name, public in listing(folder)})


def listing(folder: Path) -> list[tuple[str, str]]:
    """Names and public keys of the subscribers that may connect, by name. Raises KeysError where there is no folder."""
    if not folder.is_dir():
        raise KeysError(f"{folder}: no such folder; make the first key with: spoton-edge keys new {folder} NAME")
    return [(path.stem, _read(path, ("public",))["public"]) for path in sorted((folder / SUBSCRIBERS).glob("*.key"))]


def new(folder: Path, name: str, target: Path | None = None) -> Path:
    """Lets a new subscriber in: writes its key file (default: NAME.key here) and puts its public key on the list.

    The daemon's own pair is made with the first.

    Raises:
        UsageError: the name is none, or is taken.
        KeysError: a file cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a key: letters, digits, _ and -, 64 at most")
    target = target or Path(f"{name}.key")
    allowed = folder / SUBSCRIBERS / f"{name}.key"
    for path in (allowed, target):
        if path.exists():
            raise UsageError(f"{path} exists; revoke {name} first, or choose another name")
    try:
        allowed.parent.mkdir(parents=True, exist_ok=True)
        server = folder / SERVER
        if not server.exists():
            _write(
                server, 0o600, "keep secret: the daemon's pair", dict(zip(("public", "secret"), _pair(), strict=True))
            )
        public, secret = _pair()
        pair = {"server": _read(server, ("public",))["public"], "public": public, "secret": secret}
        _write(target, 0o600, f"keep secret: subscriber {name}", pair)
        _write(allowed, 0o644, f"subscriber {name}", {"public": public})
    except OSError as error:
        raise KeysError(f"{error.filename}: {_reason(error)}") from None
    return target


def revoke(folder: Path, name: str) -> None:
    """Takes a subscriber off the list; the daemon closes its connections on its next reload.

    Raises:
        UsageError: nobody has this name.
    """
    path = folder / SUBSCRIBERS / f"{name}.key"
    if not _NAME.fullmatch(name) or not path.is_file():
        names = ", ".join(known for known, _ in listing(folder)) or "nobody"
        raise UsageError(f"{name} is not on the list of {folder / SUBSCRIBERS}: {names}")
    path.unlink()


def _pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _read(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    try:
        return read_key_file(path, names)
    except OSError as error:
        raise KeysError(f"{path}: {_reason(error)}") from None
    except ValueError as error:
        raise KeysError(str(error)) from None


def _write(path: Path, mode: int, title: str, values: Mapping[str, str]) -> None:
    """A new file that nobody else could ever read in between."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(f"# SpotOn Edge, {title}\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

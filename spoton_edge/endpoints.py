"""Binding ZeroMQ endpoints, with the checks that libzmq leaves out and errors that an operator can act on."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from pathlib import Path

import zmq

from spoton_edge.errors import PublishError

FOLDER = Path("/run/spoton-edge")

_REMEDIES = {
    errno.EADDRINUSE: "another program listens there; stop it, or change {key}",
    errno.EADDRNOTAVAIL: "this machine has no such address; change {key}",
    errno.ENODEV: "this machine has no such address; change {key}",
    errno.EACCES: "not permitted (ports below 1024 belong to root); change {key}",
    errno.EPERM: "not permitted; change {key}",
    errno.ENOENT: "its folder does not exist; make it, or change {key}",
    errno.ENAMETOOLONG: "the path has more than 107 characters; change {key}",
}
_NO_ENDPOINT = "not an endpoint; write tcp://ADDRESS:PORT or ipc:///PATH in {key}"


def bind(zmq_socket: zmq.Socket[bytes], endpoint: str, key: str) -> str:
    """Binds and returns the real endpoint, in which a port 0 or * is the one that was chosen.

    Raises:
        PublishError: one line that names the endpoint and what to do; `key` is the setting it came from.
    """
    if endpoint.startswith("tcp://") and endpoint.endswith(":0"):
        endpoint = endpoint[:-1] + "*"
    port = endpoint.rpartition(":")[2]
    if endpoint.startswith("tcp://") and port.isdecimal() and int(port) > 65535:  # libzmq would take it modulo 65536
        raise _refusal(endpoint, errno.EINVAL, key)
    path = ipc_path(endpoint)
    if path is not None:
        _check_path(path, endpoint, key)
    try:
        zmq_socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise _refusal(endpoint, error.errno or 0, key) from None
    return zmq_socket.getsockopt_string(zmq.LAST_ENDPOINT)


def control_endpoint(setting: str, site: str) -> str:
    """The control socket that `runtime.control` stands for."""
    return f"ipc://{FOLDER}/{site}.sock" if setting == "auto" else setting


def preview_endpoint(setting: bool | str, site: str) -> str | None:
    """The endpoint of small pictures that `publish.preview` stands for; None: there are none."""
    if isinstance(setting, str):
        return setting
    return f"ipc://{FOLDER}/{site}.preview" if setting else None


def unbind(zmq_socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Ends what `bind` began, and the connections that came by it."""
    remove_file(endpoint)
    zmq_socket.unbind(endpoint)


def remove_file(endpoint: str) -> None:
    """Removes the file of an ipc endpoint, which libzmq would leave, and which looks like a daemon.

    Call it before the socket is closed: while that listens, nobody else takes the path.
    """
    path = ipc_path(endpoint)
    if path is not None:
        with contextlib.suppress(OSError):  # gone already, or its folder may not be changed any more
            path.unlink()


def ipc_path(endpoint: str) -> Path | None:
    """The file of an ipc endpoint; None for other transports and for abstract and wildcard names."""
    name = endpoint.removeprefix("ipc://")
    return None if name == endpoint or name.startswith(("@", "*")) else Path(name)


def _check_path(path: Path, endpoint: str, key: str) -> None:
    """libzmq deletes whatever is at the path: also a file that is none of its business, and a socket in use."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise _refusal(endpoint, errno.ENOENT, key) from None
        return
    except OSError as error:
        raise _refusal(endpoint, error.errno or 0, key) from None
    if not stat.S_ISSOCK(mode):
        raise PublishError(f"cannot bind {endpoint}: the file exists and is no socket; move it, or change {key}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise _refusal(endpoint, errno.EADDRINUSE, key)


def _refusal(endpoint: str, number: int, key: str) -> PublishError:
    return PublishError(f"cannot bind {endpoint}: {_REMEDIES.get(number, _NO_ENDPOINT).format(key=key)}")

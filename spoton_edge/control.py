"""The control socket: how verbs on the same machine talk to a running daemon. Subscribers have no way in here.

A ROUTER on an ipc endpoint of mode 0660; who may open the file may ask. Request and reply are one JSON frame each:

    {"verb": "status"}              {"ok": true, "result": {...}}
    {"verb": "explain", "id": 7}    {"ok": false, "error": "there is no person 7"}
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import zmq

from spoton_edge.endpoints import FOLDER, bind, remove_file
from spoton_edge.errors import PublishError, SpotOnError, UsageError

log = logging.getLogger(__name__)

Handler = Callable[..., Any]  # called with the request's other members; returns what JSON can hold
REQUEST_BYTES = 65536
PENDING = 16  # requests and replies queued for one caller
ANSWER_S = 30.0  # a reload may take its time


class ControlServer:
    """Answers requests, one after the other, in a thread of its own.

    Args:
        endpoint: ipc.
        handlers: by verb. They run in the server's thread; a `SpotOnError` they raise is told to the caller.

    Raises:
        PublishError: the endpoint cannot be bound.
    """

    def __init__(self, endpoint: str, handlers: Mapping[str, Handler]) -> None:
        self._handlers = {verb: (handler, inspect.signature(handler)) for verb, handler in handlers.items()}
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.MAXMSGSIZE, REQUEST_BYTES)
        self._router.setsockopt(zmq.RCVHWM, PENDING)
        self._router.setsockopt(zmq.SNDHWM, PENDING)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        if not endpoint.startswith("ipc://"):
            raise PublishError(f"cannot bind {endpoint}: runtime.control is for this machine only; write ipc:///PATH")
        mask = os.umask(0o117)  # the file is born with mode 0660
        try:
            self.endpoint = bind(self._router, endpoint, "runtime.control")
        except BaseException:
            self._context.destroy(linger=0)
            raise
        finally:
            os.umask(mask)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finishes the request in hand and releases the endpoint."""
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            os.close(self._wake)

    def __enter__(self) -> ControlServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake, zmq.POLLIN)
        poller.register(self._router, zmq.POLLIN)
        while self._wake not in dict(poller.poll()):
            identity, *frames = self._router.recv_multipart()
            delimiter = frames[:1] if len(frames) > 1 else []  # of a REQ socket
            self._router.send_multipart([identity, *delimiter, self._answer(frames[-1] if frames else b"")])
        remove_file(self.endpoint)
        self._context.destroy(linger=500)

    def _answer(self, request: bytes) -> bytes:
        try:
            arguments = json.loads(request)
            handler, signature = self._handlers[arguments.pop("verb")]
            signature.bind(**arguments)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            verbs = ", ".join(f"{verb}{signature}" for verb, (_, signature) in self._handlers.items())
            return _failed(f"not understood; ask for one of: {verbs}")
        try:
            return json.dumps({"ok": True, "result": handler(**arguments)}).encode()
        except SpotOnError as error:
            return _failed(str(error))
        except Exception:
            log.exception("a request on the control socket failed")
            return _failed("the daemon failed to answer; its log says why")


def _failed(text: str) -> bytes:
    return json.dumps({"ok": False, "error": text}).encode()


def find(site: str | None = None, folder: Path = FOLDER) -> str:
    """The control endpoint of a site, or of the only daemon that runs here.

    Raises:
        UsageError: there is none, or more than one.
    """
    names = sorted(path.stem for path in folder.glob("*.sock"))
    if not names:
        raise UsageError(
            f"no daemon runs here: {folder} has no socket; name one that is elsewhere: --control ipc:///PATH"
        )
    if site is None and len(names) == 1:
        site = names[0]
    if site not in names:
        which = f"no daemon of site {site} runs here" if site else "several daemons run here"
        raise UsageError(f"{which}: {folder} has {', '.join(names)}; name one: --site NAME")
    return f"ipc://{folder}/{site}.sock"


def of_process(pid: int, folder: Path = FOLDER) -> str:
    """The control endpoint of the daemon that is a process, whatever its site is called.

    Raises:
        UsageError: it has none in the folder.
    """
    for path in sorted(folder.glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                continue  # of a daemon that is gone, or of somebody else's
            listener, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if listener == pid:
            return f"ipc://{path}"
    raise UsageError(f"process {pid} has no control socket in {folder}; name it: --control ipc:///PATH")


def ask(endpoint: str, verb: str, timeout_s: float = ANSWER_S, **arguments: Any) -> Any:
    """One request; returns the result.

    Raises:
        UsageError: nobody answers, or the daemon says what is wrong.
    """
    _expect_listener(endpoint)
    context = zmq.Context()
    try:
        caller = context.socket(zmq.REQ)
        caller.setsockopt(zmq.CONNECT_TIMEOUT, 1000)
        caller.connect(endpoint)
        caller.send_string(json.dumps({"verb": verb, **arguments}))
        if not caller.poll(int(timeout_s * 1000)):
            raise UsageError(f"no answer from {endpoint} within {timeout_s:.0f} s: the daemon is busy, or hangs")
        reply = json.loads(caller.recv())
    except zmq.ZMQError as error:
        raise UsageError(f"cannot ask {endpoint}: {(error.strerror or '').lower()}; write ipc:///PATH") from None
    finally:
        context.destroy(linger=0)
    if not reply["ok"]:
        raise UsageError(reply["error"])
    return reply["result"]


def _expect_listener(endpoint: str) -> None:
    """Raises UsageError where nobody listens at a socket, or this user may not ask: ZeroMQ would wait for a change."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith("@"):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            raise UsageError(f"{path} may not be opened by this user: put sudo before it") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"no daemon answers at {path} ({reason}): is it running?") from None


def status(endpoint: str, *, as_json: bool = False) -> int:
    """Prints how the daemon fares, a line for each camera; returns the exit code."""
    result = ask(endpoint, "status")
    if as_json:
        return _print(json.dumps(result))
    return _print("\n".join(_glance(result)))


def _glance(status: dict[str, Any]) -> Iterator[str]:
    """How the daemon fares, in lines."""
    yield f"{status['people']} people, {status['batch_rate_hz']:.1f} batches/s, {status['batches']} since the start"
    for camera in status["cameras"]:
        line = f"{camera['name']}: {camera['state']}, {camera['fps']:.1f} fps, {camera['dropped']} dropped"
        line += f", {camera['bad_frames']} damaged" if camera["bad_frames"] else ""
        line += f", last frame {camera['age_s']:.1f} s ago" if camera["age_s"] is not None else ""
        line += f", came back {camera['reconnects']} times" if camera["reconnects"] else ""
        yield line + (f"; no places: {camera['unplaced']}" if camera["unplaced"] else "")
    stages = [f"{name} {time['p50_ms']:.1f} ({time['p95_ms']:.1f})" for name, time in status["stages"].items()]
    if stages:
        yield f"stages, median (p95) ms: {', '.join(stages)}"
    yield f"{status['detector']} on {status['engine']}; looks by {status['reid']}, of {status['gallery']} people"
    if status["gpu_memory"]:
        used, whole = (size / 2**30 for size in status["gpu_memory"])
        yield f"GPU memory: {used:.1f} of {whole:.1f} GiB"
    if status["handoffs"]:
        yield f"handoffs: {', '.join(f'{count} by {gate}' for gate, count in sorted(status['handoffs'].items()))}"
    config = status["config"]
    yield f"config: {config['file']}, sha256 {config['sha256'][:12]}"
    if config["needs_restart"]:
        yield f"needs restart: {', '.join(config['needs_restart'])}"
    if config["refused"]:
        yield f"the last reload was refused: {config['refused']}"


def reload(endpoint: str) -> int:
    """Has the daemon read its config again and prints what changed; returns the exit code."""
    changes = ask(endpoint, "reload")
    return _print("\n".join(changes) if changes else "nothing changed")


def explain(endpoint: str, person: int) -> int:
    """Prints why a person has its id, decision by decision; returns the exit code."""
    return _print("\n".join(ask(endpoint, "explain", id=person)))


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0

"""The command line. Each verb's work lies in its module; this file says what may be typed and turns errors into exit
codes."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spoton_edge import __version__, engine_verbs, installation, logs, service_verbs, site_verbs
from spoton_edge import replay_verbs as replaying
from spoton_edge.errors import ExitCode, MissingExtraError, SpotOnError, UsageError
from spoton_edge.evaluation import command as evaluation
from spoton_edge.messages import ENDPOINT, SNAPSHOT
from spoton_edge.systemd import Systemd

MAP_BIND = "127.0.0.1:8590"

MESSAGES = """Messages are what subscribers read: `watch --json` records them, `play` publishes a recording. Detections
are what the detector found before anybody had an id: `replay` runs a site's tracking and identities on a recording of
those."""

EPILOG = """\
exit codes:
  0  done, or stopped by a signal
  1  unexpected
  2  usage or configuration
  3  engine lost; starting again may mend it
  4  a model, credential, permission or optional package is missing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a user's mistake is a line on stderr, never a traceback."""
    options = parser().parse_args(site_verbs.spelt_out(sys.argv[1:] if arguments is None else arguments))
    logs.set_up(getattr(logging, options.log_level.upper()))
    _unwind_on(signal.SIGTERM, 128 + signal.SIGTERM)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except SpotOnError as error:
        text = f"error: {error}"
        if isinstance(error, MissingExtraError) and installation.is_packaged():
            text += f"; this is the Debian package, which is built with more extras: {installation.REBUILD}"
        Systemd().status(text.splitlines()[0])
        print(logs.complaint(text), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away; a second complaint at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.STOPPED
    return code


def parser() -> argparse.ArgumentParser:
    """All verbs and options."""
    top = argparse.ArgumentParser(
        prog="spoton-edge",
        description="Follow people from camera to camera and publish their positions in metres over ZeroMQ.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"spoton-edge {__version__}")
    top.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="least important line shown"
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _verb(verbs, "run", _run, "Watch the cameras of a site and publish, until SIGTERM or Ctrl-C")
    _site(run)
    _cache(run)
    run.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where the ids that were given are noted; default: $STATE_DIRECTORY, as root /var/lib/spoton-edge, "
        "else ~/.local/state/spoton-edge",
    )
    run.add_argument(
        "--fast",
        action="store_true",
        help="take video files as fast as they can be computed, every frame once; default: by their own clock",
    )
    run.add_argument(
        "--wait-for-subscriber",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="start the cameras when somebody listens, or after this long; so that a test misses no frame",
    )

    check = _verb(verbs, "check", _check, "Say everything that is wrong with a site file")
    _site(check)
    check.add_argument("--show", action="store_true", help="print the site with every default filled in")

    snapshot = _verb(verbs, "snapshot", _snapshot, "Save one picture of a camera, as the detector would see it")
    _site(snapshot)
    snapshot.add_argument("camera", metavar="CAMERA", help="the camera's name in the site file")
    snapshot.add_argument("out", type=Path, metavar="OUT.jpg", help=".jpg or .png")

    schema = _verb(verbs, "schema", _schema, "Print the JSON Schema of site files, or of the messages")
    schema.add_argument("--messages", action="store_true", help="the schemas of what is published")

    models = _verb(verbs, "models", None, "Get and list the networks that find and recognise people")
    model_verbs = models.add_subparsers(title="commands", metavar="COMMAND", required=True)
    fetch = _verb(model_verbs, "fetch", _models_fetch, "Download a model, check it and prepare it")
    fetch.add_argument("name", help="a name of `spoton-edge models list`")
    _cache(fetch)
    listing = _verb(model_verbs, "list", _models_list, "Show the models and which are here")
    _cache(listing)
    where = _verb(model_verbs, "path", _models_path, "Print where a model's file lies")
    where.add_argument("name", help="a name of `spoton-edge models list`")
    _cache(where)
    engine_verbs.add_compare(model_verbs)

    _calibrate(verbs)

    watch = _verb(verbs, "watch", _watch, "Show the people on a site as they are published", MESSAGES)
    watch.add_argument("endpoint", nargs="?", default=ENDPOINT, help="default: %(default)s")
    watch.add_argument("--json", action="store_true", help="one message a line instead of the table; a recording")
    watch.add_argument("--snapshot", metavar="ENDPOINT", help="default: the next port")
    watch.add_argument("--key", type=Path, metavar="FILE", help="this subscriber's key, of an encrypted endpoint")

    view = _verb(verbs, "view", _view, "Show the site in a browser: the floor, the people on it, what the cameras see")
    view.add_argument("endpoint", nargs="?", metavar="ENDPOINT", help=f"default: the site file's, else {ENDPOINT}")
    view.add_argument(
        "--site", type=Path, metavar="SITE.yaml", help="of the daemon, on its box: brings pictures and the whole why"
    )
    view.add_argument("--bind", default=MAP_BIND, metavar="ADDRESS:PORT", help="default: %(default)s; port 0: any")
    view.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="name by which a reverse proxy asks; repeatable"
    )
    view.add_argument("--snapshot", metavar="ENDPOINT", help="default: the site file's, else the next port")
    view.add_argument("--preview", metavar="ENDPOINT", help="of small pictures; default: the site file's")
    view.add_argument("--key", type=Path, metavar="FILE", help="as of `watch`")
    view.add_argument("--browse", action="store_true", help="open a browser, where there is a screen")

    play = _verb(verbs, "play", _play, "Publish a recording of messages once more, at its pace", MESSAGES)
    play.add_argument("file", metavar="FILE", help="what `watch --json` printed; - is standard input")
    play.add_argument("--bind", action="append", metavar="ENDPOINT", help=f"default: {ENDPOINT}; may be repeated")
    play.add_argument("--snapshot", default=SNAPSHOT, metavar="ENDPOINT", help="default: %(default)s")
    play.add_argument("--speed", type=float, default=1.0, metavar="N", help="2 is twice as fast")
    play.add_argument("--wait-for-subscriber", type=float, default=0.0, metavar="SECONDS", help="as of `run`")

    status = _verb(verbs, "status", _status, "Say how a running daemon fares")
    _control(status)
    status.add_argument("--json", action="store_true", help="everything, as JSON")
    reload = _verb(verbs, "reload", _reload, "Have a running daemon read its config again; fails if that is faulty")
    _control(reload)
    explain = _verb(verbs, "explain", _explain, "Say why a person has its id: gate, distance, cosine, margin")
    explain.add_argument("id", type=int, help="the id")
    _control(explain)

    keys = _verb(verbs, "keys", None, "Say who may subscribe to encrypted endpoints (publish.keys)")
    key_verbs = keys.add_subparsers(title="commands", metavar="COMMAND", required=True)
    new = _verb(key_verbs, "new", _keys_new, "Let a subscriber in: writes its key file, to be given to it")
    revoke = _verb(key_verbs, "revoke", _keys_revoke, "Shut a subscriber out, from the next reload on")
    known = _verb(key_verbs, "list", _keys_list, "Show who may connect")
    for verb in (new, revoke, known):
        verb.add_argument("folder", type=Path, metavar="FOLDER", help="as publish.keys names it")
    for verb in (new, revoke):
        verb.add_argument("name", help="of the subscriber")
    new.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.key here")

    demo = _verb(verbs, "demo", _demo, "Follow people across two cameras of a real clip and draw their ways")
    demo.add_argument("--realtime", action="store_true", help="by the clip's clock; default: as fast as possible")
    demo.add_argument("--out", type=Path, default=Path("demo-map.png"), metavar="PNG", help="default: %(default)s")
    _cache(demo)

    many = _verb(
        verbs, "demo-site", _demo_site, "The same clip on two boxes, a simulated third, and the hub of their site"
    )
    many.add_argument("--seconds", type=float, metavar="N", help="to show; default: $DEMO_SECONDS, else the whole clip")
    many.add_argument("--out", type=Path, default=Path("demo-site-map.png"), metavar="PNG", help="default: %(default)s")
    _cache(many)

    replaying.add_verbs(verbs)
    evaluation.add_verbs(verbs)
    engine_verbs.add_verbs(verbs)
    service_verbs.add_verbs(verbs)
    site_verbs.add_verbs(verbs)
    return top


def _verb(
    verbs: Any, name: str, run: Callable[[argparse.Namespace], int] | None, text: str, more: str = ""
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text + ".", epilog=more)
    if run:
        verb.set_defaults(run=run)
    return verb


def _site(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file")


def _cache(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where models and engines are kept; default: $CACHE_DIRECTORY, as root /var/cache/spoton-edge, "
        "else ~/.cache/spoton-edge",
    )


def _control(verb: argparse.ArgumentParser) -> None:
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--site", metavar="NAME", help="name of the site; default: the only daemon that runs here")
    where.add_argument("--control", metavar="ENDPOINT", help="as runtime.control names it")
    where.add_argument("--pid", type=int, metavar="PID", help="the daemon that is this process")


def _endpoint(options: argparse.Namespace) -> str:
    from spoton_edge import control

    if options.pid is not None:
        return control.of_process(options.pid)
    return str(options.control or control.find(options.site))


def _calibrate(verbs: Any) -> None:
    from spoton_edge.calibration.verbs import add_verbs

    add_verbs(verbs)


def _part(module: str, extra: str) -> Any:
    """A module of this package whose dependencies are optional."""
    try:
        return importlib.import_module(f"spoton_edge.{module}")
    except ImportError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[{extra}]'") from None


def _unwind_on(number: signal.Signals, code: int) -> None:
    """Have a signal end the program with a code in order: what was started is stopped, what was half written goes."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, lambda *_: sys.exit(code))


def _run(options: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        _unwind_on(number, ExitCode.STOPPED)  # until the daemon runs and takes them itself
    from spoton_edge import config, models, state

    site = config.load(options.site, with_files=True)  # its faults are told even where an extra is missing
    service = _part("service", "cpu")
    cache, kept = models.cache_dir(options.cache), options.state or state.state_dir()
    daemon = service.Service(options.site, site, cache=cache, state=kept, fast=options.fast)
    code: int = daemon.run(wait_for_subscriber_s=options.wait_for_subscriber)
    return code


def _check(options: argparse.Namespace) -> int:
    from spoton_edge import config, credentials
    from spoton_edge.calibration.judge import refusals

    problems = config.check(options.site, refusals)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return ExitCode.USAGE
    site = config.load(options.site)
    names = credentials.names_in(camera.source for camera in site.cameras)
    if names and credentials.unreadable():
        print(f"not checked: credentials {', '.join(names)}; only root may read {credentials.FOLDER}", file=sys.stderr)
    else:
        for name in names:
            credentials.read(name)
    print(config.effective(site) if options.show else f"{options.site}: good")
    return ExitCode.STOPPED


def _snapshot(options: argparse.Namespace) -> int:
    from spoton_edge import config

    site = config.load(options.site)
    cameras = {camera.name: camera for camera in site.cameras}
    if options.camera not in cameras:
        raise UsageError(f"{options.site}: no camera {options.camera}; there are {', '.join(cameras)}")
    building = _part("building", "cpu")
    image = _part("capture", "edge").save_snapshot(building.source_of(cameras[options.camera]), options.out)
    print(f"{options.out}: {image.shape[1]}x{image.shape[0]} px")
    return ExitCode.STOPPED


def _schema(options: argparse.Namespace) -> int:
    from spoton_edge import config, wire

    print(json.dumps(wire.schemas() if options.messages else config.schema(), indent=2))
    return ExitCode.STOPPED


def _models_fetch(options: argparse.Namespace) -> int:
    from spoton_edge import models

    print(models.fetch(options.name, models.cache_dir(options.cache), _progress))
    return ExitCode.STOPPED


def _models_list(options: argparse.Namespace) -> int:
    from spoton_edge import models

    for row in models.listing(models.cache_dir(options.cache)):
        size = f"{row.size_bytes / 1e6:.1f} MB" if row.size_bytes else "-"
        print(f"{row.name:14} {row.kind:9} {row.state:9} {size:>8}  {row.about}; {row.licence}")
    return ExitCode.STOPPED


def _models_path(options: argparse.Namespace) -> int:
    from spoton_edge import models

    print(models.resolve(options.name, models.cache_dir(options.cache)))
    return ExitCode.STOPPED


def _watch(options: argparse.Namespace) -> int:
    code: int = _part("watch", "edge").run(
        options.endpoint, as_json=options.json, snapshot=options.snapshot, key=options.key
    )
    return code


def _view(options: argparse.Namespace) -> int:
    command = _part("view.command", "view")
    daemon = command.daemon_of(
        options.endpoint, options.site, snapshot=options.snapshot, preview=options.preview, key=options.key
    )
    code: int = command.run(daemon, bind=options.bind, hosts=options.host, browse=options.browse)
    return code


def _play(options: argparse.Namespace) -> int:
    from spoton_edge import play

    bind = options.bind or [ENDPOINT]
    wait_s = options.wait_for_subscriber
    return play.run(
        options.file, bind=bind, snapshot=options.snapshot, speed=options.speed, wait_for_subscriber_s=wait_s
    )


def _status(options: argparse.Namespace) -> int:
    from spoton_edge import control

    return control.status(_endpoint(options), as_json=options.json)


def _reload(options: argparse.Namespace) -> int:
    from spoton_edge import control

    return control.reload(_endpoint(options))


def _explain(options: argparse.Namespace) -> int:
    from spoton_edge import control

    return control.explain(_endpoint(options), options.id)


def _keys_new(options: argparse.Namespace) -> int:
    from spoton_edge import keys

    print(keys.new(options.folder, options.name, options.out))
    return ExitCode.STOPPED


def _keys_revoke(options: argparse.Namespace) -> int:
    from spoton_edge import keys

    keys.revoke(options.folder, options.name)
    return ExitCode.STOPPED


def _keys_list(options: argparse.Namespace) -> int:
    from spoton_edge import keys

    for name, public in keys.listing(options.folder):
        print(f"{name:24} {public}")
    return ExitCode.STOPPED


def _demo(options: argparse.Namespace) -> int:
    _mind_window()
    code: int = _part("demo", "demo").run(realtime=options.realtime, out=options.out, cache=options.cache)
    return code


def _demo_site(options: argparse.Namespace) -> int:
    given = os.environ.get("DEMO_SECONDS")
    try:
        seconds = options.seconds if options.seconds is not None or not given else float(given)
    except ValueError:
        seconds = -1.0
    if seconds is not None and not seconds > 0:
        raise UsageError("--seconds, DEMO_SECONDS: write a number above 0")
    _mind_window()
    code: int = _part("demo_site.command", "demo-site").run(seconds=seconds, out=options.out, cache=options.cache)
    return code


def _mind_window() -> None:
    """Where the window of a demo is closed, what it has started and its scratch folder go too."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        _unwind_on(signal.SIGHUP, 128 + signal.SIGHUP)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

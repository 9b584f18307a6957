"""The command line. Each verb's work lies in its module; this file says what may be typed and turns errors into exit
codes."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spoton_edge import __version__
from spoton_edge import replay_verbs as replaying
from spoton_edge.errors import ExitCode, MissingExtraError, SpotOnError, UsageError
from spoton_edge.evaluation import command as evaluation

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5591"

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
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=getattr(logging, options.log_level.upper()),
        format="%(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except SpotOnError as error:
        print(f"error: {error}", file=sys.stderr)
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

    watch = _verb(verbs, "watch", _watch, "Show the people on a site as they are published")
    watch.add_argument("endpoint", nargs="?", default=DEFAULT_ENDPOINT, help="default: %(default)s")
    watch.add_argument("--json", action="store_true", help="one message a line instead of the table; a recording")

    demo = _verb(verbs, "demo", _demo, "Follow people across two cameras of a real clip and draw their ways")
    demo.add_argument("--realtime", action="store_true", help="by the clip's clock; default: as fast as possible")
    demo.add_argument("--out", type=Path, default=Path("demo-map.png"), metavar="PNG", help="default: %(default)s")
    _cache(demo)

    replaying.add_verbs(verbs)
    evaluation.add_verbs(verbs)
    return top


def _verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int] | None, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text + ".")
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


def _part(module: str, extra: str) -> Any:
    """A module of this package whose dependencies are optional."""
    try:
        return importlib.import_module(f"spoton_edge.{module}")
    except ImportError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[{extra}]'") from None


def _run(options: argparse.Namespace) -> int:
    from spoton_edge import config, models

    site = config.load(options.site)
    service = _part("service", "cpu")
    daemon = service.Service(site, cache=models.cache_dir(options.cache), fast=options.fast)
    code: int = daemon.run(wait_for_subscriber_s=options.wait_for_subscriber)
    return code


def _check(options: argparse.Namespace) -> int:
    from spoton_edge import config

    problems = config.check(options.site)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return ExitCode.USAGE
    print(config.effective(config.load(options.site)) if options.show else f"{options.site}: good")
    return ExitCode.STOPPED


def _snapshot(options: argparse.Namespace) -> int:
    from spoton_edge import config

    site = config.load(options.site)
    cameras = {camera.name: camera for camera in site.cameras}
    if options.camera not in cameras:
        raise UsageError(f"{options.site}: no camera {options.camera}; there are {', '.join(cameras)}")
    service = _part("service", "cpu")
    image = _part("capture", "edge").save_snapshot(service.source_of(cameras[options.camera]), options.out)
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
        print(f"{row.name:14} {row.kind:9} {row.state:9} {size:>8}  {row.licence:12} {row.about}")
    return ExitCode.STOPPED


def _models_path(options: argparse.Namespace) -> int:
    from spoton_edge import models

    print(models.resolve(options.name, models.cache_dir(options.cache)))
    return ExitCode.STOPPED


def _watch(options: argparse.Namespace) -> int:
    code: int = _part("watch", "edge").run(options.endpoint, as_json=options.json)
    return code


def _demo(options: argparse.Namespace) -> int:
    code: int = _part("demo", "demo").run(realtime=options.realtime, out=options.out, cache=options.cache)
    return code


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

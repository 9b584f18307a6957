"""What may be typed to join boxes to one site: `uplink`, `site HUB.yaml`, `site enroll`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spoton_edge.errors import ExitCode, MissingExtraError

FOLDER = Path("/etc/spoton-edge/nats")
SERVE, VERBS = "serve", ("serve", "enroll")
ENROLL = """\
Lets a box in: makes its key, writes its leaf node's config and the hub's anew. The first one also makes the site's
certificate authority, the hub's certificate and the site service's key, and needs --site and --hub. Private keys are
written for their owner alone and never shown. Afterwards take boxes/BOX to the box and have the hub read its config
again."""


def add_verbs(verbs: Any) -> None:
    """Add the verbs to a command line."""
    text = "Join this box to a site of many, beside a running daemon"
    uplink = verbs.add_parser("uplink", help=text, description=text + ".")
    uplink.set_defaults(run=run_uplink)
    uplink.add_argument("site", type=Path, metavar="SITE.yaml", help="the box's site file, with `uplink.server`")
    uplink.add_argument("--key", type=Path, metavar="FILE", help="as of `watch`")
    text = "Say who on one box is whom on another: site HUB.yaml"
    usage = "spoton-edge site HUB.yaml | spoton-edge site enroll BOX"
    site = verbs.add_parser("site", help=text, description=text + ".", usage=usage)
    inner = site.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = inner.add_parser(SERVE, help="The same as: site HUB.yaml", description=text + ".")
    serve.set_defaults(run=run_site)
    serve.add_argument("hub", type=Path, metavar="HUB.yaml", help="the site's boxes, and the ways between them")
    verb = inner.add_parser("enroll", help="Let a box in, or put it out", description=ENROLL)
    verb.set_defaults(run=run_enroll)
    verb.add_argument("box", metavar="BOX", help="name of the box, as `box` in its site file")
    verb.add_argument("--revoke", action="store_true", help="put it out: its key opens nothing any more")
    verb.add_argument(
        "--folder", type=Path, default=FOLDER, metavar="DIR", help="where all that is kept; default: %(default)s"
    )
    verb.add_argument("--site", metavar="NAME", help="name of the site, as `site` in its boxes' files")
    verb.add_argument(
        "--hub", action="append", default=[], metavar="ADDRESS", help="as the boxes reach it; three times: a cluster"
    )
    verb.add_argument(
        "--ca", nargs=2, type=Path, metavar=("CERT", "KEY"), help="a certificate authority of yours; default: its own"
    )
    verb.add_argument("--listen", metavar="ADDRESS", help="on which a hub listens; default: all it has")
    verb.add_argument("--store", metavar="DIR", help="where servers keep streams; default: /var/lib/spoton-edge-nats")
    verb.add_argument(
        "--ports",
        nargs=4,
        type=int,
        metavar=("CLIENTS", "LEAVES", "CLUSTER", "LOCAL"),
        help="three of the hub, and of the box for itself; default: 4222 7422 6222 4223",
    )


def spelt_out(arguments: Sequence[str]) -> list[str]:
    """A command line with `site HUB.yaml` written as `site serve HUB.yaml`, which a parser can tell from `enroll`."""
    given = list(arguments)
    verb = 0
    while verb < len(given) and given[verb].startswith("-"):
        verb += 2 if given[verb] == "--log-level" else 1
    after = given[verb + 1 : verb + 2]
    if given[verb : verb + 1] == ["site"] and after and after[0] not in VERBS and not after[0].startswith("-"):
        given.insert(verb + 1, SERVE)
    return given


def run_uplink(options: argparse.Namespace) -> int:
    """`spoton-edge uplink`."""
    code: int = _programs().uplink(options.site, options.key)
    return code


def run_site(options: argparse.Namespace) -> int:
    """`spoton-edge site HUB.yaml`."""
    code: int = _programs().site(options.hub)
    return code


def _programs() -> Any:
    try:
        return importlib.import_module("spoton_edge.site.verbs")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[site]'") from None


def run_enroll(options: argparse.Namespace) -> int:
    """`spoton-edge site enroll`."""
    try:
        from spoton_edge import enrolment
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[site]'") from None
    place = enrolment.Place(
        options.folder,
        site=options.site,
        hubs=options.hub,
        authority=options.ca and tuple(options.ca),
        listen=options.listen,
        store=options.store,
        ports=options.ports and tuple(options.ports),
    )
    hubs = f"{place.folder}/hub of the hub, hub-1 to hub-3 of a cluster's: take it to {FOLDER}/hub there, and"
    if options.revoke:
        enrolment.revoke(place, options.box)
        print(
            f"{options.box} is put out as soon as each hub has read its new config; `spoton-edge site` hangs up on it:"
        )
    else:
        folder = enrolment.enroll(place, options.box)
        print(f"{options.box} is let in; next, as root:")
        print(f"  take what is in {folder} to {FOLDER}/leaf of the box, delete it here, and there:")
        print("    systemctl enable --now spoton-edge-nats-leaf spoton-edge-uplink")
    print(f"  {hubs}")
    print("    systemctl enable spoton-edge-nats-hub; systemctl reload-or-restart spoton-edge-nats-hub")
    return ExitCode.STOPPED

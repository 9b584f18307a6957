"""What may be typed to join boxes to one site: `site enroll`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spoton_edge.errors import ExitCode, MissingExtraError

FOLDER = Path("/etc/spoton-edge/nats")
ENROLL = """\
Lets a box in: makes its key, writes its leaf node's config and the hub's anew. The first one also makes the site's
certificate authority, the hub's certificate and the site service's key, and needs --site and --hub. Private keys are
written for their owner alone and never shown. Afterwards take boxes/BOX to the box and start the hub again."""


def add_verbs(verbs: Any) -> None:
    """Add the verbs to a command line."""
    text = "Join boxes to one site"
    site = verbs.add_parser("site", help=text, description=text + ".")
    inner = site.add_subparsers(title="commands", metavar="COMMAND", required=True)
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
        print(f"{options.box} is put out once each hub has its new config and was started again:")
    else:
        folder = enrolment.enroll(place, options.box)
        print(f"{options.box} is let in; next, as root:")
        print(f"  take what is in {folder} to {FOLDER}/leaf of the box, delete it here, and there:")
        print("    systemctl enable --now spoton-edge-nats-leaf spoton-edge-uplink")
    print(f"  {hubs}")
    print("    systemctl enable spoton-edge-nats-hub; systemctl restart spoton-edge-nats-hub")
    return ExitCode.STOPPED

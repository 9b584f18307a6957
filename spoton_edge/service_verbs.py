"""What may be typed to put the service in place and to keep it well: `install`, `uninstall`, `credential`, `doctor`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spoton_edge import credentials, installation, models
from spoton_edge.errors import ExitCode, MissingExtraError
from spoton_edge.state import state_dir

INSTALL = """\
Puts the service of this virtual environment in place: units, user and folders. Sites and credentials that are there
stay as they are. After an upgrade of the environment, run it again. The Debian package needs none of this."""
SET = """\
Keeps a camera's login for the service, root alone may read it: `user:password`, as typed, unseen, or from standard
input. In the site file it is `{cred:NAME}`. A service that runs has it after its next restart."""

DOCTOR = """\
Says what is wrong and what to do: GPU, driver, engines, decoders, models, disk, clock, endpoints, every camera (each
is opened for some seconds) and its calibration. With --service the service's own user asks all that, in its sandbox and
with its credentials; without it, what only that shows is left out. Ends with 1 where something is wrong."""


def add_verbs(verbs: Any) -> None:
    """Add the verbs to a command line."""
    install = verbs.add_parser("install", help="Put the service in place (not for the package)", description=INSTALL)
    install.set_defaults(run=run_install)
    _root(install)
    text = "Remove the service that `install` put in place"
    uninstall = verbs.add_parser("uninstall", help=text, description=text + ".")
    uninstall.set_defaults(run=run_uninstall)
    uninstall.add_argument("--purge", action="store_true", help="also sites, credentials, state, models and the user")
    _root(uninstall)

    text = "Keep the logins of cameras for the service"
    credential = verbs.add_parser("credential", help=text, description=text + ".")
    inner = credential.add_subparsers(title="commands", metavar="COMMAND", required=True)
    store = inner.add_parser("set", help="Set a login", description=SET)
    store.set_defaults(run=run_set)
    store.add_argument("name", metavar="NAME", help="as {cred:NAME} in the site file")

    doctor = verbs.add_parser("doctor", help="Say what is wrong with this box and site", description=DOCTOR)
    doctor.set_defaults(run=run_doctor)
    site = Path("/etc/spoton-edge/site.yaml")
    doctor.add_argument("site", nargs="?", type=Path, default=site, metavar="SITE.yaml", help="default: %(default)s")
    doctor.add_argument("--service", action="store_true", help="as the service's user, in its sandbox; for root")
    doctor.add_argument("--report", type=Path, metavar="FILE", help="also write a file without secrets, to be sent")
    doctor.add_argument("--json", action="store_true", help="the findings as JSON")


def run_install(options: argparse.Namespace) -> int:
    """`spoton-edge install`."""
    installation.install(_target(options), print)
    return ExitCode.STOPPED


def run_uninstall(options: argparse.Namespace) -> int:
    """`spoton-edge uninstall`."""
    installation.uninstall(_target(options), print, purge=options.purge)
    return ExitCode.STOPPED


def run_set(options: argparse.Namespace) -> int:
    """`spoton-edge credential set`."""
    print(f"{credentials.store(options.name, credentials.ask(options.name))}: kept for the service's next start")
    return ExitCode.STOPPED


def run_doctor(options: argparse.Namespace) -> int:
    """`spoton-edge doctor`."""
    try:
        from spoton_edge import doctor
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("spoton_edge"):
            raise
        raise MissingExtraError(f"this needs {error.name}: pip install 'spoton-edge[cpu]'") from None
    findings: list[doctor.Finding] = []
    for finding in (
        doctor.examine_as_service(options.site)
        if options.service
        else doctor.examine(options.site, models.cache_dir(), state_dir())
    ):
        findings.append(finding)
        if not options.json:
            print(finding.line(), flush=True)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    if options.report is not None:
        doctor.write_report(options.report, options.site, findings)
        print(f"{options.report}: written; read it before you send it")
    return ExitCode.UNEXPECTED if any(finding.verdict == "wrong" for finding in findings) else ExitCode.STOPPED


def _root(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="of an image that is being made; default: /"
    )


def _target(options: argparse.Namespace) -> installation.Target:
    return installation.Target(installation.own_program(), options.root)

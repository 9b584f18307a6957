"""Takes boxes into a site and puts them out of it: the folder of keys, certificates and configs, on one hub's machine.

    site.json                       what was enrolled: public keys only
    ca.pem  ca.key                  the site's certificate authority; its key is secret
    service.key                     the private key of the site service
    hub/                            for the hub: hub.conf, hub.pem, hub.key, ca.pem; for a cluster hub-1/ to hub-3/
    boxes/BOX/                      for the box: leaf.conf, box.key, ca.pem

What is secret is its owner's alone (0600). Units look for FOLDER/hub and, on a box, FOLDER/leaf: a hub that runs on
this machine finds its files in place, the others' are to be taken there.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import nkeys

from spoton_edge.enrolment import accounts, certificates
from spoton_edge.enrolment.accounts import Servers
from spoton_edge.enrolment.certificates import Pair
from spoton_edge.errors import KeysError, UsageError

FOLDER = Path("/etc/spoton-edge/nats")
RESERVED = ("hub", "bucket", "clock", "identities")  # what else comes after spoton.1.SITE, and the hub's own domain
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9a-fA-F:]+")
_PUBLIC = re.compile(r"U[A-Z2-7]{55}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a site's folder is, and what is said of the site where it is not there yet, or changes.

    Attributes:
        hubs: addresses, one or three; empty: as they were.
        authority: files with a certificate authority's certificate and key; None: the site's own, made where needed.
    """

    folder: Path = FOLDER
    site: str | None = None
    hubs: Sequence[str] = ()
    authority: tuple[Path, Path] | None = None
    listen: str | None = None
    store: str | None = None
    ports: tuple[int, int, int, int] | None = None  # of clients, leaf nodes and the cluster at a hub; local at a box


@dataclass(frozen=True, slots=True)
class _Site:
    """What `site.json` keeps."""

    servers: Servers
    service: str
    boxes: dict[str, str] = field(default_factory=dict)


def enroll(place: Place, box: str) -> Path:
    """Make a key for a box and let it in; returns the folder that has to be taken to the box.

    Raises:
        UsageError: the name is none or taken, or it is not known where the hub is.
        KeysError: a file cannot be read or written, or is not what it should be.
    """
    _check_name(box, "a box")
    if box in RESERVED:
        raise UsageError(f"a box cannot be called {box}: the site's subjects use the name")
    site = _opened(place)
    if box in site.boxes:
        raise UsageError(f"{box} is enrolled; for a new key revoke it first: spoton-edge site enroll --revoke {box}")
    seed, public = _new_key()
    target = place.folder / "boxes" / box
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True, mode=0o700)
        _write(target / "leaf.conf", accounts.leaf_config(site.servers, box, public, seed), secret=True)
        _write(target / "box.key", seed, secret=True)
        shutil.copyfile(place.folder / "ca.pem", target / "ca.pem")
        _save(place, replace(site, boxes={**site.boxes, box: public}))
    except OSError as error:
        raise _unwritable(error) from None
    return target


def revoke(place: Place, box: str) -> None:
    """Put a box out: from the hub's next reload on, its key opens nothing, and what it wrote before stays.

    Raises:
        UsageError: no such box is enrolled.
        KeysError: a file cannot be read or written.
    """
    if not (place.folder / "site.json").exists():
        raise UsageError(f"{place.folder}: nothing was enrolled here")
    site = _opened(place)
    if box not in site.boxes:
        raise UsageError(f"{box} is not enrolled; there are: {', '.join(sorted(site.boxes)) or 'none'}")
    try:
        _save(place, replace(site, boxes={name: key for name, key in site.boxes.items() if name != box}))
        shutil.rmtree(place.folder / "boxes" / box, ignore_errors=True)
    except OSError as error:
        raise _unwritable(error) from None


def _hub_folder(folder: Path, servers: Servers, number: int) -> Path:
    """Where the files of hub `number`, from 1, are."""
    return folder / ("hub" if len(servers.addresses) == 1 else f"hub-{number}")


def _opened(place: Place) -> _Site:
    """The site as it is kept, changed as `place` says; its authority and its service's key are made where there are
    none."""
    path = place.folder / "site.json"
    known = _read(path) if path.exists() else None
    name = place.site or (known.servers.site if known else None)
    hubs = tuple(place.hubs) or (tuple(known.servers.addresses) if known else ())
    if name is None or not hubs:
        raise UsageError(f"{place.folder} holds no site yet; say --site NAME and --hub ADDRESS, as the boxes reach it")
    if known and name != known.servers.site:
        raise UsageError(f"{place.folder} is of site {known.servers.site}, not of {name}; use another folder")
    if known and known.boxes and hubs != tuple(known.servers.addresses):
        raise UsageError(f"the boxes know the hub as {', '.join(known.servers.addresses)}; revoke them before it moves")
    _check_name(name, "a site")
    if len(hubs) not in (1, 3) or not all(_ADDRESS.fullmatch(hub) for hub in hubs) or len(set(hubs)) < len(hubs):
        raise UsageError("a site has one hub or three, each with a host name or an address")
    servers = replace(known.servers, addresses=hubs) if known else Servers(name, hubs)
    if place.listen is not None:
        if not _ADDRESS.fullmatch(place.listen):
            raise UsageError(f"'{place.listen}' is no address to listen on")
        servers = replace(servers, listen=place.listen)
    if place.store is not None:
        if not place.store.isprintable() or set(place.store) & set('"\\'):
            raise UsageError(f"{place.store!r} is no folder that a server's configuration could name")
        servers = replace(servers, store=place.store)
    if place.ports is not None:
        client, leaf, cluster, local = place.ports
        servers = replace(servers, client_port=client, leaf_port=leaf, cluster_port=cluster, local_port=local)
    try:
        place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if place.authority is not None or not (place.folder / "ca.pem").exists():
            authority = _given(place.authority) if place.authority else certificates.make_authority(name)
            _write(place.folder / "ca.key", authority.key, secret=True)
            _write(place.folder / "ca.pem", authority.certificate)
        if known is None:
            seed, public = _new_key()
            _write(place.folder / "service.key", seed, secret=True)
            known = _Site(servers, public)
    except OSError as error:
        raise _unwritable(error) from None
    return replace(known, servers=servers)


def _save(place: Place, site: _Site) -> None:
    """Write down who is enrolled, and every hub's files."""
    authority = _given((place.folder / "ca.pem", place.folder / "ca.key"))
    for number, address in enumerate(site.servers.addresses, 1):
        folder = _hub_folder(place.folder, site.servers, number)
        folder.mkdir(exist_ok=True, mode=0o700)
        certificate = folder / "hub.pem"
        if not (
            certificate.exists()
            and (folder / "hub.key").exists()
            and certificates.is_good(certificate.read_text(encoding="utf-8"), authority, address)
        ):
            pair = certificates.make_server(authority, address)
            _write(folder / "hub.key", pair.key, secret=True)
            _write(certificate, pair.certificate)
        _write(folder / "ca.pem", authority.certificate)
        _write(folder / "hub.conf", accounts.hub_config(site.servers, number, site.service, site.boxes))
    kept = {"servers": asdict(site.servers), "service": site.service, "boxes": site.boxes}
    _write(place.folder / "site.json", json.dumps(kept, indent=2) + "\n")


def _read(path: Path) -> _Site:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        site = _Site(Servers(**kept["servers"]), str(kept["service"]), dict(kept["boxes"]))
        good = all(_NAME.fullmatch(box) and _PUBLIC.fullmatch(key) for box, key in site.boxes.items())
    except OSError as error:
        raise KeysError(f"{path}: {(error.strerror or str(error)).lower()}; run this as root") from None
    except (ValueError, KeyError, TypeError):
        good = False
    if not good or not _PUBLIC.fullmatch(site.service):
        raise KeysError(f"{path}: not what `spoton-edge site enroll` writes; take it from a backup, or begin anew")
    return site


def _given(files: tuple[Path, Path]) -> Pair:
    try:
        return Pair(*(path.read_text(encoding="utf-8") for path in files))
    except OSError as error:
        raise KeysError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None


def _new_key() -> tuple[str, str]:
    """The private and the public key of a user, as NATS writes them (Ed25519, base32)."""
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for {what}: letters, digits, _ and -, 64 at most")


def _write(path: Path, text: str, *, secret: bool = False) -> None:
    """Whole or not at all; what is secret nobody else could read at any time."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        mode = 0o600 if secret else 0o644
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _unwritable(error: OSError) -> KeysError:
    return KeysError(f"{error.filename}: {(error.strerror or str(error)).lower()}; run this as root")

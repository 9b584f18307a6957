"""Where messages are kept: streams on each box's leaf node, those of the hub that take them over, and who is whom.

On a box positions and events have streams of their own, so that in a long outage positions are let go first. Looks are
kept in memory only, and for no longer than anybody is remembered.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError

from spoton_edge.errors import CredentialError
from spoton_edge.site import messages

HUB_DOMAIN = "hub"
# Of what a box may keep. Births, deaths and crossings are a fifth to a half as many bytes as positions, and so last at
# least twice as long.
POSITIONS_SHARE = 0.5
LOOKS_BYTES = 16 << 20
REPEATS_S = 120.0  # a message that is sent again within this is kept once
HUB_KEEPS_S = 3600.0
BUCKET_TTL_S = 86400.0
STALE_S = 10.0  # a hub's stream that has not asked its source for so long is told to

Errors = (nats.errors.Error, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Source:
    """A box, and the JetStream domain of its leaf node; None: it has none, and its streams are the hub's own."""

    box: str
    domain: str | None


def box_stream(site: str, box: str, kind: str) -> str:
    """The name of a box's stream of a kind of messages."""
    return f"SPOTON_{site}_{box}" if kind == "events" else f"SPOTON_{site}_{box}={kind}"


def site_stream(site: str, kind: str) -> str:
    """The hub's stream of all boxes: of `looks`, or of everything else."""
    return f"SPOTON_{site}" if kind != "looks" else f"SPOTON_{site}={kind}"


def bucket(site: str) -> str:
    """The key-value bucket of who is whom; keys are BOX.RUN.ID."""
    return f"spoton-{messages.VERSION}-{site}-identities"


def credential(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The file of a credential that systemd has loaded for this service, if it has."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder or ".") / name
    return str(path) if folder is not None and path.exists() else None


async def connect(servers: str | Sequence[str], name: str, *, nkey: str | None, ca: str | None, **more: Any) -> Client:
    """A connection that lasts: to whatever server answers, again and again.

    nkey, ca: files, or None.

    Raises:
        CredentialError: the key or the certificate cannot be read.
    """
    for path in (nkey, ca):
        try:
            if path is not None:
                Path(path).read_bytes()
        except OSError as error:
            raise CredentialError(
                f"{path}: {(error.strerror or '').lower()}; make it with: spoton-edge site enroll"
            ) from None
    if ca is not None:
        more["tls"] = ssl.create_default_context(cafile=ca)
    return await nats.connect(
        servers if isinstance(servers, str) else list(servers),
        name=name,
        nkeys_seed=nkey,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.5,
        ping_interval=5,
        **more,
    )


async def ensure(js: JetStreamContext, config: api.StreamConfig) -> None:
    """Have a stream be as it should, whether it is there already or not."""
    try:
        await js.add_stream(config)
    except BadRequestError:
        await js.update_stream(config)


async def ensure_box(
    js: JetStreamContext, site: str, box: str, *, keep_bytes: int, keep_s: float, looks_s: float | None
) -> None:
    """The streams of a box, on its leaf node. looks_s: how long looks are kept there; None: none are to be had."""
    for kind, share in (("events", 1 - POSITIONS_SHARE), ("tracks", POSITIONS_SHARE)):
        await ensure(
            js,
            api.StreamConfig(
                name=box_stream(site, box, kind),
                subjects=[messages.subject(site, box, kind)],
                storage=api.StorageType.FILE,
                max_bytes=int(keep_bytes * share),
                max_age=keep_s,
                max_msg_size=messages.MAX_BYTES,
                duplicate_window=min(REPEATS_S, keep_s),
            ),
        )
    if looks_s is None:
        with contextlib.suppress(NotFoundError):
            await js.delete_stream(box_stream(site, box, "looks"))  # of when the box shared them
        return
    await ensure(
        js,
        api.StreamConfig(
            name=box_stream(site, box, "looks"),
            subjects=[messages.subject(site, box, "looks")],
            storage=api.StorageType.MEMORY,
            max_bytes=LOOKS_BYTES,
            max_age=looks_s,
            max_msg_size=messages.MAX_BYTES,
            duplicate_window=min(REPEATS_S, looks_s),
        ),
    )


def hub_config(site: str, kind: str, boxes: Sequence[Source], *, replicas: int, looks_s: float) -> api.StreamConfig:
    """The hub's stream of a kind (see `site_stream`), which takes over from those of the boxes."""
    kinds = ("looks",) if kind == "looks" else ("events", "tracks")
    sources = [
        api.StreamSource(
            name=box_stream(site, source.box, each),
            external=None
            if source.domain is None
            # Below a subject of the box's: where each box has an account of its own, the hub hears it on no other.
            else api.ExternalStream(
                api=f"$JS.{source.domain}.API", deliver=messages.subject(site, source.box, "deliver")
            ),
        )
        for source in boxes
        for each in kinds
    ]
    return api.StreamConfig(
        name=site_stream(site, kind),
        sources=sources,
        storage=api.StorageType.MEMORY if kind == "looks" else api.StorageType.FILE,
        max_age=looks_s if kind == "looks" else HUB_KEEPS_S,
        num_replicas=replicas,
    )


async def ensure_bucket(js: JetStreamContext, site: str, *, replicas: int) -> None:
    """The bucket of who is whom."""
    await ensure(
        js,
        api.StreamConfig(
            name=f"KV_{bucket(site)}",
            subjects=[f"$KV.{bucket(site)}.>"],
            max_msgs_per_subject=1,
            max_age=BUCKET_TTL_S,
            discard=api.DiscardPolicy.NEW,
            allow_rollup_hdrs=True,
            allow_direct=True,
            deny_delete=True,
            duplicate_window=REPEATS_S,
            storage=api.StorageType.FILE,
            num_replicas=replicas,
        ),
    )


def kept_s(keep_bytes: int, keep_s: float, rates: Mapping[str, float]) -> dict[str, float]:
    """For how long a box's streams keep `events` and `tracks` that come at `rates`, bytes a second as they are kept."""
    shares = {"events": 1 - POSITIONS_SHARE, "tracks": POSITIONS_SHARE}
    return {
        kind: min(share * keep_bytes / rates[kind], keep_s) if rates.get(kind) else keep_s
        for kind, share in shares.items()
    }


async def mind_sources(js: JetStreamContext, config: api.StreamConfig, names: Container[str]) -> list[str]:
    """Have the hub's stream ask those of its sources anew that are there, by their `names`, and that it has not heard
    of, which it does by itself only after most of a minute; which these were."""
    info = await js.stream_info(config.name or "")
    heard = {
        source.name for source in info.sources or [] if source.active is not None and 0 <= source.active < STALE_S * 1e9
    }
    silent = [source.name for source in config.sources or [] if source.name not in heard and source.name in names]
    if silent:
        await js.update_stream(config.evolve(sources=[s for s in config.sources or [] if s.name not in silent]))
        await js.update_stream(config)
    return silent

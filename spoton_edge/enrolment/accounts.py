"""The accounts of a site's NATS servers: who may write and read what, as the text of their configuration files.

On the hub the site service has an account, `SITE`, and each box one of its own. A box sees nothing of the hub but what
its account imports, and the hub nothing of a box but what `SITE` imports from it:

    spoton.1.SITE.BOX.>                 written by that box only: what it tells, and what the hub takes over from it
    spoton.1.SITE.identities            written by the site service only
    spoton.1.SITE.bucket.>              asks for those noted down (JetStream's STREAM.INFO and DIRECT.GET, so called)
    spoton.1.SITE.clock                 asks for the site's time
    $JS.BOX.API.>                       JetStream of the box's leaf node, asked by the hub

A box may ask for no consumer on the hub: that could be told to deliver to any subject of the site's account. The site
service may ask the servers who is connected, and close connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spoton_edge.site import messages, streams
from spoton_edge.site.streams import HUB_DOMAIN
from spoton_edge.site.system_services import ASKED

MAX_PAYLOAD = 2 * messages.MAX_BYTES  # JetStream's own words have room, too
CLIENT_PORT, LEAF_PORT, CLUSTER_PORT = 4222, 7422, 6222  # of a hub, as NATS has them
LOCAL_PORT = 4223  # of a leaf node, on loopback: a box may be a hub, too
# Streams have bounds of their own. Unset, it is a share of what the disk has free when the server starts, and a server
# that started on a full disk would go on writing nothing when there is room.
MAX_STORE = "1TB"
STORE = "/var/lib/spoton-edge-nats"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where a site's servers are. `addresses` are those of the hubs, one or three, as the boxes reach them; `listen` is
    the address on which each hub listens, and `store` the folder in which servers keep their streams."""

    site: str
    addresses: Sequence[str]
    client_port: int = CLIENT_PORT
    leaf_port: int = LEAF_PORT
    cluster_port: int = CLUSTER_PORT
    local_port: int = LOCAL_PORT
    listen: str = "0.0.0.0"  # noqa: S104  boxes are on other machines
    store: str = STORE


def hub_config(servers: Servers, number: int, service: str, boxes: Mapping[str, str]) -> str:
    """The configuration of hub `number`; certificates lie beside it.

    Args:
        service: public key of the site service.
        boxes: public key by name.
    """
    site = servers.site
    accounts = "".join(_box_account(site, box, key) for box, key in sorted(boxes.items()))
    asked = _list("exports", [f'{{service: "{subject}", response: stream, accounts: [SITE]}}' for subject in ASKED])
    return f"""\
# Written by `spoton-edge site enroll`, which writes it anew: change nothing here.
server_name: "hub-{number}"
listen: "{_host(servers.listen)}:{servers.client_port}"
max_payload: {MAX_PAYLOAD}
tls {{cert_file: "hub.pem", key_file: "hub.key"}}
jetstream {{domain: {HUB_DOMAIN}, store_dir: "{servers.store}/hub", max_file_store: {MAX_STORE}, max_memory_store: 1GB}}
leafnodes {{
  listen: "{_host(servers.listen)}:{servers.leaf_port}"
  no_advertise: true
  tls {{cert_file: "hub.pem", key_file: "hub.key"}}
}}
{_cluster(servers, number)}accounts {{
{_site_account(site, service, boxes)}{accounts}  SYS {{
    users: []
{asked}  }}
}}
system_account: SYS
"""


def leaf_config(servers: Servers, box: str, public: str, seed: str) -> str:
    """The configuration of a box's leaf node. It holds the box's private key: the server takes it from nowhere else."""
    urls = ", ".join(f'"nats-leaf://{_host(address)}:{servers.leaf_port}"' for address in servers.addresses)
    account = f'"BOX_{box}"'
    return f"""\
# Written by `spoton-edge site enroll`. Holds the private key of box {box}: keep secret.
server_name: "{box}"
listen: "127.0.0.1:{servers.local_port}"
max_payload: {MAX_PAYLOAD}
jetstream {{domain: "{box}", store_dir: "{servers.store}/leaf", max_file_store: {MAX_STORE}, max_memory_store: 256MB}}
leafnodes {{
  reconnect: 1s
  remotes: [{{urls: [{urls}], account: {account}, nkey: "{seed}", tls {{ca_file: "ca.pem"}}}}]
}}
accounts {{
  {account} {{jetstream: enabled, users: [{{nkey: {public}}}]}}
  SYS {{users: []}}
}}
system_account: SYS
"""


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _account(box: str, key: str) -> str:
    """Of a box at the hub. Another key is another account: so the old one is gone with it (see `shut_out`)."""
    return f'"BOX_{box}_{key[1:9]}"'


def _cluster(servers: Servers, number: int) -> str:
    if len(servers.addresses) == 1:
        return ""
    routes = ", ".join(
        f'"nats-route://{_host(address)}:{servers.cluster_port}"'
        for other, address in enumerate(servers.addresses, 1)
        if other != number
    )
    return f"""\
cluster {{
  name: {HUB_DOMAIN}
  listen: "{_host(servers.listen)}:{servers.cluster_port}"
  no_advertise: true
  routes: [{routes}]
  # Each proves to be a hub of this site, to the others and to those it calls.
  tls {{cert_file: "hub.pem", key_file: "hub.key", ca_file: "ca.pem", verify: true}}
}}
"""


def _site_account(site: str, service: str, boxes: Mapping[str, str]) -> str:
    exports = [
        f'{{stream: "{messages.identities(site)}"}}',
        f'{{service: "{messages.clock(site)}"}}',
        *(f'{{service: "{asked}", response: stream}}' for asked in _bucket_api(site)),
    ]
    imports = [entry for box, key in sorted(boxes.items()) for entry in _from_box(site, box, key)]
    imports += [f'{{service: {{account: SYS, subject: "{subject}"}}}}' for subject in ASKED]
    users = f"users: [{{nkey: {service}, allowed_connection_types: [STANDARD]}}]"
    return (
        f"  SITE {{\n    jetstream: enabled\n    {users}\n{_list('exports', exports)}{_list('imports', imports)}  }}\n"
    )


def _box_account(site: str, box: str, key: str) -> str:
    exports = [
        f'{{stream: "{messages.subject(site, box, ">")}", accounts: [SITE]}}',
        *(f'{{service: "{asked}", response: stream, accounts: [SITE]}}' for asked in _leaf_api(site, box)),
    ]
    imports = [
        f'{{stream: {{account: SITE, subject: "{messages.identities(site)}"}}}}',
        f'{{service: {{account: SITE, subject: "{messages.clock(site)}"}}}}',
        *(
            f'{{service: {{account: SITE, subject: "{asked}"}}, '
            f'to: "{_bucket_prefix(site)}.{asked.removeprefix("$JS.API.")}"}}'
            for asked in _bucket_api(site)
        ),
    ]
    # The account alone keeps what is forged from going anywhere; with this, the hub says so in its log.
    said = ", ".join(f'"{subject}"' for subject in (messages.subject(site, box, ">"), *_asked(site), "_R_.>"))
    users = (
        f"users: [{{nkey: {key}, allowed_connection_types: [LEAFNODE], permissions: {{publish: {{allow: [{said}]}}}}}}]"
    )
    return f"  {_account(box, key)} {{\n    {users}\n{_list('exports', exports)}{_list('imports', imports)}  }}\n"


def _asked(site: str) -> list[str]:
    """What a box may ask of the site."""
    return [messages.clock(site), f"{_bucket_prefix(site)}.>"]


def _from_box(site: str, box: str, key: str) -> list[str]:
    account = _account(box, key)
    return [
        f'{{stream: {{account: {account}, subject: "{messages.subject(site, box, ">")}"}}}}',
        *(f'{{service: {{account: {account}, subject: "{asked}"}}}}' for asked in _leaf_api(site, box)),
    ]


def _bucket_prefix(site: str) -> str:
    return f"spoton.{messages.VERSION}.{site}.bucket"


def _bucket_api(site: str) -> list[str]:
    bucket = streams.bucket(site)
    get = f"$JS.API.DIRECT.GET.KV_{bucket}"
    return [f"$JS.API.STREAM.INFO.KV_{bucket}", get, f"{get}.>"]


def _leaf_api(site: str, box: str) -> list[str]:
    """What the hub's streams ask of a leaf node that they take over from, and how they keep its pace."""
    names = [streams.box_stream(site, box, kind) for kind in ("events", "tracks", "looks")]
    pace = [f"$JS.{kind}.{name}.>" for name in names for kind in ("FC", "ACK")]
    return [f"$JS.{box}.API.>", *pace]


def _list(name: str, entries: Sequence[str]) -> str:
    return f"    {name}: [\n" + "".join(f"      {entry}\n" for entry in entries) + "    ]\n" if entries else ""

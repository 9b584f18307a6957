"""A leaf node that keeps to no rule: speaks the protocol of leaf nodes by hand, with a key that it has."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from pathlib import Path

import nkeys


class RawLeaf:
    """Connected to the leaf node port of a hub as the owner of the key in `seed`."""

    def __init__(self, address: tuple[str, int], seed: Path, authority: Path) -> None:
        plain = socket.create_connection(address, timeout=10.0)
        nonce = json.loads(plain.makefile("rb", buffering=0).readline().removeprefix(b"INFO "))["nonce"]
        trust = ssl.create_default_context(cafile=authority)
        trust.check_hostname = False
        self._line = trust.wrap_socket(plain)
        pair = nkeys.from_seed(bytearray(seed.read_bytes()))
        signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
        hello = {
            "nkey": pair.public_key.decode(),
            "sig": signature,
            "name": "raw",
            "version": "2.11.0",
            "headers": True,
        }
        self.say(f"CONNECT {json.dumps(hello)}\r\nPING\r\n".encode())
        self._file = self._line.makefile("rb")

    def say(self, data: bytes) -> None:
        self._line.sendall(data)

    def message(self, subject: str, payload: bytes, reply: str = "") -> None:
        """A message as leaf nodes send it on."""
        head = " ".join(filter(None, ("LMSG", subject, reply, str(len(payload)))))
        self.say(head.encode() + b"\r\n" + payload + b"\r\n")

    def until(self, word: bytes) -> list[bytes]:
        """What the hub says, up to a line that begins with `word`; all of it where the hub hangs up first."""
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(word):
            line = self._file.readline()
            if not line:
                break
            lines.append(line.rstrip())
        return lines

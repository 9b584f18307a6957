"""JSON and msgpack, as far as messages need them: a map whose `seq` is filled in later, and a map of encoded parts."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from spoton_edge.errors import MissingExtraError

Dump = Callable[[Any], bytes]


class JsonCodec:
    """JSON by orjson where it is installed, else by the standard library."""

    def __init__(self) -> None:
        try:
            self.dumps: Dump = importlib.import_module("orjson").dumps
        except ImportError:
            self.dumps = _json_dumps

    def split(self, envelope: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """What stands before and after the value of `seq` in a map of all."""
        return self.dumps(envelope)[:-1] + b',"seq":', b"," + self.dumps(body)[1:]

    def nest(self, envelope: Mapping[str, Any], parts: Mapping[str, bytes | None]) -> bytes:
        """A map of the envelope and of parts that are encoded already."""
        members = [self.dumps(name) + b":" + (part or b"null") for name, part in parts.items()]
        return self.dumps(envelope)[:-1] + b"," + b",".join(members) + b"}"


class MsgpackCodec:
    """msgpack, whose maps of up to 15 entries begin with one byte, the count in its low half. No kind has more."""

    def __init__(self) -> None:
        try:
            self.dumps: Dump = importlib.import_module("msgpack").packb
        except ImportError:
            raise MissingExtraError("publish.format msgpack needs the package msgpack; pip install msgpack") from None

    def split(self, envelope: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """What stands before and after the value of `seq` in a map of all."""
        head = self._header(len(envelope) + 1 + len(body)) + self.dumps(envelope)[1:] + self.dumps("seq")
        return head, self.dumps(body)[1:]

    def nest(self, envelope: Mapping[str, Any], parts: Mapping[str, bytes | None]) -> bytes:
        """A map of the envelope and of parts that are encoded already."""
        members = [self.dumps(name) + (part or self.dumps(None)) for name, part in parts.items()]
        return self._header(len(envelope) + len(parts)) + self.dumps(envelope)[1:] + b"".join(members)

    def _header(self, entries: int) -> bytes:
        assert entries <= 15
        return bytes([0x80 | entries])


Codec: TypeAlias = JsonCodec | MsgpackCodec


def _json_dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

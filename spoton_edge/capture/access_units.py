"""Pictures of an RTP stream put together from its packets as soon as they are whole.

FFmpeg's parsers see that a picture (an access unit) is whole when the next one begins: a frame period later. Its RTP
reader hands out NAL units and fragments of them instead when no parser is asked for, and these can tell sooner: units
are cut into fragments of one length, so that a shorter one is a unit's last, and encoders cut all pictures into the
same number of slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av

_START = b"\0\0\0\1"
_LEARN = 30  # pictures
_MOST_BYTES = 1 << 25  # of a picture; more is damage, for the decoder to find
_SLACK = 16  # bytes; start codes and headers that FFmpeg adds and takes differ by less


def _h264_slice(head: int) -> bool:
    return head & 0x1F in (1, 5)  # table 7-1 of H.264; partitions (2-4) are not used in streams


def _hevc_slice(head: int) -> bool:
    return head >> 1 & 0x3F < 32  # table 7-1 of H.265


CODECS: dict[str, Callable[[int], bool]] = {"h264": _h264_slice, "hevc": _hevc_slice}
"""Whose streams can be joined, by FFmpeg's names."""


class AccessUnits:
    """Joins the packets of one connection; every packet that is joined has a presentation time.

    Until it knows a stream, and for good once it was wrong about it (that picture is damaged, and counted as such when
    it is decoded), it waits for the next picture's time, as a parser does.

    Args:
        codec: one of `CODECS`.
    """

    def __init__(self, codec: str) -> None:
        # None: pictures are not known to be whole before their time is over.
        self._is_slice: Callable[[int], bool] | None = CODECS[codec]
        self._parts: list[bytes] = []
        self._packet: Any = None  # the first of the parts
        self._slices = self._bytes = 0
        self._given_out = False  # the picture of this time
        self._most_slices = 0
        self._longest = 0
        self._learnt = 0

    def join(self, packet: Any) -> Iterator[Any]:
        """The pictures that are whole now that `packet` (av.Packet) came: as av.Packets, none, one or two."""
        if packet.pts is None:
            yield packet
            return
        if self._packet is not None and packet.pts != self._packet.pts:
            if self._slices and not self._given_out:
                self._most_slices = max(self._most_slices, self._slices)
                self._learnt += 1
                yield self._joined()
            self._packet, self._given_out, self._slices, self._bytes = None, False, 0, 0
        data = bytes(packet)
        units = data.split(_START)[1:]
        slices = 1 if self._is_slice is None else sum(self._is_slice(unit[0]) for unit in units if unit)
        if self._given_out and (slices or not units or self._bytes > _MOST_BYTES):
            self._is_slice = None  # a part of a picture that was taken for whole
            return
        self._packet = self._packet or packet
        self._parts.append(data)
        self._slices += slices
        self._bytes += len(data)
        ends_a_unit = len(data) < self._longest - _SLACK
        self._longest = max(self._longest, len(data))
        knows = self._is_slice is not None and self._learnt >= _LEARN
        whole = knows and ends_a_unit and self._slices >= self._most_slices
        if not self._given_out and (whole or self._bytes > _MOST_BYTES):
            self._given_out = True
            yield self._joined()

    def _joined(self) -> Any:
        joined = av.Packet(b"".join(self._parts))
        joined.pts, joined.dts, joined.time_base = self._packet.pts, self._packet.dts, self._packet.time_base
        self._parts.clear()
        return joined

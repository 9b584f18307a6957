"""Pictures put together from the packets that FFmpeg's RTP reader hands out without a parser."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.capture.access_units import AccessUnits

START = b"\0\0\0\1"
LEARNT = 40  # pictures after which a regular stream is known
HEADS = {"h264": (b"\x67", b"\x06", b"\x41"), "hevc": (b"\x40\x01", b"\x4e\x01", b"\x02\x01")}  # sets, SEI, slice

pictures = st.lists(st.lists(st.integers(1, 9000), min_size=1, max_size=4), min_size=1, max_size=30)


def packet(data: bytes, pts: int | None) -> av.Packet:
    made = av.Packet(data)
    made.pts = made.dts = pts
    made.time_base = Fraction(1, 90_000)
    return made


def fragments(unit: bytes, most: int) -> list[bytes]:
    return [unit[at : at + most] for at in range(0, len(unit), most)]


def picture(codec: str, slices: Iterable[int], number: int, *, most: int = 1386) -> list[bytes]:
    """The packets of a picture with slices of so many bytes; every tenth begins with parameter sets."""
    sets, sei, head = HEADS[codec]
    units = [START + sets + b"s" * 20] if number % 10 == 0 else []
    units += [START + sei + b"i" * 9]
    units += [START + head + bytes([1 + (number + k) % 250]) * size for k, size in enumerate(slices)]
    return [part for unit in units for part in fragments(unit, most)]


def joined(codec: str, stream: Iterable[tuple[int, list[bytes]]]) -> list[tuple[int, int | None, bytes]]:
    """What comes of (pts, packets) of pictures: (number of the picture being sent, pts, bytes)."""
    units = AccessUnits(codec)
    return [
        (number, whole.pts, bytes(whole))
        for number, (pts, parts) in enumerate(stream)
        for part in parts
        for whole in units.join(packet(part, pts))
    ]


def regular(codec: str, count: int, slices: int) -> list[tuple[int, list[bytes]]]:
    return [(6000 * n, picture(codec, [3000 + 700 * (n % 7)] * slices, n)) for n in range(count)]


def test_pictures_of_a_known_stream_are_given_out_with_their_own_last_packet() -> None:
    for codec in HEADS:
        for slices in (1, 2, 4):
            stream = regular(codec, 2 * LEARNT, slices)
            out = joined(codec, stream)
            assert [data for _, _, data in out] == [b"".join(parts) for _, parts in stream]
            assert [pts for _, pts, _ in out] == [pts for pts, _ in stream]
            assert all(number == pts / 6000 for number, pts, _ in out[LEARNT:] if pts is not None)


@settings(deadline=None)
@given(st.sampled_from(sorted(HEADS)), pictures)
def test_of_a_stream_that_is_not_known_yet_nothing_is_lost(codec: str, sizes: list[list[int]]) -> None:
    stream = [(6000 * n, picture(codec, slices, n)) for n, slices in enumerate(sizes)]
    out = joined(codec, [*stream, (10**9, picture(codec, [1], 0))])
    assert [data for _, _, data in out] == [b"".join(parts) for _, parts in stream]


@settings(deadline=None)
@given(st.sampled_from(sorted(HEADS)), pictures, st.integers(200, 1386))
def test_a_stream_that_turns_irregular_damages_one_picture_at_most(
    codec: str, sizes: list[list[int]], most: int
) -> None:
    known = regular(codec, LEARNT, 1)
    strange = [(6000 * (LEARNT + n), picture(codec, slices, n, most=most)) for n, slices in enumerate(sizes)]
    out = joined(codec, [*known, *strange, (10**9, picture(codec, [1], 0))])
    by_time = {pts: data for _, pts, data in out}
    assert len(by_time) == len(out)
    damaged = [pts for pts, parts in (*known, *strange) if by_time.get(pts) != b"".join(parts)]
    assert len(damaged) <= 1
    assert [pts for _, pts, _ in out][: len(known) + len(strange)] == [pts for pts, _ in (*known, *strange)]


def test_after_an_error_it_waits_for_the_next_picture() -> None:
    stream = regular("h264", LEARNT, 1)
    stream += [(6000 * (LEARNT + n), picture("h264", [3000, 3000], n)) for n in range(10)]
    out = joined("h264", stream)
    late = [number - pts // 6000 for number, pts, _ in out[-8:] if pts is not None]
    assert late == [1] * 8


def test_what_follows_a_picture_without_being_one_goes_with_the_next() -> None:
    filler = START + b"\x0c" + b"\xff" * 40
    stream = [(pts, [*parts, filler]) for pts, parts in regular("h264", 2 * LEARNT, 1)]
    out = joined("h264", stream)
    assert b"".join(data for _, _, data in out) + filler == b"".join(b"".join(parts) for _, parts in stream)
    assert out[-1][0] == 2 * LEARNT - 1


def test_a_picture_without_end_is_handed_on_and_forgotten() -> None:
    units = AccessUnits("h264")
    parts = (packet((START + b"\x41" if n == 0 else b"") + b"x" * (1 << 20), 0) for n in range(100))
    out = [whole.size for part in parts for whole in units.join(part)]
    assert len(out) == 1
    assert out[0] < 1 << 26

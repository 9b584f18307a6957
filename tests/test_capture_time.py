"""Stamps of frames: recordings by their own clock, streams by a jitter filter."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoton_edge.capture.stamps import SECOND, LiveTimes, RecordedClock, RecordedTimes

MS = 1_000_000
PERIOD = 40 * MS


@given(st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**60)), min_size=1, max_size=60), st.floats(0.1, 240.0))
def test_times_of_a_recording_rise_whatever_its_own_are(pts: list[int | None], rate_hz: float) -> None:
    times = RecordedTimes(rate_hz)
    given_out = [times.next(value) for value in pts]
    assert given_out[0] == 0
    steps = [after - before for before, after in itertools.pairwise(given_out)]
    assert all(0 < step <= 10 * SECOND for step in steps)


def test_times_of_a_recording_are_its_own_counted_from_its_first_frame() -> None:
    times = RecordedTimes(25.0)
    assert [times.next(at * MS) for at in (1400, 1440, 1533, 1573)] == [0, 40 * MS, 133 * MS, 173 * MS]


def test_a_recording_without_times_runs_at_its_nominal_rate() -> None:
    times = RecordedTimes(10.0)
    assert [times.next(None) for _ in range(4)] == [0, 100 * MS, 200 * MS, 300 * MS]


def test_a_leap_in_a_recording_takes_one_period() -> None:
    times = RecordedTimes(25.0)
    at = [0, 40 * MS, 95_443 * SECOND, 95_443 * SECOND + 40 * MS, 0, 40 * MS]
    assert [times.next(value) for value in at] == [n * 40 * MS for n in range(6)]


def test_recordings_slow_down_together_only_when_they_are_really_late() -> None:
    clock = RecordedClock()
    clock.anchor_ns = 5 * SECOND
    clock.slip(900 * MS)
    assert clock.anchor_ns == 5 * SECOND
    clock.slip(1500 * MS)
    assert clock.anchor_ns == 6_500 * MS


def stamped(
    delays: list[int], *, rate: float = 1.0, jump_at: int = -1, jump_ns: int = 0
) -> tuple[list[tuple[int, int, int]], LiveTimes, list[tuple[int, float]]]:
    """(taken, arrived, stamp) of frames each PERIOD that arrive in order after `delays`; the filter; the jumps."""
    times = LiveTimes()
    rows, jumps = [], []
    arrived = 0
    for index, delay in enumerate(delays):
        taken = 1000 * SECOND + index * PERIOD
        arrived = max(arrived + 1, taken + delay)
        pts = round((taken - 1000 * SECOND) * rate) + 77 * SECOND + (jump_ns if 0 <= jump_at <= index else 0)
        stamp, jump = times.next(pts, arrived)
        rows.append((taken, arrived, stamp))
        if jump:
            jumps.append((index, jump.seconds))
    return rows, times, jumps


@given(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=120))
def test_stamps_of_a_stream_rise_and_never_lie_in_the_future(delays: list[int]) -> None:
    rows, _, jumps = stamped(delays)
    assert jumps == []  # a late network is no wrong clock
    assert all(after[2] > before[2] for before, after in itertools.pairwise(rows))
    # The filter has no say over frames that arrive in one burst: those are told apart by a nanosecond.
    assert all(stamp <= arrived + index for index, (_, arrived, stamp) in enumerate(rows))


@settings(max_examples=25)
@given(st.lists(st.integers(5 * MS, 44 * MS), min_size=60, max_size=120))  # less than would hold up the next frame
def test_jitter_of_the_network_is_filtered_out(delays: list[int]) -> None:
    delays[::20] = [5 * MS] * len(delays[::20])  # once in a while a frame comes as fast as it can
    rows, _, _ = stamped(delays)
    errors = [stamp - taken for taken, _, stamp in rows[21:]]
    assert all(4 * MS <= error <= 6 * MS for error in errors)


@pytest.mark.parametrize("rate", [1.02, 0.98])
def test_a_clock_at_a_wrong_rate_stays_joined_and_its_rate_is_measured(rate: float) -> None:
    rows, times, jumps = stamped([10 * MS] * 25 * 60, rate=rate)
    assert jumps == []
    assert all(abs(stamp - taken) < 60 * MS for taken, _, stamp in rows)
    assert times.rate_error == pytest.approx(rate - 1, abs=1e-3)
    gained_ms = times.gained_ms
    assert gained_ms is not None
    assert gained_ms == pytest.approx((rate - 1) * 60_000, abs=60)


@pytest.mark.parametrize("jump_s", [9.4, -9.4, 3600.0, -3600.0])
def test_a_clock_that_jumps_is_noticed_once_and_stays_joined(jump_s: float) -> None:
    rows, times, jumps = stamped([10 * MS] * 25 * 20, jump_at=200, jump_ns=round(jump_s * SECOND))
    assert [index for index, _ in jumps] == [200]
    assert jumps[0][1] == pytest.approx(jump_s, abs=0.1)
    assert all(abs(stamp - taken) <= 11 * MS for taken, _, stamp in rows)
    assert times.gained_ms == pytest.approx(jump_s * 1000, abs=100)


def test_a_rate_is_not_named_before_ten_seconds() -> None:
    _, times, _ = stamped([0] * 25 * 9, rate=1.05)
    assert times.rate_error is None


def test_a_stream_without_times_is_stamped_on_arrival() -> None:
    times = LiveTimes()
    assert [times.next(None, at)[0] for at in (10, 20, 20, 30)] == [10, 20, 21, 30]
    assert times.gained_ms is None


def reported(delays: list[int], clock_ns: int, *, report_at: int = 0, rate: float = 1.0) -> tuple[list[int], LiveTimes]:
    """Errors of the stamps (stamp - taken) of frames each PERIOD, whose sender's clock is `clock_ns` ahead."""
    wall_ns = 1_700_000_000 * SECOND
    times = LiveTimes(wall_ns)
    errors, arrived = [], 0
    for index, delay in enumerate(delays):
        taken = 1000 * SECOND + index * PERIOD
        arrived = max(arrived + 1, taken + delay)
        passed = round(index * PERIOD * rate)
        sent = wall_ns + 1000 * SECOND + passed + clock_ns if index >= report_at else None
        stamp, jump = times.next(passed + 7 * SECOND, arrived, sent)
        assert jump is None
        errors.append(stamp - taken)
    return errors, times


@given(st.lists(st.integers(30 * MS, 400 * MS), min_size=1, max_size=80))
def test_a_sender_whose_clock_is_right_tells_when_frames_were_taken(delays: list[int]) -> None:
    errors, times = reported(delays, 0)
    assert times.by_sender
    assert all(abs(error) <= index for index, error in enumerate(errors))


def test_stamps_approach_a_sender_that_reports_late_without_standing_still() -> None:
    errors, times = reported([300 * MS] * 60, 0, report_at=10)
    assert errors[9] == 300 * MS
    steps = [PERIOD + after - before for before, after in itertools.pairwise(errors)]
    assert min(steps) == PERIOD // 2
    assert errors[30:] == [0] * 30
    assert times.delay_ms == 300


@pytest.mark.parametrize("clock_s", [3600.0, -3600.0, 0.2, -0.8])
def test_a_sender_whose_clock_cannot_be_right_is_not_believed(clock_s: float) -> None:
    errors, times = reported([30 * MS] * 60, round(clock_s * SECOND))
    assert times.by_sender is False
    assert errors == [30 * MS] * 60
    assert times.delay_ms == pytest.approx(30 - clock_s * 1e3)


def test_a_sender_is_not_believed_again_on_the_same_connection() -> None:
    errors, times = reported([30 * MS] * 25 * 40, 0, rate=1.02)  # in half a second its stamps lie in the future
    assert times.by_sender is False
    assert all(error <= 60 * MS for error in errors)


@given(
    st.lists(
        st.tuples(st.integers(0, 2 * SECOND), st.integers(-SECOND, SECOND), st.booleans()), min_size=1, max_size=80
    )
)
def test_no_report_makes_stamps_fall_or_lie_in_the_future(rows: list[tuple[int, int, bool]]) -> None:
    times = LiveTimes()
    arrived, before = 0, -1
    for index, (delay, wrong, known) in enumerate(rows):
        taken = 1000 * SECOND + index * PERIOD
        arrived = max(arrived + 1, taken + delay)
        stamp, _ = times.next(index * PERIOD, arrived, taken + wrong if known else None)
        assert before < stamp <= arrived + index
        before = stamp

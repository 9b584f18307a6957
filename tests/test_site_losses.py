"""Messages of boxes that never came are counted, once, also across a service that starts anew."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.site.losses import LINKS, Losses
from spoton_edge.site.messages import Head


def head(seq: int, *, box: str = "one", link: str = "0a") -> Head:
    return Head(box, "aa", link, seq, 100.0 + seq)


@given(st.sets(st.integers(1, 200), min_size=1))
def test_what_is_told_lost_is_what_is_missing_between_the_first_and_the_last(came: set[int]) -> None:
    losses = Losses()
    told = [gap for seq in sorted(came) if (gap := losses.take("tracks", head(seq)))]
    missing = max(came) - min(came) + 1 - len(came)
    assert sum(gap["lost"] for gap in told) == losses.lost["one"] == missing


def test_a_gap_says_whose_what_and_until_when() -> None:
    losses = Losses()
    assert losses.take("tracks", head(3)) is None
    assert losses.take("events", head(7)) is None, "each kind has its own numbers"
    assert losses.take("tracks", head(9)) == {"box": "one", "of": "tracks", "lost": 5, "until": 109.0}


@given(st.sets(st.integers(1, 50), min_size=1), st.data())
def test_messages_that_come_again_are_no_loss(came: set[int], data: st.DataObject) -> None:
    losses = Losses()
    for seq in sorted(came):
        losses.take("tracks", head(seq))
    lost = losses.lost.total()
    for seq in data.draw(st.lists(st.sampled_from(sorted(came)))):
        assert losses.take("tracks", head(seq)) is None
    assert losses.lost.total() == lost


@given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(0, 39), st.integers(0, 5))
def test_a_service_that_starts_anew_counts_on(steps: list[int], killed: int, back: int) -> None:
    """It goes through the last messages once more."""
    numbers = [sum(steps[: k + 1]) for k in range(len(steps))]
    killed = min(killed, len(numbers) - 1)
    before, whole = Losses(), Losses()
    for seq in numbers[: killed + 1]:
        before.take("tracks", head(seq))
    for seq in numbers:
        whole.take("tracks", head(seq))
    after = Losses(json.loads(json.dumps(before.numbers)))
    for seq in numbers[max(killed - back, 0) :]:
        after.take("tracks", head(seq))
    assert (before.lost + after.lost) == whole.lost


def test_an_uplink_that_started_while_the_service_was_away_began_at_one() -> None:
    before = Losses()
    before.take("tracks", head(5))
    after = Losses(before.numbers)
    assert after.take("tracks", head(4, link="0b")) == {"box": "one", "of": "tracks", "lost": 3, "until": 104.0}


def test_on_a_new_site_what_was_lost_before_the_first_message_counts_on_an_old_one_nobody_knows() -> None:
    assert Losses({}).take("tracks", head(4)) == {"box": "one", "of": "tracks", "lost": 3, "until": 104.0}
    assert Losses(None).take("tracks", head(4)) is None


def test_uplinks_of_long_ago_are_forgotten() -> None:
    losses = Losses()
    for link in range(20):
        losses.take("tracks", head(1, link=f"{link:02x}"))
    assert list(losses.numbers["one"]) == [f"{link:02x}" for link in range(20 - LINKS, 20)]

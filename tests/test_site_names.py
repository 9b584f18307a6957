"""Site ids that change places when a service starts anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spoton_edge.site.names import EPOCH_MS, SUM_BITS, Key, as_told

KEYS = [("box", "run", number) for number in range(8)]
OLD_MS = EPOCH_MS + 50
SITE_IDS = st.integers(1, 99).map(lambda born_ms: born_ms << SUM_BITS)
ANSWERS = st.dictionaries(st.sampled_from(KEYS), SITE_IDS)


@given(ANSWERS, ANSWERS)
def test_ids_change_places_so_that_no_two_share_one(named: dict[Key, int], told: dict[Key, int]) -> None:
    changes = as_told(named, told, list(named), OLD_MS)
    assert set(changes) == set(changes.values())


@given(ANSWERS, ANSWERS)
def test_who_has_been_there_longest_has_the_old_id_that_he_was_told_and_new_ids_are_left_to_the_evidence(
    named: dict[Key, int], told: dict[Key, int]
) -> None:
    newest = list(named)
    changes = as_told(named, told, newest, OLD_MS)
    longest = sorted(newest, key=lambda key: (named[key], newest.index(key)))
    old = [key for key in longest if key in told and told[key] < 50 << SUM_BITS]
    if old:
        assert changes[named[old[0]]] == told[old[0]]
    else:
        assert not changes


def test_who_was_told_to_be_one_with_somebody_and_has_been_split_off_since_has_an_id_of_his_own() -> None:
    split_off, other = KEYS[:2]
    told, named, made = (number << SUM_BITS for number in (1, 2, 3))
    newest = [split_off, other]
    changes = as_told({split_off: made, other: named}, {split_off: told, other: told}, newest, OLD_MS)
    assert changes == {named: told, told: named}
    assert made not in changes

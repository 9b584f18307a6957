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
def test_who_was_seen_last_has_the_old_id_that_he_was_told_and_new_ids_are_left_to_the_evidence(
    named: dict[Key, int], told: dict[Key, int]
) -> None:
    newest = list(named)
    changes = as_told(named, told, newest, OLD_MS)
    old = [key for key in newest if key in told and told[key] < 50 << SUM_BITS]
    if old:
        assert changes[named[old[0]]] == told[old[0]]
    else:
        assert not changes


def test_who_was_told_to_be_one_with_somebody_and_is_not_any_more_has_an_id_of_his_own() -> None:
    one, other = KEYS[:2]
    made, stands = 3 << SUM_BITS, 2 << SUM_BITS
    changes = as_told({one: made, other: stands}, {one: stands, other: stands}, [one, other], OLD_MS)
    assert changes == {made: stands, stands: made}

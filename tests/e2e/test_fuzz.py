"""Nothing that is sent to an endpoint crashes the daemon, leaks, or reaches the good subscribers."""

from typing import Any

import pytest

from tests.e2e import fuzz


def judge(result: dict[str, Any]) -> None:
    before, after = result["before"], result["after"]
    assert after["descriptors"] <= before["descriptors"] + 4
    assert after["resident_bytes"] - before["resident_bytes"] < 32 << 20


@pytest.mark.timeout(120)
def test_thousands_of_mutated_messages_to_every_endpoint_change_nothing() -> None:
    judge(fuzz.run(4_000, seed=1))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_mutated_messages_to_every_endpoint_change_nothing() -> None:
    result = fuzz.run(100_000, seed=2)
    print(result)
    judge(result)

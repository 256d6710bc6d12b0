"""The cast: the same for the same seed, and with everybody the story needs for any seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tradewind.core.plan import DEFAULT_PLANS, PlanName
from tradewind.demo.cast import PEOPLE, Fate, build_cast

seeds = st.integers(min_value=0, max_value=10_000)


@given(seeds)
def test_cast_when_built_has_25_people_on_all_plans(seed: int) -> None:
    cast = build_cast(seed)
    assert [person.number for person in cast] == list(range(1, PEOPLE + 1))
    assert len({person.email for person in cast}) == PEOPLE
    assert {person.plan for person in cast} == set(PlanName)


@given(seeds)
def test_cast_when_built_has_every_fate_once_and_the_rest_plain(seed: int) -> None:
    counted = Counter(person.fate for person in build_cast(seed))
    assert set(counted) == set(Fate)
    assert all(count == 1 for fate, count in counted.items() if fate is not Fate.PLAIN)
    assert sum(fate.is_refused for fate in Fate) == 3
    assert sum(fate.skip_reason is not None for fate in Fate) == 3
    assert sum(fate.is_failure for fate in Fate) == 3


@given(seeds)
def test_cast_when_built_can_use_up_its_week_and_can_pay(seed: int) -> None:
    for person in build_cast(seed):
        if person.fate is Fate.WEEK_USED:
            assert DEFAULT_PLANS[person.plan].weekly_entries == 3
        # The smallest order is 10; nobody may spend more than a tenth of what is free.
        assert (person.balance / 10 < 10) is (person.fate is Fate.TOO_POOR)
        assert person.balance * person.risk.bps / 10_000 >= 10 or person.fate is Fate.TOO_POOR


@given(seeds)
def test_cast_when_levels_are_given_has_near_stops_near_targets_and_far_ones(seed: int) -> None:
    plain = [person for person in build_cast(seed) if person.fate is Fate.PLAIN]
    assert any(person.stop_bps < 200 for person in plain)
    assert any(person.target_bps < 200 for person in plain)
    assert any(person.stop_bps >= 500 and person.target_bps >= 500 for person in plain)
    broken = [person for person in build_cast(seed) if person.fate.is_failure]
    assert all(person.stop_bps >= 500 for person in broken)


def test_cast_when_seed_is_the_same_is_the_same() -> None:
    assert build_cast(7) == build_cast(7)
    assert build_cast(7) != build_cast(8)


def test_cast_when_seeds_follow_each_other_shows_both_endings_of_a_503() -> None:
    endings = {
        person.is_executed_unheard for seed in (1, 2) for person in build_cast(seed) if person.fate is Fate.ANSWERED_503
    }
    assert endings == {True, False}

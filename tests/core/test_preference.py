"""Which of several accounts of one person trades: the preferred one, or each that says so (E10, D7)."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.support.core_builders import mandate

from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import BINANCE, Environment, VenueName
from tradewind.core.mandate import Follower, passed_over

BYBIT = VenueName("bybit")


def follower(
    account: str,
    *,
    user: str = "ann",
    venue: VenueName = BINANCE,
    environment: Environment = Environment.LIVE,
    likes: VenueName | None = None,
    is_preferred: bool = False,
    beside: bool = False,
) -> Follower:
    terms = replace(
        mandate(),
        account_id=AccountId(account),
        user_id=UserId(user),
        is_preferred=is_preferred,
        trades_beside_preferred=beside,
    )
    return Follower(terms, venue, environment, likes)


def test_accounts_when_nobody_prefers_anything_then_each_trades() -> None:
    assert passed_over([follower("a"), follower("b", venue=BYBIT)]) == frozenset()


def test_accounts_when_a_venue_is_preferred_then_the_other_venue_is_passed_over() -> None:
    both = [follower("a", likes=BYBIT), follower("b", venue=BYBIT, likes=BYBIT)]
    assert passed_over(both) == {"a"}


def test_accounts_when_the_preferred_venue_has_none_then_each_trades() -> None:
    assert passed_over([follower("a", likes=BYBIT), follower("b", likes=BYBIT)]) == frozenset()


def test_accounts_when_a_mandate_is_preferred_then_it_goes_before_the_venue() -> None:
    both = [follower("a", likes=BYBIT, is_preferred=True), follower("b", venue=BYBIT, likes=BYBIT)]
    assert passed_over(both) == {"b"}


def test_account_when_it_says_so_then_it_trades_beside_the_preferred_one() -> None:
    found = [follower("a", is_preferred=True), follower("b", beside=True), follower("c")]
    assert passed_over(found) == {"c"}


def test_accounts_when_in_two_environments_then_none_takes_the_others_place() -> None:
    paper = follower("p", environment=Environment.PAPER)
    assert passed_over([paper, follower("l", is_preferred=True)]) == frozenset()


def test_accounts_when_of_two_people_then_neither_decides_for_the_other() -> None:
    assert passed_over([follower("a", is_preferred=True), follower("b", user="bob")]) == frozenset()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.sampled_from([BINANCE, BYBIT]),
            st.sampled_from(Environment),
            st.sampled_from([None, BINANCE, BYBIT]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_somebody_always_trades_for_each_person_and_environment(
    rows: list[tuple[str, VenueName, Environment, VenueName | None, bool, bool]],
) -> None:
    likes = {user: wish for user, _, _, wish, _, _ in rows}
    found = [
        follower(
            f"{n}", user=user, venue=venue, environment=where, likes=likes[user], is_preferred=chosen, beside=beside
        )
        for n, (user, venue, where, _, chosen, beside) in enumerate(rows)
    ]
    left_out = passed_over(found)
    for each in found:
        group = [
            one.mandate.account_id
            for one in found
            if (one.mandate.user_id, one.environment) == (each.mandate.user_id, each.environment)
        ]
        assert set(group) - left_out

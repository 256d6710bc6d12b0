"""What a look at an account compares: coins against lots, and when a comparison says something."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.journal import fill_of, journal_desk, report_of
from tests.support.scripted_venue import AT

from tradewind.core.money import Asset
from tradewind.core.order import OrderState, OutcomeLost
from tradewind.execution import store
from tradewind.execution.account_look import may_move_coins, shortfall
from tradewind.execution.outcomes import Outcome
from tradewind.venues.base import AccountSnapshot, AssetBalance


def _snapshot(free: str, locked: str = "0") -> AccountSnapshot:
    return AccountSnapshot("1", (AssetBalance(Asset("BTC"), Decimal(free), Decimal(locked)),), True, AT)


@pytest.mark.parametrize(
    ("free", "locked", "missing"),
    [
        ("0.0003996", "0", None),
        ("0", "0.0003996", None),
        ("5", "0", None),
        ("0.0003", "0", "0.0000996"),
        ("0", "0", "0.0003996"),
    ],
)
def test_coins_when_free_and_locked_cover_the_lots_then_nothing_is_short(
    tmp_path: Path, free: str, locked: str, missing: str | None
) -> None:
    """order-protocol.md section 4: free + locked against our lots; a lot holds what is left after the fee."""
    with journal_desk(tmp_path) as desk:
        lot = desk.bought("0.0004")
        found = shortfall([lot], _snapshot(free, locked))
        assert found == ({} if missing is None else {Asset("BTC"): Decimal(missing)})


def test_comparison_when_an_order_rests_partly_filled_and_booked_then_it_still_says_something(tmp_path: Path) -> None:
    """A target that rests half filled must not hold its account for ever."""
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        half = report_of(OrderState.PARTIALLY_FILLED, "0.0002")
        desk.apply(Outcome(sent.id, half, (fill_of(sent, "0.0002"),)))
        resting = desk.db.read_now(lambda tx: store.find_orders(tx, [sent.id]))[sent.id]
        assert resting.order.state is OrderState.PARTIALLY_FILLED
        assert not may_move_coins(resting)


def test_comparison_when_an_order_is_in_doubt_or_lacks_fills_then_it_says_nothing(tmp_path: Path) -> None:
    with journal_desk(tmp_path) as desk:
        (sent,) = desk.claim(desk.entry())
        desk.apply(Outcome(sent.id, OutcomeLost(desk.clock.now(), "timeout", 1)))
        doubtful = desk.db.read_now(lambda tx: store.find_orders(tx, [sent.id]))[sent.id]
        assert may_move_coins(doubtful)
        desk.apply(Outcome(sent.id, report_of(OrderState.PARTIALLY_FILLED, "0.0002")))
        unbooked = desk.db.read_now(lambda tx: store.find_orders(tx, [sent.id]))[sent.id]
        assert unbooked.order.state is OrderState.PARTIALLY_FILLED
        assert may_move_coins(unbooked)
        desk.apply(desk.filled(sent, "0.0002"))
        settled = desk.db.read_now(lambda tx: store.find_orders(tx, [sent.id]))[sent.id]
        assert not settled.lacks_fills

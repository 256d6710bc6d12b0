"""Triggers: what the venue's own stop guards is its to act on first, everything else is ours at once (section 5)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.support.clock import ManualClock
from tests.support.core_builders import empty_lot

from tradewind.core.ids import UserId
from tradewind.core.instrument import BINANCE, Environment
from tradewind.core.money import Price, Quantity
from tradewind.core.protection import ExitCause, PositionState
from tradewind.execution.lots import place_of
from tradewind.execution.triggers import Triggers
from tradewind.portfolio.holding import Holding

ESCALATION_S = 5.0


def price(text: str) -> Price:
    return Price(Decimal(text))


def held(state: PositionState = PositionState.PROTECTED_WATCHED) -> Holding:
    lot = replace(empty_lot(), quantity=Quantity(Decimal(1)), stop=price("90"), target=price("110"))
    return Holding(lot, UserId("u1"), BINANCE, Environment.PAPER, state.value, None, None, 0, lot.opened_at)


def tick(triggers: Triggers, holding: Holding, at: str) -> list[bool]:
    return [triggers.take(each, holding) for each in triggers.watch.on_price(place_of(holding), price(at))]


def armed(holding: Holding) -> tuple[Triggers, ManualClock]:
    clock = ManualClock()
    triggers = Triggers(clock, ESCALATION_S)
    triggers.arm(holding)
    return triggers, clock


def test_stop_when_only_the_watch_stands_then_due_at_once_and_even_if_the_price_comes_back() -> None:
    holding = held()
    triggers, _ = armed(holding)
    assert tick(triggers, holding, "90") == [True]
    tick(triggers, holding, "95")
    assert triggers.due(holding) is ExitCause.STOP
    triggers.acted(holding.lot.id)
    assert triggers.due(holding) is None


async def test_stop_when_the_venue_guards_it_then_ours_only_after_the_escalation_time() -> None:
    """order-protocol.md section 5: triggered and not filled within 5 s: market."""
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, clock = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    assert tick(triggers, holding, "89") == [True]
    assert triggers.due(holding) is None
    assert triggers.escalates_in_s(holding) == ESCALATION_S
    await clock.advance(ESCALATION_S)
    # One tick was enough: a quiet market says nothing more.
    assert triggers.due(holding) is ExitCause.STOP


async def test_stop_when_the_price_came_back_before_the_escalation_then_the_venue_keeps_it() -> None:
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, clock = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    tick(triggers, holding, "89")
    tick(triggers, holding, "91")
    await clock.advance(2 * ESCALATION_S)
    assert triggers.due(holding) is None


def test_stop_when_it_has_risen_above_the_one_at_the_venue_then_the_watch_acts_in_between() -> None:
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, _ = armed(holding)
    triggers.guard(holding.lot.id, price("89"))
    assert tick(triggers, holding, "89.5") == [True]
    assert triggers.due(holding) is ExitCause.STOP


def test_stop_when_the_native_order_goes_while_the_price_is_below_then_due_without_another_tick() -> None:
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, _ = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    tick(triggers, holding, "85")
    assert triggers.due(holding) is None
    triggers.guard(holding.lot.id, None)
    assert triggers.due(holding) is ExitCause.STOP


def test_target_when_a_resting_order_holds_it_then_never_ours() -> None:
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, _ = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    assert tick(triggers, holding, "111") == [False]
    assert triggers.due(holding) is None


def test_lot_when_it_stood_down_then_nothing_is_taken() -> None:
    holding = held(PositionState.UNPROTECTED_BY_YOU)
    triggers, _ = armed(holding)
    assert tick(triggers, holding, "1") == [False]
    assert triggers.due(holding) is None


def test_target_when_the_venue_holds_the_stop_alone_then_due_at_once() -> None:
    """order-protocol.md section 5: a native stop, the target watched."""
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, _ = armed(holding)
    triggers.guard(holding.lot.id, price("90"), has_target=False)
    assert tick(triggers, holding, "110") == [True]
    assert triggers.due(holding) is ExitCause.TARGET


def test_target_when_found_not_to_rest_at_the_venue_after_it_was_reached_then_due() -> None:
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, _ = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    assert tick(triggers, holding, "110") == [False]
    assert triggers.due(holding) is None
    triggers.guard(holding.lot.id, price("90"), has_target=False)
    assert triggers.due(holding) is ExitCause.TARGET


def test_hurry_when_a_level_was_acted_on_then_only_after_the_price_has_left_and_reached_it_again() -> None:
    holding = held()
    triggers, _ = armed(holding)
    assert triggers.hurries(holding) is None
    tick(triggers, holding, "90")
    assert triggers.hurries(holding) is ExitCause.STOP
    triggers.acted(holding.lot.id)
    assert triggers.hurries(holding) is None
    assert triggers.due(holding) is ExitCause.STOP
    tick(triggers, holding, "91")
    tick(triggers, holding, "89")
    assert triggers.hurries(holding) is ExitCause.STOP


async def test_hurry_when_the_venues_stop_has_not_sold_in_its_time_then_once() -> None:
    """order-protocol.md section 5: triggered and not filled within 5 s: market, also where an exit backs off."""
    holding = held(PositionState.PROTECTED_NATIVE)
    triggers, clock = armed(holding)
    triggers.guard(holding.lot.id, price("90"))
    tick(triggers, holding, "89")
    assert triggers.hurries(holding) is None
    await clock.advance(ESCALATION_S)
    assert triggers.hurries(holding) is ExitCause.STOP
    triggers.acted(holding.lot.id)
    assert triggers.hurries(holding) is None

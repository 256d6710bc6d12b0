"""What counts against an account, read by position and by partial indexes: the same as reading every order whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from tests.support.journal import ACCOUNT, Desk, journal_desk

from tradewind.core.money import EXACT, ZERO
from tradewind.core.order import ENDED, AbsenceProven, IntentKind, Order, OrderState, OutcomeLost
from tradewind.execution import exposure_store, record_store, store
from tradewind.execution.outcomes import Outcome
from tradewind.execution.tables import UNSETTLED, orders
from tradewind.infra.db import Tx

# The unique key of fills, as each database names it.
_FILLS_KEY = "fills"
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_FIGURES = (("0", "0", "0"), ("0.0002", "10", "0.0002"), ("0.0002", "10", "0"), ("0.0004", "21", "0.0004"))


def _binds(order: Order) -> Decimal:
    if order.is_ended or order.spend is None:
        return order.executed_quote
    return max(order.spend.amount, order.executed_quote)


def _in_every_state(desk: Desk) -> None:
    """An entry in each state with each of the figures, half of them of the week before."""
    now = desk.clock.now()
    for number, (state, figures) in enumerate(itertools.product(OrderState, _FIGURES)):
        order = desk.entry(source="s1" if number % 3 else None)
        executed, quote, booked = map(Decimal, figures)
        values: dict[str, Any] = {"state": state.value, "executed": executed, "executed_quote": quote}
        values |= {"booked": booked, "created_at": now - timedelta(days=7 * (number % 2))}
        if number % 5 == 0:
            values["intent_kind"] = IntentKind.HAND.value
        query = update(orders).where(orders.c.id == order.id).values(values)
        desk.db.write_now(partial(Tx.execute, statement=query))


def test_exposure_when_entries_stand_in_every_state_then_the_sums_are_those_of_whole_orders(tmp_path: Path) -> None:
    """order-protocol.md section 3.1: every entry not ended counts, BLIND included, plus what it filled."""
    with journal_desk(tmp_path) as desk:
        _in_every_state(desk)
        since = desk.clock.now() - timedelta(days=1)

        def compare(tx: Tx) -> None:
            whole = [stored.order for stored in store.committed_spend(tx, [ACCOUNT])]
            bound = exposure_store.bound_entries(tx, [ACCOUNT])[ACCOUNT]
            expected = [(each.source_id, each.symbol, each.quote, _binds(each)) for each in whole]
            found = [(each.source_id, each.symbol, each.quote, each.bound) for each in bound]
            assert sorted(found, key=str) == sorted(expected, key=str)
            waiting = [each for each in whole if each.state is OrderState.INTENDED]
            assert sum(not each.has_left for each in bound) == len(waiting) > 0
            recent = [stored.order for stored in store.entries_since(tx, [ACCOUNT], since)]
            of_signals = [each for each in recent if each.intent_kind is IntentKind.SIGNAL]
            assert exposure_store.entries_used(tx, [ACCOUNT], since) == {ACCOUNT: len(of_signals)}
            spent = ZERO
            for each in recent:
                spent = EXACT.add(spent, _binds(each))
            assert exposure_store.spent_since(tx, [ACCOUNT], since) == {ACCOUNT: spent}

        desk.db.read_now(compare)


def test_unsettled_when_compared_with_the_state_machine_then_names_its_ends() -> None:
    words = ", ".join(f"'{state}'" for state in sorted(state.value for state in ENDED))
    assert f"state NOT IN ({words})" in UNSETTLED


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (lambda tx: exposure_store.bound_entries(tx, [ACCOUNT]), "ix_orders_unsettled_entries"),
        (lambda tx: exposure_store.entries_used(tx, [ACCOUNT], _LONG_AGO), "ix_orders_entries"),
        (lambda tx: record_store.known_fills(tx, [("binance", ACCOUNT, "BTCUSDT", "77")]), _FILLS_KEY),
        (lambda tx: store.list_unsettled_at(tx, {(ACCOUNT, "BTCUSDT")}), "ix_orders_unsettled"),
        (lambda tx: store.list_unsettled(tx, ACCOUNT, "BTCUSDT"), "ix_orders_unsettled"),
    ],
)
def test_question_when_history_is_long_then_the_index_of_what_still_counts_answers_it(
    tmp_path: Path, question: Any, index: str
) -> None:
    with journal_desk(tmp_path) as desk:
        _in_every_state(desk)
        assert not any(
            "SCAN fills" in row or "SCAN orders" in row for row in desk.db.read_now(lambda tx: _plan(tx, question))
        )
        found = " ".join(desk.db.read_now(lambda tx: _plan(tx, question)))
        # A server that has looked at so few rows may take another one that begins with the account.
        assert index in found or (desk.db.dialect == "postgresql" and "Index Scan using ix_orders_" in found)


def _plan(tx: Tx, question: Any) -> Sequence[str]:
    """Ask the database how it would answer the last statement of a question."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        asked.append((statement, parameters))

    event.listen(tx, "before_cursor_execute", note)
    question(tx)
    event.remove(tx, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    words = "EXPLAIN QUERY PLAN" if tx.dialect.name == "sqlite" else "EXPLAIN"
    if tx.dialect.name == "postgresql":
        # So few rows are read whole, whatever index there is.
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
    return [str(row) for row in tx.exec_driver_sql(f"{words} {statement}", parameters)]


def test_limits_when_an_entry_that_never_arrived_is_filled_after_all_then_it_counts(tmp_path: Path) -> None:
    """order-protocol.md section 3.1: limits count every entry not ended, and what it filled."""
    with journal_desk(tmp_path) as desk:
        late, gone = desk.claim(desk.entry(), desk.entry())
        now, since = desk.clock.now(), desk.clock.now() - timedelta(days=1)
        for order in (late, gone):
            desk.apply(Outcome(order.id, OutcomeLost(now, "timeout"), attempt=order.attempt))
            desk.apply(Outcome(order.id, AbsenceProven(now)))
        desk.apply(desk.filled(late))
        assert [desk.order(each).state for each in (late, gone)] == [OrderState.NEVER_ARRIVED] * 2

        def look(tx: Tx) -> None:
            assert exposure_store.entries_used(tx, [ACCOUNT], since) == {ACCOUNT: 1}
            assert exposure_store.spent_since(tx, [ACCOUNT], since) == {ACCOUNT: Decimal(20)}
            assert [each.order.id for each in store.entries_since(tx, [ACCOUNT], since)] == [late.id]

        desk.db.read_now(look)

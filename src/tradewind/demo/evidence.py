"""Reading both sides: the journal's database directly and read-only, the exchange through its own log.

The referee asks neither the platform's code nor its API: it opens the database as an auditor would. In an SQLite
file times are microseconds and amounts decimal texts (infra/db_types.py); a server has types for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tradewind.core.money import ZERO
from tradewind.demo.calls import Exchange
from tradewind.demo.database import Ask, snapshot
from tradewind.demo.facts import (
    Journal,
    JournalDecision,
    JournalFill,
    JournalLot,
    JournalOrder,
    JournalSale,
    JournalSignal,
    Venue,
    VenueFill,
    VenueOrder,
    VenueRequest,
)

_PLACING = frozenset({"order.place", "orderList.place.oco", "order.cancelReplace"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBT = frozenset({"UNKNOWN", "BLIND"})


def read_journal(address: str) -> Journal:
    """Read the platform's side from its database; it may be in use."""
    with snapshot(address) as ask:
        steps = _steps(ask)
        return Journal(
            accounts={row["id"]: int(row["venue_user_id"]) for row in ask("SELECT id, venue_user_id FROM accounts")},
            mandates=[
                (row["source_id"], row["account_id"]) for row in ask("SELECT source_id, account_id FROM mandates")
            ],
            signals=[
                JournalSignal(**dict(row))
                for row in ask("SELECT id, source_id, action, base, state FROM inbox ORDER BY seq")
            ],
            decisions=[
                JournalDecision(**dict(row))
                for row in ask("SELECT signal_id, account_id, verdict, reason, plan FROM decisions")
            ],
            orders=[_order(row, steps.get(row["id"], [])) for row in ask("SELECT * FROM orders")],
            fills=[_fill(row) for row in ask("SELECT * FROM fills")],
            lots=[_lot(row) for row in ask("SELECT * FROM lots")],
            sales=[_sale(row) for row in ask("SELECT * FROM sales ORDER BY seq")],
            incidents=int(ask("SELECT count(*) AS count FROM incidents")[0]["count"]),
        )


def _steps(ask: Ask) -> Mapping[str, Sequence[tuple[str, str, int]]]:
    steps: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for row in ask("SELECT order_id, from_state, to_state, at FROM order_events ORDER BY seq"):
        steps[row["order_id"]].append((row["from_state"], row["to_state"], _ms(row["at"])))
    return steps


def _order(row: Mapping[str, Any], steps: Sequence[tuple[str, str, int]]) -> JournalOrder:
    same = (
        "id intent_id intent_kind account_id symbol leg side generation client_order_id state signal_id lot_id "
        "list_client_id venue_order_id"
    )
    return JournalOrder(
        **{name: row[name] for name in same.split()},
        executed=Decimal(row["executed"]),
        executed_quote=Decimal(row["executed_quote"]),
        claimed_ms=tuple(at for before, after, at in steps if after == "SENT" and before != "SENT"),
        release_ms=_ms(row["release_at"]),
        acknowledged_ms=None if row["acknowledged_at"] is None else _ms(row["acknowledged_at"]),
        was_in_doubt=any(after in _DOUBT for _, after, _ in steps),
    )


def _fill(row: Mapping[str, Any]) -> JournalFill:
    return JournalFill(
        **{name: row[name] for name in ("account_id", "symbol", "venue_order_id", "fill_id", "order_id")},
        quantity=Decimal(row["quantity"]),
        price=Decimal(row["price"]),
    )


def _lot(row: Mapping[str, Any]) -> JournalLot:
    same = "id account_id symbol base source_id signal_id entry_order_id state state_reason naked_ms watched_ms"
    return JournalLot(
        **{name: row[name] for name in same.split()},
        quantity=Decimal(row["quantity"]),
        is_open=bool(row["is_open"]),
    )


def _sale(row: Mapping[str, Any]) -> JournalSale:
    return JournalSale(
        **{name: row[name] for name in ("lot_id", "account_id", "order_id", "cause")},
        gain_quote=Decimal(row["proceeds_quote"]) - Decimal(row["cost_quote"]),
    )


def _ms(moment: int | datetime) -> int:
    if isinstance(moment, datetime):
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    return moment // 1_000


async def read_venue(exchange: Exchange) -> Venue:
    """Read the exchange's side through its control API; the tape should stand still meanwhile."""
    uids = await exchange.uids()
    orders: list[VenueOrder] = []
    fills: list[VenueFill] = []
    holdings: dict[tuple[int, str], Decimal] = {}
    for uid in uids:
        for order in await exchange.orders(uid):
            orders.append(_venue_order(uid, order))
            fills += [_venue_fill(uid, fill) for fill in order["fills"]]
        for asset, balance in (await exchange.account(uid))["balances"].items():
            total = Decimal(balance["free"]) + Decimal(balance["locked"])
            if total != ZERO:
                holdings[uid, asset] = total
    requests = [_request(row) for row in await exchange.log("requests") if row["call"] in _PLACING]
    return Venue(uids=uids, orders=orders, fills=fills, requests=requests, holdings=holdings)


def _venue_order(uid: int, order: Mapping[str, Any]) -> VenueOrder:
    return VenueOrder(
        uid=uid,
        symbol=order["symbol"],
        order_id=str(order["orderId"]),
        client_order_id=order["origClientOrderId"],
        side=order["side"],
        type=order["type"],
        status=order["status"],
        executed=Decimal(order["executedQty"]),
        executed_quote=Decimal(order["cummulativeQuoteQty"]),
        placed_ms=order["time"],
        updated_ms=order["updateTime"],
    )


def _venue_fill(uid: int, fill: Mapping[str, Any]) -> VenueFill:
    return VenueFill(
        uid=uid,
        symbol=fill["symbol"],
        order_id=str(fill["orderId"]),
        fill_id=str(fill["id"]),
        quantity=Decimal(fill["qty"]),
        price=Decimal(fill["price"]),
        at_ms=fill["time"],
    )


def _request(row: Mapping[str, Any]) -> VenueRequest:
    return VenueRequest(
        sequence=row["seq"],
        received_ms=row["received_ms"],
        uid=row["uid"],
        client_ids=tuple(row["client_ids"]),
        is_executed=row["executed"],
        is_answered=row["heard"] == "answer" and not row["faults"],
    )

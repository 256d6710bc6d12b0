"""SQL of the portfolio: lots, sales, balances."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import (
    Row,
    Select,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from tradewind.core.ids import AccountId, LotId, OrderId, SourceId, UserId
from tradewind.core.instrument import Environment
from tradewind.core.money import Asset, Money, Price, Quantity
from tradewind.core.position import Lot, Sale
from tradewind.infra import bulk
from tradewind.infra.db import Tx
from tradewind.portfolio.holding import Held, Holding, OpenLot
from tradewind.portfolio.tables import IS_OPEN, balances, lots, sales

_SALE_NAMES = (
    *("lot_id", "user_id", "account_id", "order_id", "fill_id", "cause", "quantity", "price", "proceeds_quote"),
    *("cost_quote", "quote", "fees_other", "at"),
)
# As _holding reads them.
_LOT_NAMES = (
    *("id", "account_id", "symbol", "base", "quote", "entry_order_id", "opened_at", "source_id", "signal_id"),
    *("signal_seq", "quantity", "cost_quote", "bought_quantity", "bought_quote", "fees_other", "stop", "target"),
    *("trailing_bps", "peak", "time_exit_at", "user_id", "venue", "environment", "state", "state_reason"),
    *("closed_at", "rev", "state_since", "naked_ms", "watched_ms"),
)
_LOTS = bulk.bare_select(lots, _LOT_NAMES)
_ENVIRONMENTS = {each.value: each for each in Environment}


def _rows(tx: Tx, query: Select[Any]) -> list[bulk.Row]:
    return bulk.fetch(tx, lots, _LOT_NAMES, query)


def write_holdings(tx: Tx, new: Sequence[Holding], changed: Sequence[Holding]) -> None:
    """Open lots, and write others after a change; the caller has counted `rev` up."""
    if new:
        rows = [_lot_row(holding) for holding in new]
        values = [(*row.values(), each.lot.id, each.rev) for row, each in zip(rows, new, strict=True)]
        bulk.insert_rows(tx, lots, (*rows[0], "id", "rev"), values)
    if changed:
        rows = [_lot_row(holding) for holding in changed]
        values = [(*row.values(), each.rev, each.lot.id) for row, each in zip(rows, changed, strict=True)]
        bulk.update_rows(tx, lots, (*rows[0], "rev"), ("id",), values)


def update_holding(tx: Tx, holding: Holding) -> None:
    """Write a lot after a change; the caller has counted `rev` up."""
    tx.execute(update(lots).where(lots.c.id == holding.lot.id).values(**_lot_row(holding), rev=holding.rev))


def update_states(tx: Tx, holdings: Sequence[Holding]) -> None:
    """Write how lots are protected; the caller holds their rows."""
    if not holdings:
        return
    columns = ("state", "state_reason", "state_since", "naked_ms", "watched_ms", "rev")
    query = update(lots).where(lots.c.id == bindparam("b_id"))
    query = query.values({name: bindparam(f"b_{name}") for name in columns})
    tx.execute(
        query, [{"b_id": each.lot.id, **{f"b_{name}": getattr(each, name) for name in columns}} for each in holdings]
    )


def update_stops(tx: Tx, holdings: Sequence[Holding]) -> None:
    """Write raised trailing stops with their peaks; the caller holds the rows."""
    if not holdings:
        return
    query = update(lots).where(lots.c.id == bindparam("b_id"))
    query = query.values(stop=bindparam("b_stop"), peak=bindparam("b_peak"), rev=bindparam("b_rev"))
    tx.execute(
        query,
        [
            {
                "b_id": each.lot.id,
                "b_stop": None if each.lot.stop is None else each.lot.stop.value,
                "b_peak": None if each.lot.peak is None else each.lot.peak.value,
                "b_rev": each.rev,
            }
            for each in holdings
        ],
    )


def find_by_entries(tx: Tx, entry_order_ids: Iterable[OrderId]) -> dict[OrderId, Holding]:
    """Read the lots that entries opened; an entry without one is missing."""
    found = bulk.select_rows(tx, lots, ("entry_order_id",), "entry_order_id", entry_order_ids)
    if not found:
        return {}
    query = _LOTS.where(lots.c.entry_order_id.in_([row[0] for row in found]))
    return {holding.lot.entry_order_id: holding for holding in map(_holding, _rows(tx, query))}


def find_lot(tx: Tx, lot_id: str) -> Holding | None:
    """Read one lot."""
    return find_lots(tx, [lot_id]).get(LotId(lot_id))


def find_lots(tx: Tx, lot_ids: Iterable[str], *, lock: bool = False) -> dict[LotId, Holding]:
    """Read lots by id; `lock` holds the rows for this transaction (PostgreSQL)."""
    query = _LOTS.where(lots.c.id.in_(list(lot_ids))).order_by(lots.c.id)
    found = [_holding(row) for row in _rows(tx, query.with_for_update() if lock else query)]
    return {holding.lot.id: holding for holding in found}


def list_open(
    tx: Tx,
    *,
    account_ids: Iterable[AccountId] | None = None,
    symbols: Collection[str] | None = None,
    source_id: SourceId | None = None,
    base: Asset | None = None,
    lock: bool = False,
) -> list[Holding]:
    """Read open lots, oldest first; for the engine, across users. `lock` holds the rows (PostgreSQL)."""
    query = _LOTS.where(lots.c.is_open.is_(True))
    if account_ids is not None:
        query = query.where(lots.c.account_id.in_(list(account_ids)))
    if symbols is not None:
        query = query.where(lots.c.symbol.in_(list(symbols)))
    if source_id is not None:
        query = query.where(lots.c.source_id == source_id)
    if base is not None:
        query = query.where(lots.c.base == base)
    query = query.order_by(lots.c.opened_at, lots.c.id)
    return [_holding(row) for row in _rows(tx, query.with_for_update() if lock else query)]


def list_all(tx: Tx) -> list[Holding]:
    """Read every lot, closed ones too; for reports."""
    return [_holding(row) for row in _rows(tx, _LOTS.order_by(lots.c.opened_at, lots.c.id))]


def list_of_user(tx: Tx, user_id: UserId, *, is_open: bool, limit: int, since: datetime | None = None) -> list[Holding]:
    """Read a user's lots, newest first."""
    query = _LOTS.where(lots.c.user_id == user_id, lots.c.is_open.is_(is_open))
    if since is not None:
        query = query.where(lots.c.opened_at >= since)
    return [_holding(row) for row in _rows(tx, query.order_by(lots.c.opened_at.desc()).limit(limit))]


@dataclass(frozen=True, slots=True)
class SaleRow:
    """A sold part of a lot, as it is recorded."""

    holding: Holding
    sale: Sale
    order_id: OrderId
    price: Price
    cause: str


def insert_sales(tx: Tx, rows: Sequence[SaleRow]) -> None:
    """Record sold parts of lots, many at once."""
    bulk.insert_rows(tx, sales, _SALE_NAMES, [_sale_values(row) for row in rows])


def _sale_values(row: SaleRow) -> tuple[Any, ...]:
    holding, sale = row.holding, row.sale
    return (
        *(sale.lot_id, holding.user_id, holding.lot.account_id, row.order_id, sale.fill_id, row.cause),
        *(sale.quantity.value, row.price.value, sale.proceeds_quote, sale.cost_quote, sale.quote),
        *(_fees_text(sale.fees_other), sale.at),
    )


def put_balances(tx: Tx, user_id: UserId, held: Sequence[Held]) -> None:
    """Write balances; an older one never overwrites a newer one."""
    known = {
        (row.account_id, row.asset): row.at
        for row in tx.execute(
            select(balances.c.account_id, balances.c.asset, balances.c.at).where(
                balances.c.account_id.in_({each.account_id for each in held})
            )
        )
    }
    fresh = [each for each in held if known.get((each.account_id, each.asset), each.at) <= each.at]
    for each in fresh:
        tx.execute(delete(balances).where(balances.c.account_id == each.account_id, balances.c.asset == each.asset))
    if fresh:
        tx.execute(
            insert(balances),
            [
                {
                    "account_id": each.account_id,
                    "asset": each.asset,
                    "user_id": user_id,
                    "free": each.free,
                    "locked": each.locked,
                    "at": each.at,
                }
                for each in fresh
            ],
        )


def lots_of_source(tx: Tx, source_id: SourceId, account_ids: Iterable[AccountId]) -> list[OpenLot]:
    """Read what a source's open lots hold on these accounts, oldest first; for a fan-out, by position."""
    where = f"{IS_OPEN[tx.dialect.name]} AND source_id = :source_id"
    names = ("account_id", "venue", "symbol", "base", "quote", "quantity", "cost_quote")
    rows = bulk.select_among(
        tx,
        lots,
        names,
        "account_id",
        account_ids,
        where=where,
        values={"source_id": source_id},
        order_by="opened_at, id",
    )
    return list(map(OpenLot._make, rows))


def balances_in(tx: Tx, account_ids: Iterable[AccountId], assets: Sequence[Asset]) -> list[Held]:
    """Read balances in a few assets; for a fan-out, by position."""
    found: list[Held] = []
    for asset in assets:
        rows = bulk.select_among(
            tx,
            balances,
            ("account_id", "asset", "free", "locked", "at"),
            "account_id",
            account_ids,
            where="asset = :asset",
            values={"asset": asset},
        )
        found += [Held(*row) for row in rows]
    return found


def balances_read_at(tx: Tx, account_ids: Iterable[AccountId]) -> dict[AccountId, datetime]:
    """Read when the newest balance of each account was told; one that was never read is missing."""
    rows = bulk.group_among(tx, balances, "max(at)", "account_id", account_ids, reads_as="at")
    return {AccountId(account_id): at for account_id, at in rows}


def list_balances(tx: Tx, account_ids: Iterable[AccountId], asset: Asset | None = None) -> list[Held]:
    """Read balances of accounts; for the engine, across users."""
    query = select(balances).where(balances.c.account_id.in_(list(account_ids)))
    if asset is not None:
        query = query.where(balances.c.asset == asset)
    return [_held(row) for row in tx.execute(query.order_by(balances.c.account_id, balances.c.asset))]


def list_user_balances(tx: Tx, user_id: UserId, asset: Asset | None) -> list[Held]:
    """Read a user's balances."""
    query = select(balances).where(balances.c.user_id == user_id)
    if asset is not None:
        query = query.where(balances.c.asset == asset)
    return [_held(row) for row in tx.execute(query.order_by(balances.c.account_id, balances.c.asset))]


def _held(row: Row[Any]) -> Held:
    return Held(AccountId(row.account_id), Asset(row.asset), row.free, row.locked, row.at)


def _lot_row(holding: Holding) -> Mapping[str, Any]:
    lot = holding.lot
    return {
        "user_id": holding.user_id,
        "account_id": lot.account_id,
        "venue": holding.venue,
        "environment": holding.environment.value,
        "symbol": lot.symbol,
        "base": lot.base,
        "quote": lot.quote,
        "source_id": lot.source_id,
        "signal_id": lot.signal_id,
        "signal_seq": lot.signal_seq,
        "entry_order_id": lot.entry_order_id,
        "opened_at": lot.opened_at,
        "quantity": lot.quantity.value,
        "cost_quote": lot.cost_quote,
        "bought_quantity": lot.bought_quantity.value,
        "bought_quote": lot.bought_quote,
        "fees_other": _fees_text(lot.fees_other),
        "stop": None if lot.stop is None else lot.stop.value,
        "target": None if lot.target is None else lot.target.value,
        "trailing_bps": lot.trailing_bps,
        "peak": None if lot.peak is None else lot.peak.value,
        "time_exit_at": lot.time_exit_at,
        "state": holding.state,
        "state_reason": holding.state_reason,
        "is_open": holding.closed_at is None,
        "closed_at": holding.closed_at,
        "state_since": holding.state_since,
        "naked_ms": holding.naked_ms,
        "watched_ms": holding.watched_ms,
    }


def _holding(row: Sequence[Any]) -> Holding:
    """Read a lot from `_LOT_NAMES`."""
    lot = Lot(
        id=row[0],
        account_id=row[1],
        symbol=row[2],
        base=row[3],
        quote=row[4],
        entry_order_id=row[5],
        opened_at=row[6],
        source_id=row[7],
        signal_id=row[8],
        signal_seq=row[9],
        quantity=Quantity(row[10]),
        cost_quote=row[11],
        bought_quantity=Quantity(row[12]),
        bought_quote=row[13],
        fees_other=_fees(row[14]),
        stop=None if row[15] is None else Price(row[15]),
        target=None if row[16] is None else Price(row[16]),
        trailing_bps=row[17],
        peak=None if row[18] is None else Price(row[18]),
        time_exit_at=row[19],
    )
    return Holding(
        lot=lot,
        user_id=row[20],
        venue=row[21],
        environment=_ENVIRONMENTS[row[22]],
        state=row[23],
        state_reason=row[24],
        closed_at=row[25],
        rev=row[26],
        state_since=row[27] or row[6],
        naked_ms=row[28],
        watched_ms=row[29],
    )


def _fees_text(fees: Sequence[Money]) -> str:
    return msgspec.json.encode([[str(fee.amount), fee.asset] for fee in fees]).decode("utf-8")


def _fees(text: str) -> tuple[Money, ...]:
    return tuple(Money(Decimal(amount), Asset(asset)) for amount, asset in msgspec.json.decode(text))

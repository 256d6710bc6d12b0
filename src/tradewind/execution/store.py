"""SQL of the order journal: rows in, core values out. Verbs and transactions are journal.py's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, TextClause, or_, select, text

from tradewind.core.errors import NotFound
from tradewind.core.ids import (
    AccountId,
    IntentId,
    OrderId,
    SignalId,
    SourceId,
    UserId,
)
from tradewind.core.money import ZERO, Asset
from tradewind.core.order import ENDED, IntentKind, Leg, Order, OrderState, Side
from tradewind.execution.order_rows import (
    MOVING,
    NAMES,
    WORDS,
    from_values_if_readable,
    moving_values,
    to_values,
)
from tradewind.execution.order_rows import Stored as Stored
from tradewind.execution.order_rows import from_row as from_row
from tradewind.execution.order_rows import is_readable as is_readable
from tradewind.execution.tables import EXECUTED, IS_ENTRY, UNSETTLED, account_states, orders
from tradewind.infra import bulk
from tradewind.infra.db import Tx
from tradewind.infra.salvage import salvage

_ENDED_WORDS = tuple(sorted(state.value for state in ENDED))
_ACCOUNT, _SYMBOL = (NAMES.index(name) for name in ("account_id", "symbol"))
# As text, so that the partial indexes are found.
_UNSETTLED = text(UNSETTLED)
_IS_ENTRY = text(IS_ENTRY)
_ORDERS = bulk.bare_select(orders, NAMES)


class LaterRelease(NotFound):
    """An order was written by a later release in words this one does not know: hands off it and its market."""


# --- orders ----------------------------------------------------------------------------------------


def _readable(tx: Tx, query: Select[Any]) -> list[Stored]:
    """Read rows over many accounts; one of a later release is left out, and never stops the others."""
    rows = bulk.fetch(tx, orders, NAMES, query)
    return [stored for row in rows if (stored := from_values_if_readable(row)) is not None]


def _all_of(tx: Tx, query: Select[Any]) -> list[Stored]:
    """Read the rows that one market's sells are counted from. Raises LaterRelease: a sum without one would be wrong."""
    return _demanded(bulk.fetch(tx, orders, NAMES, query))


def _demanded(rows: Iterable[Sequence[Any]]) -> list[Stored]:
    found = []
    for row in rows:
        stored = from_values_if_readable(row)
        if stored is None:
            state = row[NAMES.index("state")]
            raise LaterRelease(
                "order_of_later_release",
                f"Order {row[0]} was written by a later release ({state}); its market is left alone.",
            )
        found.append(stored)
    return found


def list_unreadable(tx: Tx) -> list[Row[Any]]:
    """Read the orders that a later release wrote in words this one does not know, oldest first."""
    unknown = [orders.c[column].not_in(sorted(words)) for column, words in WORDS.items()]
    return list(tx.execute(select(orders).where(or_(*unknown)).order_by(orders.c.created_at, orders.c.id)))


def insert_orders(tx: Tx, new: Sequence[Order]) -> None:
    """Add INTENDED orders."""
    bulk.insert_rows(tx, orders, NAMES, [to_values(order, ZERO) for order in new])


def update_orders(tx: Tx, moved: Sequence[tuple[Order, int]]) -> bool:
    """Write orders that moved, each with the rev it had; False if somebody else moved one of them meanwhile."""
    rows = [(*moving_values(order), order.id, expected_rev) for order, expected_rev in moved]
    return bulk.update_rows(tx, orders, MOVING, ("id", "rev"), rows) == len(rows)


def update_stored(tx: Tx, moved: Sequence[tuple[Stored, int]]) -> bool:
    """As `update_orders`, with what is booked of them."""
    rows = [(*moving_values(each.order), _as_written(each), each.order.id, rev) for each, rev in moved]
    return bulk.update_rows(tx, orders, (*MOVING, "booked"), ("id", "rev"), rows) == len(rows)


def _as_written(stored: Stored) -> Decimal:
    """What is booked, in the very digits of what was executed where they are equal: SQLite compares them as text."""
    executed = stored.order.executed.value
    return executed if executed == stored.booked else stored.booked


def update_booked(tx: Tx, found: Iterable[Stored]) -> None:
    """Write the sums of the fills of orders that did not move."""
    bulk.update_rows(tx, orders, ("booked",), ("id",), [(_as_written(each), each.order.id) for each in found])


def find_orders(tx: Tx, ids: Iterable[OrderId], *, lock: bool = False) -> dict[OrderId, Stored]:
    """Read orders by id; `lock` holds the rows for this transaction (PostgreSQL)."""
    found = [
        stored
        for row in bulk.select_rows(tx, orders, NAMES, "id", ids, lock=lock)
        if (stored := from_values_if_readable(row)) is not None
    ]
    return {stored.order.id: stored for stored in found}


def find_by_client_id(tx: Tx, account_id: AccountId, client_order_id: str) -> Stored | None:
    """Read the order an account knows under a client id. Raises LaterRelease."""
    query = _ORDERS.where(orders.c.account_id == account_id, orders.c.client_order_id == client_order_id)
    return next(iter(_all_of(tx, query)), None)


def is_client_id_known(tx: Tx, user_id: UserId, client_order_id: str) -> bool:
    """Say whether any account a person has or had knows an order under this client id."""
    query = select(orders.c.id).where(orders.c.user_id == user_id, orders.c.client_order_id == client_order_id)
    return tx.execute(query.limit(1)).one_or_none() is not None


def is_client_id_anywhere(tx: Tx, client_order_id: str) -> bool:
    """Say whether any account of anybody knows an order under this client id; reads the whole table."""
    query = select(orders.c.id).where(orders.c.client_order_id == client_order_id)
    return tx.execute(query.limit(1)).one_or_none() is not None


def list_in_states(tx: Tx, states: Iterable[OrderState]) -> list[Stored]:
    """Read all orders in these states, oldest first; for the engine, across users."""
    words = [state.value for state in states]
    query = _ORDERS.where(orders.c.state.in_(words)).order_by(orders.c.created_at, orders.c.id)
    return _readable(tx, query)


def list_not_ended(tx: Tx, account_id: AccountId, symbol: str | None = None) -> list[Stored]:
    """Read an account's orders that have not ended."""
    query = _ORDERS.where(orders.c.account_id == account_id, _UNSETTLED, orders.c.state.not_in(_ENDED_WORDS))
    if symbol is not None:
        query = query.where(orders.c.symbol == symbol)
    return _readable(tx, query.order_by(orders.c.created_at, orders.c.id))


def list_unsettled(tx: Tx, account_id: AccountId, symbol: str) -> list[Stored]:
    """Read an account's orders that have not ended, or of which not every fill is booked. Raises LaterRelease."""
    query = _ORDERS.where(
        orders.c.account_id == account_id,
        orders.c.symbol == symbol,
        _UNSETTLED,
    )
    found = _all_of(tx, query.order_by(orders.c.created_at, orders.c.id))
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def list_unsettled_of(tx: Tx, account_id: AccountId) -> list[Stored]:
    """As `list_unsettled`, for all markets of an account. Raises LaterRelease."""
    query = _ORDERS.where(
        orders.c.account_id == account_id,
        _UNSETTLED,
    )
    found = _all_of(tx, query.order_by(orders.c.created_at, orders.c.id))
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def list_unsettled_at(tx: Tx, places: Collection[tuple[AccountId, str]]) -> list[Stored]:
    """As `list_unsettled`, for many accounts and markets at once. Raises LaterRelease."""
    if not places:
        return []
    query = _ORDERS.where(
        orders.c.account_id.in_(sorted({account_id for account_id, _ in places})),
        orders.c.symbol.in_(sorted({symbol for _, symbol in places})),
        _UNSETTLED,
    )
    # What nobody can read at another place is not asked for here.
    found = _demanded(row for row in bulk.fetch(tx, orders, NAMES, query) if (row[_ACCOUNT], row[_SYMBOL]) in places)
    unsettled = [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]
    return sorted(unsettled, key=lambda stored: (stored.order.created_at, stored.order.id))


def list_of_intents(tx: Tx, intent_ids: Sequence[IntentId], leg: Leg) -> list[Stored]:
    """Read all generations of one leg of these intents. Raises LaterRelease."""
    return _all_of(tx, _ORDERS.where(orders.c.intent_id.in_(list(intent_ids)), orders.c.leg == leg.value))


def list_sells_after(tx: Tx, account_id: AccountId, symbol: str, since: datetime) -> list[Stored]:
    """Read an account's sells that have not ended, or ended at or after a time. Raises LaterRelease."""
    query = _ORDERS.where(
        orders.c.account_id == account_id,
        orders.c.symbol == symbol,
        orders.c.side == Side.SELL.value,
        or_(orders.c.state.not_in(_ENDED_WORDS), orders.c.ended_at >= since),
    )
    return _all_of(tx, query)


def list_overdue(tx: Tx, before: datetime, legs: Iterable[Leg] = Leg) -> list[Order]:
    """Read orders of these legs that stand INTENDED although their release time passed before a time."""
    query = _ORDERS.where(
        orders.c.state == OrderState.INTENDED.value,
        orders.c.release_at < before,
        orders.c.leg.in_([leg.value for leg in legs]),
    )
    return [each.order for each in _readable(tx, query.order_by(orders.c.release_at, orders.c.id).limit(5_000))]


def list_lacking_fills(tx: Tx) -> list[Stored]:
    """Read orders of which the venue stated more than we hold fills for."""
    # Text columns are compared for inequality only; the size is judged in Decimal.
    query = _ORDERS.where(_UNSETTLED, orders.c.executed != orders.c.booked)
    return [stored for stored in _readable(tx, query) if stored.lacks_fills]


def list_of_intent(tx: Tx, intent_id: IntentId) -> list[Stored]:
    """Read all legs and generations of an intent. Raises LaterRelease."""
    query = _ORDERS.where(orders.c.intent_id == intent_id).order_by(orders.c.leg, orders.c.generation)
    return _all_of(tx, query)


def list_of_lot(tx: Tx, lot_id: str) -> list[Stored]:
    """Read all protective and exit orders that name a lot. Raises LaterRelease."""
    query = _ORDERS.where(orders.c.lot_id == lot_id).order_by(orders.c.created_at, orders.c.id)
    return _all_of(tx, query)


def list_of_lots(tx: Tx, lot_ids: Sequence[str], legs: Iterable[Leg]) -> list[Stored]:
    """Read all orders of some legs that name one of these lots, oldest first. Raises LaterRelease."""
    query = _ORDERS.where(orders.c.lot_id.in_(list(lot_ids)), orders.c.leg.in_([leg.value for leg in legs]))
    return _all_of(tx, query.order_by(orders.c.created_at, orders.c.id))


def list_entries_undone(tx: Tx, source_id: SourceId, base: Asset) -> list[Stored]:
    """Read entries of a source in an asset that have not ended, or whose fills are not all booked."""
    query = _ORDERS.where(
        orders.c.source_id == source_id,
        orders.c.base == base,
        _IS_ENTRY,
        _UNSETTLED,
    )
    found = _readable(tx, query)
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def list_of_signal(tx: Tx, signal_id: SignalId) -> tuple[list[Order], frozenset[AccountId]]:
    """Read every order of a signal's own, all generations, oldest first, and the accounts with one nobody can read."""
    # Of any kind: a word that is not known may stand there too.
    query = select(orders).where(orders.c.signal_id == signal_id).order_by(orders.c.created_at, orders.c.id)
    read = salvage(tx, query, orders.c.id, from_row)
    named = select(orders.c.account_id).where(orders.c.id.in_(list(read.broken)))
    broken = tx.execute(named).scalars() if read.broken else ()
    own = [each.order for each in read.found if each.order.intent_kind is IntentKind.SIGNAL]
    return own, frozenset(map(AccountId, broken))


def has_bought_before(tx: Tx, order: Order) -> bool:
    """Say whether another entry of the same intent or signal has executed anything at this account."""
    is_same: ColumnElement[bool] = orders.c.intent_id == order.intent_id
    if order.signal_id is not None:
        is_same = or_(is_same, orders.c.signal_id == order.signal_id)
    query = select(orders.c.executed).where(
        is_same, orders.c.account_id == order.account_id, orders.c.leg == Leg.ENTRY.value, orders.c.id != order.id
    )
    return any(executed > ZERO for executed in tx.execute(query).scalars())


def list_of_user(
    tx: Tx, user_id: UserId, *, is_open: bool | None, limit: int, before: datetime | None = None
) -> list[Stored]:
    """Read a user's orders, newest first."""
    query = _ORDERS.where(orders.c.user_id == user_id)
    if is_open is not None:
        words = orders.c.state.not_in(_ENDED_WORDS) if is_open else orders.c.state.in_(_ENDED_WORDS)
        query = query.where(words)
    if before is not None:
        query = query.where(orders.c.created_at < before)
    query = query.order_by(orders.c.created_at.desc(), orders.c.id.desc()).limit(limit)
    return _readable(tx, query)


def find_of_user(tx: Tx, user_id: UserId, order_id: str) -> Stored | None:
    """Read one order of a user; another user's id finds nothing."""
    query = _ORDERS.where(orders.c.id == order_id, orders.c.user_id == user_id)
    return next(iter(_readable(tx, query)), None)


def committed_spend(tx: Tx, account_ids: Sequence[AccountId]) -> list[Stored]:
    """Read entries not ended or not fully booked, BLIND included, of these accounts: they bind money."""
    found = _entries_where(tx, account_ids, _UNSETTLED)
    return [stored for stored in found if not stored.order.is_ended or stored.lacks_fills]


def entries_since(tx: Tx, account_ids: Sequence[AccountId], since: datetime) -> list[Stored]:
    """Read entries created since a time that were not denied or refused, or executed after all (daily limits)."""
    not_taken = [OrderState.DENIED.value, OrderState.REJECTED.value, OrderState.NEVER_ARRIVED.value]
    counts = or_(orders.c.state.not_in(not_taken), text(EXECUTED))
    return _entries_where(tx, account_ids, orders.c.created_at >= since, counts)


def _entries_where(
    tx: Tx, account_ids: Sequence[AccountId], *conditions: ColumnElement[bool] | TextClause
) -> list[Stored]:
    """Read entries of many accounts; those of a later release are left out, and never stop the others."""
    mine = (orders.c.account_id.in_(list(account_ids)), _IS_ENTRY)
    return _readable(tx, _ORDERS.where(*mine, *conditions))


# --- account versions ------------------------------------------------------------------------------


def exposure_versions(tx: Tx, account_ids: Sequence[AccountId], *, lock: bool = False) -> dict[AccountId, int]:
    """Read how often each account's exposure moved; 0 for an account never seen."""
    names = ("account_id", "exposure_version")
    found: dict[AccountId, int] = dict(
        bulk.select_rows(tx, account_states, names, "account_id", account_ids, lock=lock)
    )
    return {account_id: found.get(account_id, 0) for account_id in account_ids}


def bump_exposure(tx: Tx, account_ids: Iterable[AccountId]) -> None:
    """Say that what these accounts are exposed to has changed."""
    # In one order always, so that two transactions never wait for each other's rows.
    wanted = sorted(set(account_ids))
    if bulk.count_up(tx, account_states, "exposure_version", "account_id", wanted) == len(wanted):
        return
    present = {row[0] for row in bulk.select_rows(tx, account_states, ("account_id",), "account_id", wanted)}
    missing = [(account_id, 1, 0) for account_id in wanted if account_id not in present]
    bulk.insert_rows(tx, account_states, ("account_id", "exposure_version", "owner_epoch"), missing)

"""Adopt what our own orders did in a part of the journal that is gone (order-protocol.md section 9).

Every order at the venue with an id of our form that the journal does not know is ours: it gets an intent and a row,
its fills are booked, its position is protected by the mandate's defaults, and it is reported. In order of time, so
that a buy is booked before the sell of the same coins. A resting stop or target is taken over where one lot fits it
and cancelled where none does. Nothing is sent to find out; nothing is ever fired again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId, ClientOrderId, IntentId, MandateId, OrderId, SourceId, UserId, is_ours
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.levels import default_levels
from tradewind.core.mandate import Mandate
from tradewind.core.money import EXACT, ZERO, Asset, Price
from tradewind.core.order import RESTING, IntentKind, Leg, Order, OrderState, OrderType, Side
from tradewind.execution import intent_store, restoring, store
from tradewind.execution.account_look import Followed, Looked
from tradewind.execution.cancels import CancelDesk
from tradewind.execution.desk import Desk, fact
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved, Outcome
from tradewind.execution.recorder import Recorder
from tradewind.execution.restoring import Restore
from tradewind.infra.clock import Clock, from_ms, to_ms
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.infra.points import Point, reached
from tradewind.portfolio.holding import Holding
from tradewind.portfolio.service import open_lots
from tradewind.signals import inbox_facts
from tradewind.venues.base import OrderReport, Signer, VenueFill

_log = logger("execution.adoption")

# The clocks of venue and database, and what was on its way when the backup was taken.
_MARGIN = timedelta(minutes=10)
_DAY_MS = 86_400_000
# A backup older than this is not reconciled order by order any more.
_WINDOWS_MAX = restoring.LISTED_FOR.days
# Markets that sources have named lately may have been traded in the part that is gone.
_SIGNALS_SINCE = timedelta(days=30)

FindMarket = Callable[[VenueName, Environment, Asset, Asset | None, Asset | None], Instrument | None]
MandatesOf = Callable[[Tx, UserId, AccountId], Sequence[Mandate]]


@dataclass(slots=True)
class Adoption:
    """Looks for orders of ours that the journal does not know, one account at a time."""

    db: Db
    journal: Journal
    recorder: Recorder
    cancels: CancelDesk
    desk: Desk
    clock: Clock
    find_market: FindMarket
    mandates_of: MandatesOf

    async def adopt(self, followed: Followed, restore: Restore, looked: Looked) -> None:
        """Adopt what happened at one account since the backup. Raises VenueError where nothing can be known."""
        signer = self.desk.signer(followed.account_id)
        since_ms = to_ms(restore.since - _MARGIN)
        days = self._days(followed, restore)
        first = next(iter(days), since_ms)
        if first > since_ms:
            since, known = restore.since.date().isoformat(), from_ms(first).date().isoformat()
            looked.tell("not_all_listed", "-", ours=f"gap since {since}", venue=f"listed since {known}", done="told")
        for instrument in await self._markets(followed, signer, looked):
            listed = await self._listed(followed, signer, instrument, days, looked)
            for report in sorted(listed, key=_by_age):
                if await self._is_news(followed, report):
                    await self._adopt_one(followed, signer, instrument, report, looked)

    @staticmethod
    def _days(followed: Followed, restore: Restore) -> Sequence[int]:
        """What comes after the restore the journal knows: an account linked much later costs no more for it."""
        until_ms = min(followed.client.venue_now_ms(), to_ms(restore.at + _MARGIN))
        return days_to_list(to_ms(restore.since - _MARGIN), until_ms)

    # --- where to look ---------------------------------------------------------------------------

    async def _markets(self, followed: Followed, signer: Signer, looked: Looked) -> list[Instrument]:
        """Markets held, locked, mandated or known: everything in which an order of ours can have been."""
        client = followed.client
        venue, environment = client.capabilities.venue, client.environment
        looked.weight += client.capabilities.costs.account + client.capabilities.costs.open_orders_all
        snapshot = await client.account(signer)
        resting = await client.open_orders(signer, None)
        since = self.clock.now() - _SIGNALS_SINCE

        def read(tx: Tx) -> tuple[list[str], set[Asset], set[Asset | None]]:
            mandates = self.mandates_of(tx, followed.user_id, followed.account_id)
            quotes = {None, *(each.quote_preference for each in mandates)}
            return restoring.markets_of(tx, followed.account_id), inbox_facts.bases_since(tx, since), quotes

        known, named, quotes = await self.db.read(read)
        symbols = {*known, *(report.symbol for report in resting if is_ours(report.client_order_id))}
        found: dict[str, Instrument] = {}
        for symbol in symbols:
            # A market that is listed no more has no orders to ask for; what is held of it shows in the balances.
            with contextlib.suppress(NotFound):
                found[symbol] = self.desk.instrument(venue, environment, symbol)
        held = {each.asset for each in snapshot.balances if each.free + each.locked > ZERO}
        for base in held | named:
            for quote in quotes:
                instrument = self.find_market(venue, environment, base, quote, None)
                if instrument is not None:
                    found[instrument.symbol] = instrument
        return [found[symbol] for symbol in sorted(found)]

    async def _listed(
        self, followed: Followed, signer: Signer, instrument: Instrument, days: Sequence[int], looked: Looked
    ) -> list[OrderReport]:
        """List a market's orders, a day at a time, as venues answer no longer span."""
        found: dict[str, OrderReport] = {}
        for start in days:
            looked.weight += followed.client.capabilities.costs.orders_since
            for report in await followed.client.orders_since(signer, instrument, start):
                found[report.venue_order_id] = report
        return list(found.values())

    async def _is_news(self, followed: Followed, report: OrderReport) -> bool:
        if not is_ours(report.client_order_id) or (report.state not in RESTING and not report.executed.is_positive):
            return False
        user_id, client_id = followed.user_id, report.client_order_id
        # Under any account: one that was linked again has a past that the journal keeps under the account of before.
        return not await self.db.read(lambda tx: store.is_client_id_known(tx, user_id, client_id))

    # --- adopting --------------------------------------------------------------------------------

    async def _adopt_one(
        self, followed: Followed, signer: Signer, instrument: Instrument, report: OrderReport, looked: Looked
    ) -> None:
        fills: tuple[VenueFill, ...] = ()
        if report.executed.is_positive:
            looked.weight += followed.client.capabilities.costs.fills_of_order
            found = await followed.client.fills(signer, instrument, venue_order_id=report.venue_order_id, since_ms=None)
            fills = tuple(found)
        now = self.clock.now()
        moved = await self.db.write(lambda tx: self._write(tx, followed, instrument, report, fills, now))
        reached(Point.ADOPTION_COMMITTED)
        self.recorder.announce(moved)
        order = moved[-1].after
        looked.fills += sum(len(move.new_fills) for move in moved)
        done = f"adopted as {order.leg}, {len(fills)} fills booked"
        if order.state in RESTING and order.lot_id is None:
            # It holds coins of no position: ours, wanted by nobody, so it goes (section 1).
            await self.cancels.cancel([order], "no_position")
            done = "adopted and cancelled: it fits no position"
        looked.tell("adopted", report.symbol, ours="-", venue=_words(report), done=done, order_id=order.id)
        _log.warning("execution.adoption.adopted", account_id=followed.account_id, order_id=order.id, leg=order.leg)

    def _write(
        self,
        tx: Tx,
        followed: Followed,
        instrument: Instrument,
        report: OrderReport,
        fills: Sequence[VenueFill],
        now: datetime,
    ) -> list[Moved]:
        """Write intent, row, fills and an incident in one transaction."""
        leg = _leg_of(report)
        lots = [] if leg is Leg.ENTRY else open_lots(tx, account_ids=[followed.account_id], symbol=report.symbol)
        lot_id = _lot_for(lots, report, instrument) if leg in (Leg.STOP, Leg.TARGET) else None
        mandates = self.mandates_of(tx, followed.user_id, followed.account_id)
        # With one mandate the source is certain, and its next close reaches the lot; with several nobody knows.
        source_id = mandates[0].source_id if len(mandates) == 1 and leg is Leg.ENTRY else None
        detail = _levels(mandates, followed, instrument, report) if leg is Leg.ENTRY else {}
        intent = replace(
            self._intent(followed, report, leg, now),
            lot_id=lot_id,
            source_id=source_id,
            detail={"adopted": True, **detail},
        )
        intent_store.insert_intents(tx, [intent])
        order = _row(self.journal, followed, instrument, intent, report, leg)
        store.insert_orders(tx, [order])
        self.journal.open_incident(tx, order, "adopted_after_restore", {"symbol": report.symbol}, now)
        moved = self.recorder.applier.apply_all(tx, [Outcome(order.id, fact(report, now), tuple(fills))], now)
        reached(Point.ADOPTION_WRITTEN)
        return moved

    def _intent(self, followed: Followed, report: OrderReport, leg: Leg, now: datetime) -> Intent:
        kinds = {Leg.ENTRY: IntentKind.SIGNAL, Leg.EXIT: IntentKind.ENGINE_EXIT}
        return Intent(
            id=IntentId(self.journal.ids.new()),
            kind=kinds.get(leg, IntentKind.PROTECTION),
            user_id=followed.user_id,
            account_id=followed.account_id,
            symbol=report.symbol,
            created_at=now,
            # It wanted this one order; what follows from it is decided anew.
            is_done=True,
        )


def days_to_list(since_ms: int, until_ms: int) -> Sequence[int]:
    """Return where each day to list begins; of more days than lists go back the newest.

    >>> [start // _DAY_MS for start in days_to_list(0, 2 * _DAY_MS)]
    [0, 1, 2]
    """
    return range(since_ms, until_ms + 1, _DAY_MS)[-_WINDOWS_MAX:]


def _row(
    journal: Journal, followed: Followed, instrument: Instrument, intent: Intent, report: OrderReport, leg: Leg
) -> Order:
    """The order as it must have been, in doubt until the venue's word is applied to it."""
    types = {Leg.STOP: OrderType.STOP_LOSS, Leg.TARGET: OrderType.TAKE_PROFIT_LIMIT_MAKER}
    price = None if not report.stop_price else Price(report.stop_price)
    return Order(
        id=OrderId(journal.ids.new()),
        intent_id=intent.id,
        intent_kind=intent.kind,
        user_id=followed.user_id,
        account_id=followed.account_id,
        venue=instrument.venue,
        environment=followed.client.environment,
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        leg=leg,
        side=report.side,
        type=types.get(leg, OrderType.MARKET),
        client_order_id=ClientOrderId(report.client_order_id),
        created_at=report.at,
        release_at=report.at,
        attempt=1,
        source_id=intent.source_id,
        lot_id=intent.lot_id,
        quantity=report.original_quantity,
        stop_price=price if leg is Leg.STOP else None,
        state=OrderState.UNKNOWN,
        owner_epoch=journal.owner.epoch,
        send_by_ms=to_ms(report.at),
        sent_at=report.at,
        reason="adopted",
    )


def _leg_of(report: OrderReport) -> Leg:
    if report.side is Side.BUY:
        return Leg.ENTRY
    if report.type_text.startswith("STOP_LOSS"):
        return Leg.STOP
    return Leg.TARGET if report.type_text == "LIMIT_MAKER" else Leg.EXIT


def _lot_for(lots: Sequence[Holding], report: OrderReport, instrument: Instrument) -> str | None:
    """The lot that a stop or target stood for: the one of its size, else the only one there is."""
    fitting = [each for each in lots if instrument.floor_quantity(each.lot.quantity) == report.original_quantity]
    chosen = fitting if len(fitting) == 1 else lots
    return chosen[0].lot.id if len(chosen) == 1 else None


def _levels(
    mandates: Sequence[Mandate], followed: Followed, instrument: Instrument, report: OrderReport
) -> dict[str, str]:
    """Stop and target of an adopted position: the mandate's defaults around what was paid."""
    if not report.executed.is_positive or report.executed_quote <= ZERO:
        return {}
    mandate = mandates[0] if mandates else _no_mandate(followed)
    paid = Price(EXACT.divide(report.executed_quote, report.executed.value))
    levels = default_levels(mandate, instrument, paid)
    return {} if levels is None else {"stop": str(levels[0]), "target": str(levels[1])}


def _no_mandate(followed: Followed) -> Mandate:
    """The defaults every mandate starts with."""
    return Mandate(id=MandateId("-"), user_id=followed.user_id, account_id=followed.account_id, source_id=SourceId("-"))


def _by_age(report: OrderReport) -> tuple[int, str]:
    number = report.venue_order_id
    return (int(number), "") if number.isdigit() else (0, report.at.isoformat() + number)


def _words(report: OrderReport) -> str:
    return f"{report.side} {report.state} {report.executed} {report.type_text} {report.client_order_id}"

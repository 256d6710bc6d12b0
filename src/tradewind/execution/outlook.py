"""What a signal would do, account by account: everything up to the record, and nothing that writes.

The worker records an outlook; a preview only shows it (product.md S6). Both walk this one path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from tradewind.core.errors import TradewindError
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.signal import Signal
from tradewind.execution.bookcheck import BookCheck, Market
from tradewind.execution.deciding import Decider
from tradewind.execution.exposure import Facts
from tradewind.execution.journal import DecidedAccount
from tradewind.execution.quotes import Run
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger

_log = logger("execution.outlook")

# Longer than this no venue holds up a signal for the others: what it has not said is missing (section 3.1).
_PRICES_S = 3.0
# Accounts decided in one go: some ten milliseconds, so that a stop that triggers meanwhile does not wait for thousands.
_TURN = 200


class PriceConfirmer(Protocol):
    """Makes sure that prices are fresh before a signal is decided."""

    async def confirm(self, venue: VenueName, environment: Environment, symbols: Sequence[str]) -> None:
        """Ask the venue for prices that are not fresh; what it does not say stays unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Outlook:
    """A signal with what its decisions looked at, and what was decided for every account.

    `judged` is each account by itself, `decided` the same after the depth check over all of them.
    """

    signal: Signal
    facts: Facts
    judged: Sequence[DecidedAccount]
    visible: Mapping[Market, Decimal | None]
    decided: Sequence[DecidedAccount] = ()
    # How long reading (prices and book with it) and deciding took.
    load_s: float = 0.0
    decide_s: float = 0.0


@dataclass(slots=True)
class OutlookDesk:
    """Decides signals without writing anything."""

    db: Db
    clock: Clock
    decider: Decider
    prices: PriceConfirmer
    book_check: BookCheck

    async def of(self, signal: Signal, *, is_source_bound: bool, of_user: UserId | None = None) -> Outlook:
        """Decide a signal for all its accounts, or for one user's (a preview)."""
        now, started = self.clock.now(), self.clock.monotonic()
        facts = await self.db.read(
            lambda tx: self.decider.load(tx, signal, now, is_source_bound=is_source_bound, of_user=of_user)
        )
        await self._confirm_prices(facts)
        loaded = self.clock.monotonic()
        judged = await self._judged(self.decider, facts)
        decided = self.clock.monotonic()
        visible = await self.book_check.look(judged)
        load_s = loaded - started + self.clock.monotonic() - decided
        return self._cut(Outlook(signal, facts, judged, visible, load_s=load_s, decide_s=decided - loaded))

    async def again(
        self, signal: Signal, only: Sequence[AccountId], *, is_source_bound: bool, max_age_s: int
    ) -> Outlook:
        """Decide a signal once more for some of its accounts, up to an age that somebody has named."""
        decider, now = replace(self.decider, max_age_s=max_age_s), self.clock.now()
        facts = await self.db.read(
            lambda tx: decider.load(tx, signal, now, is_source_bound=is_source_bound, only=list(only))
        )
        await self._confirm_prices(facts)
        judged = await self._judged(decider, facts)
        return self._cut(Outlook(signal, facts, judged, await self.book_check.look(judged)))

    async def anew(self, outlook: Outlook) -> Outlook:
        """Decide once more from fresh facts: accounts have moved meanwhile."""
        now = self.clock.now()
        is_bound = outlook.facts.is_source_bound
        facts = await self.db.read(lambda tx: self.decider.load(tx, outlook.signal, now, is_source_bound=is_bound))
        return self._cut(replace(outlook, facts=facts, judged=await self._judged(self.decider, facts)))

    def under_lock(self, tx: Tx, outlook: Outlook, moved: Collection[AccountId], now: datetime) -> Outlook:
        """Decide the moved accounts once more, inside the transaction that records."""
        only = [each.account_id for each in outlook.judged if each.account_id in moved]
        facts = self.decider.load(tx, outlook.signal, now, is_source_bound=outlook.facts.is_source_bound, only=only)
        judged = [
            self.decider.decide_one(facts, each.account_id, each.decision["cell"], now)
            if each.account_id in facts.accounts and each.account_id in moved
            else each
            for each in outlook.judged
        ]
        return self._cut(replace(outlook, judged=judged))

    async def _judged(self, decider: Decider, facts: Facts) -> list[DecidedAccount]:
        """Decide for every account, as of one moment; prices, stops and answers get their turn in between."""
        run, now, count = Run(), self.clock.now(), len(facts.order)
        judged: list[DecidedAccount] = []
        for start in range(0, count, _TURN):
            judged += decider.decide_part(facts, range(start, min(start + _TURN, count)), now, run)
            await asyncio.sleep(0)
        return judged

    def _cut(self, outlook: Outlook) -> Outlook:
        return replace(outlook, decided=self.book_check.cut(outlook.judged, outlook.visible, outlook.signal))

    async def _confirm_prices(self, facts: Facts) -> None:
        wanted: dict[tuple[VenueName, Environment], set[str]] = {}
        key_of = self.decider.market_key
        for key in {key_of(facts.accounts[each], facts.mandates.get(each), facts.signal) for each in facts.order}:
            instrument = self.decider.quotes.find(*key)
            if instrument is not None:
                wanted.setdefault(key[:2], set()).add(instrument.symbol)
        async with asyncio.TaskGroup() as tasks:
            for (venue, environment), symbols in wanted.items():
                tasks.create_task(self._confirm(venue, environment, sorted(symbols)))

    async def _confirm(self, venue: VenueName, environment: Environment, symbols: Sequence[str]) -> None:
        """One venue's trouble is its own accounts' trouble: they are decided without a price."""
        try:
            async with asyncio.timeout(_PRICES_S):
                await self.prices.confirm(venue, environment, symbols)
        except (TradewindError, TimeoutError) as error:
            _log.warning(
                "execution.outlook.no_prices", venue=venue, environment=environment, error=type(error).__name__
            )

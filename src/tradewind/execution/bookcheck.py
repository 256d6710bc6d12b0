"""The depth check before a large fan-out (product.md E9): one look at the book per market and signal.

Only entries of signals are looked at. Exits, protective orders and hand orders never pass through here. The look is
made before the record, outside any transaction; the slices are cut again, purely, if accounts are decided anew
inside it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Protocol

from tradewind.core.decision import Place, Skip, SkipReason
from tradewind.core.depth import DepthRules, slice_numbers, visible_asks
from tradewind.core.errors import TradewindError
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import EXACT, ZERO, plain
from tradewind.core.order import Order
from tradewind.core.signal import Signal
from tradewind.core.working import Step, step
from tradewind.execution.journal import DecidedAccount
from tradewind.infra.log import logger
from tradewind.venues.base import Depth

_log = logger("execution.bookcheck")

# Levels asked for: what a venue gives for a moderate weight, and far more than 0.5 % of a thin book.
_LEVELS = 1_000

Market = tuple[VenueName, Environment, str]


class Books(Protocol):
    """Where the book of a market comes from."""

    async def depth(self, venue: VenueName, environment: Environment, symbol: str, limit: int) -> Depth:
        """Ask the venue for the book. Raises a venue's errors, or NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class BookCheck:
    """Compares what a signal's entries add up to with the book, and slices or refuses what is too much."""

    books: Books
    # None: the operator has switched the check off.
    rules: DepthRules | None
    timeout_s: float

    async def look(self, decided: Sequence[DecidedAccount]) -> Mapping[Market, Decimal | None]:
        """Ask for the books of the markets in which much is to be bought; None where a venue did not answer in time."""
        if self.rules is None:
            return {}
        wanted = [market for market, group in _by_market(decided).items() if self._is_large(group)]
        found: dict[Market, Decimal | None] = {}
        async with asyncio.TaskGroup() as tasks:
            for market in wanted:
                tasks.create_task(self._look_at(market, self.rules, found))
        return found

    async def _look_at(self, market: Market, rules: DepthRules, found: dict[Market, Decimal | None]) -> None:
        venue, environment, symbol = market
        try:
            async with asyncio.timeout(self.timeout_s):
                depth = await self.books.depth(venue, environment, symbol, _LEVELS)
        except (TradewindError, TimeoutError) as error:
            _log.warning("execution.bookcheck.no_book", venue=venue, symbol=symbol, error=type(error).__name__)
            found[market] = None
            return
        found[market] = visible_asks([(level.price, level.quantity) for level in depth.asks], rules.within_bps)

    def cut(
        self, decided: Sequence[DecidedAccount], visible: Mapping[Market, Decimal | None], signal: Signal
    ) -> list[DecidedAccount]:
        """Move the release of entries into slices, and skip those that are too much for the book.

        Plans keep their order; inside a plan the order is drawn anew for each signal, so nobody is always last.
        """
        if self.rules is None:
            return list(decided)
        changed: dict[str, DecidedAccount] = {}
        for market, group in _by_market(decided).items():
            if self._is_large(group):
                # The draw is the signal's own, so that a second round inside the record draws the same.
                draw = random.Random(f"{signal.id}:{market}")  # noqa: S311 - fairness, not secrecy
                ordered = sorted(group, key=lambda each: (each.order.release_at, draw.random()))
                for each in self._sliced(ordered, visible.get(market), self.rules):
                    changed[each.account_id] = each
        return [changed.get(each.account_id, each) for each in decided]

    def _is_large(self, group: Sequence[_Entry]) -> bool:
        assert self.rules is not None
        return _total(group) > self.rules.allowance(group[0].instrument.min_notional)

    @staticmethod
    def _sliced(group: Sequence[_Entry], visible: Decimal | None, rules: DepthRules) -> list[DecidedAccount]:
        instrument = group[0].instrument
        slice_most, total_most = rules.bounds(visible, rules.allowance(instrument.min_notional))
        numbers = slice_numbers([each.spend for each in group], slice_most, total_most)
        first = group[0].order.release_at
        said = partial(_book_step, instrument, _total(group), visible, rules, max((n or 0 for n in numbers), default=0))
        found = []
        for each, number in zip(group, numbers, strict=True):
            release_at = first if number is None else max(each.order.release_at, first + number * rules.slice_every)
            is_late = each.fresh_until is not None and release_at > each.fresh_until
            if number is None or is_late:
                found.append(_refused(each.decided, said(None)))
            else:
                found.append(_moved(each, release_at, said(number)))
        return found


@dataclass(frozen=True, slots=True)
class _Entry:
    decided: DecidedAccount
    order: Order
    instrument: Instrument
    spend: Decimal
    fresh_until: datetime | None


def _by_market(decided: Sequence[DecidedAccount]) -> dict[Market, list[_Entry]]:
    found: dict[Market, list[_Entry]] = {}
    for each in decided:
        order, answer = each.order, each.answer
        if order is None or not isinstance(answer, Place) or answer.entry is None or each.candidate is None:
            continue
        assert each.candidate.instrument is not None
        until = None if each.intent is None else each.intent.detail.get("fresh_until")
        fresh_until = None if until is None else datetime.fromisoformat(until)
        entry = _Entry(each, order, each.candidate.instrument, answer.entry.spend.amount, fresh_until)
        found.setdefault((order.venue, order.environment, order.symbol), []).append(entry)
    return found


def _total(group: Sequence[_Entry]) -> Decimal:
    total = ZERO
    for each in group:
        total = EXACT.add(total, each.spend)
    return total


def _moved(entry: _Entry, release_at: datetime, said: Step) -> DecidedAccount:
    decided = _with_step(entry.decided, said)
    return replace(decided, order=replace(entry.order, release_at=release_at))


def _refused(decided: DecidedAccount, said: Step) -> DecidedAccount:
    told = _with_step(decided, said)
    assert told.answer is not None
    reason = SkipReason.TOO_LARGE_FOR_THE_BOOK
    row = {**told.decision, "verdict": "skip", "reason": reason.value}
    skip = Skip(reason, told.answer.working, confidence_pct=told.answer.confidence_pct)
    return replace(told, decision=row, intent=None, order=None, answer=skip)


def _with_step(decided: DecidedAccount, said: Step) -> DecidedAccount:
    assert decided.answer is not None
    working = (*decided.answer.working, said)
    row = {**decided.decision, "working": working}
    return replace(decided, decision=row, answer=replace(decided.answer, working=working))


def _book_step(
    instrument: Instrument, total: Decimal, visible: Decimal | None, rules: DepthRules, last: int, number: int | None
) -> Step:
    quote = instrument.quote
    seen = "unknown" if visible is None else f"{plain(visible.quantize(Decimal('0.01')))} {quote}"
    share = "unknown"
    if visible:
        share = f"{plain((EXACT.divide(total, visible) * 100).quantize(Decimal('0.1')))} %"
    return step(
        "book",
        all_entries=f"{plain(total)} {quote}",
        asks=seen,
        within=f"{plain(Decimal(rules.within_bps) / 100)} %",
        share=share,
        slices_above=f"{rules.slice_pct} %",
        refused_above=f"{rules.refuse_pct} %",
        slice="none left" if number is None else f"{number + 1} of {last + 1}",
    )

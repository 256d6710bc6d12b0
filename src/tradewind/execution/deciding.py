"""Decide one signal for many accounts: read once, decide purely, prepare what is to be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tradewind.core.analysis import UNKNOWN_VIEW, MarketView
from tradewind.core.decision import Candidate, Exposure, Place, Skip, SkipReason, decide
from tradewind.core.errors import NotFound
from tradewind.core.gate import GateInputs
from tradewind.core.ids import AccountId, DecisionId, IntentId, UserId
from tradewind.core.instrument import Instrument, Traded, VenueName
from tradewind.core.mandate import Follower, Mandate, passed_over
from tradewind.core.money import Asset, Price
from tradewind.core.order import IntentKind, Leg, Order, OrderType, Side
from tradewind.core.plan import day_start, release_at, week_start
from tradewind.core.signal import Action, Signal
from tradewind.core.sizing import Sized
from tradewind.execution import exposure_store, store
from tradewind.execution.exposure import Facts, exposure_of
from tradewind.execution.intent_store import Intent
from tradewind.execution.journal import DecidedAccount, new_order
from tradewind.execution.quotes import MarketKey, Quotes, Run
from tradewind.execution.roster import AccountFacts, Roster
from tradewind.execution.stops import EPOCH_KEY
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.portfolio.holding import OpenLot
from tradewind.portfolio.service import lots_of_source, open_lots, quote_balances
from tradewind.signals.service import is_superseded, last_close_at
from tradewind.signals.timely import place_in_inbox


@dataclass(frozen=True, slots=True)
class _Held:
    """A market by what we hold in it, known without the venue's list."""

    venue: VenueName
    symbol: str
    base: Asset
    quote: Asset


@dataclass(slots=True)
class Decider:
    """Turns a signal into one decision per account."""

    ids: Ids
    roster: Roster
    quotes: Quotes
    max_age_s: int
    view: MarketView = UNKNOWN_VIEW

    # --- reading ---------------------------------------------------------------------------------

    def load(
        self,
        tx: Tx,
        signal: Signal,
        now: datetime,
        *,
        is_source_bound: bool,
        only: Sequence[AccountId] | None = None,
        of_user: UserId | None = None,
    ) -> Facts:
        """Read what the decisions need, for all accounts of the signal, for `only` some, or for one user's."""
        found = self.roster.mandates(tx, signal.source_id)
        mandates = {each.account_id: each for each in found if of_user in (None, each.user_id)}
        holders = self._holders(tx, signal, of_user) if signal.action is Action.CLOSE else set()
        wanted = list(only) if only is not None else sorted(set(mandates) | holders)
        accounts = self.roster.facts(tx, wanted, now)
        ids = [account_id for account_id in wanted if account_id in accounts]
        seq = place_in_inbox(tx, signal.id)
        versions = store.exposure_versions(tx, ids)
        lots = lots_of_source(tx, signal.source_id, ids)
        counted = [each for each in ids if accounts[each].plan.weekly_entries is not None]
        capped = [each for each in ids if accounts[each].caps.max_day_quote is not None]
        return Facts(
            signal=signal,
            mandates=mandates,
            accounts=accounts,
            versions=versions,
            balances=quote_balances(tx, ids, self._quote_assets(signal, accounts, mandates, lots)),
            lots=lots,
            bound=exposure_store.bound_entries(tx, ids),
            last_close_at=_superseded_at(tx, signal, seq),
            is_source_bound=is_source_bound,
            order=tuple(ids),
            signal_seq=seq,
            passed_over=self._passed_over(tx, found, accounts, now),
            used=exposure_store.entries_used(tx, counted, week_start(now)),
            spent=exposure_store.spent_since(tx, capped, day_start(now)),
        )

    def _quote_assets(
        self,
        signal: Signal,
        accounts: Mapping[AccountId, AccountFacts],
        mandates: Mapping[AccountId, Mandate],
        lots: Mapping[AccountId, Sequence[OpenLot]],
    ) -> set[Asset]:
        """What the markets are paid in that these accounts may trade, or hold something in."""
        markets = {self.market_key(account, mandates.get(each), signal) for each, account in accounts.items()}
        chosen = [self.quotes.find(*key) for key in markets]
        held = {lot.quote for each in lots.values() for lot in each if lot.base == signal.base}
        return held | {instrument.quote for instrument in chosen if instrument is not None}

    @staticmethod
    def market_key(account: AccountFacts, mandate: Mandate | None, signal: Signal) -> MarketKey:
        """Return what an account's choice of a market depends on."""
        preference = account.quote if mandate is None else mandate.quote_preference or account.quote
        return account.venue, account.environment, signal.base, preference, signal.quote

    def _passed_over(
        self, tx: Tx, mandates: Sequence[Mandate], known: Mapping[AccountId, AccountFacts], now: datetime
    ) -> frozenset[AccountId]:
        """Ask only about people who follow the source with several accounts: whoever has one has no choice."""
        enabled = [mandate for mandate in mandates if mandate.is_enabled]
        counts = Counter(mandate.user_id for mandate in enabled)
        several = [mandate for mandate in enabled if counts[mandate.user_id] > 1]
        missing = [mandate.account_id for mandate in several if mandate.account_id not in known]
        facts = {**known, **self.roster.facts(tx, missing, now)} if missing else known
        return passed_over(
            [
                Follower(mandate, account.venue, account.environment, account.preferred_venue)
                for mandate in several
                if (account := facts.get(mandate.account_id)) is not None
            ]
        )

    @staticmethod
    def _holders(tx: Tx, signal: Signal, of_user: UserId | None) -> set[AccountId]:
        """A close reaches every account that holds lots of the source, or has an entry on its way."""
        lots = open_lots(tx, source_id=signal.source_id, base=signal.base)
        entries = store.list_entries_undone(tx, signal.source_id, signal.base)
        holding = {each.lot.account_id for each in lots if of_user in (None, each.user_id)}
        return holding | {each.order.account_id for each in entries if of_user in (None, each.order.user_id)}

    # --- deciding --------------------------------------------------------------------------------

    def decide_all(self, facts: Facts, now: datetime) -> list[DecidedAccount]:
        """Decide for every account of the facts, in their order."""
        return self.decide_part(facts, range(len(facts.order)), now, Run())

    def decide_part(self, facts: Facts, places: range, now: datetime, run: Run) -> list[DecidedAccount]:
        """Decide for the accounts at these places of the facts' order."""
        return [self.decide_one(facts, facts.order[place], place, now, run) for place in places]

    def decide_one(
        self, facts: Facts, account_id: AccountId, cell: int, now: datetime, run: Run | None = None
    ) -> DecidedAccount:
        """Decide for one account and prepare its rows; `run` is that of the other accounts of these facts."""
        run = run or Run()
        account = facts.accounts[account_id]
        mandate = facts.mandates.get(account_id)
        instrument = self._instrument(facts, account, mandate, run)
        exposure = exposure_of(facts, account_id, instrument)
        candidate = self._candidate(facts, account, instrument, exposure, run)
        answer = decide(
            facts.signal,
            self.view,
            mandate,
            candidate,
            exposure,
            now=now,
            max_age_s=self.max_age_s,
            shared=run.shared,
        )
        held = _held_markets(facts, account)
        traded = instrument or next(iter(held), None)
        if isinstance(answer, Place) and traded is None:
            answer = Skip(SkipReason.UNKNOWN_INSTRUMENT, answer.working)
        decision_id = DecisionId(self.ids.new())
        row = _decision_row(decision_id, facts.signal, account, mandate, cell, answer, now)
        if isinstance(answer, Skip) or traded is None:
            return DecidedAccount(account_id, row, None, None, answer, candidate)
        intent = self._intent(facts, account, mandate, traded, decision_id, answer, now)
        if answer.entry is None:
            order = self._exit_order(account, traded, intent, now)
            further = []
            for market in held[1:]:
                another = self._intent(facts, account, mandate, market, decision_id, answer, now)
                further.append((another, self._exit_order(account, market, another, now)))
            return DecidedAccount(account_id, row, intent, order, answer, candidate, tuple(further))
        assert instrument is not None, "an entry is sized by its market's rules"
        order = self._entry_order(facts.signal, account, instrument, intent, answer.entry, now)
        return DecidedAccount(account_id, row, intent, order, answer, candidate)

    def _instrument(self, facts: Facts, account: AccountFacts, mandate: Mandate | None, run: Run) -> Instrument | None:
        signal = facts.signal
        if signal.action is Action.CLOSE:
            held = _held_markets(facts, account)
            if held:
                try:
                    return self.quotes.instrument(account.venue, account.environment, held[0].symbol)
                except NotFound:
                    # Its venue is away or switched off, or lists the market no more: the exit waits for it.
                    return None
        key = self.market_key(account, mandate, signal)
        if key not in run.markets:
            run.markets[key] = self.quotes.find(*key)
        return run.markets[key]

    def _candidate(
        self, facts: Facts, account: AccountFacts, instrument: Instrument | None, exposure: Exposure, run: Run
    ) -> Candidate:
        price = self._price(account, instrument, run)
        named = facts.signal.exchange
        follows = not facts.is_source_bound or named is None or named.split("_")[0].lower() == account.venue
        return Candidate(
            account_id=account.account_id,
            user_id=account.user_id,
            venue=account.venue,
            plan=account.plan,
            gate=self._gate(account, instrument, exposure, run),
            caps=account.caps,
            instrument=instrument,
            price=price,
            is_preferred=account.account_id not in facts.passed_over,
            follows_exchange=follows,
        )

    def _price(self, account: AccountFacts, instrument: Instrument | None, run: Run) -> Price | None:
        if instrument is None:
            return None
        key = (account.venue, account.environment, instrument.symbol)
        if key not in run.prices:
            run.prices[key] = self.quotes.fresh_price(*key)
        return run.prices[key]

    def _gate(self, account: AccountFacts, instrument: Instrument | None, exposure: Exposure, run: Run) -> GateInputs:
        """What the gate looks at, with market and balance in it; one object for accounts that differ by neither."""
        quote = None if instrument is None else instrument.quote
        has_funds = None if exposure.free_quote is None else exposure.free_quote.is_positive
        key = (id(account.gate), account.venue, account.environment, quote, has_funds)
        if key not in run.gates:
            # An account that is being reconciled is decided like any other; its entry waits at the claim.
            inputs = replace(account.gate, quote=quote, is_reconciling=False)
            if not self.quotes.has_list(account.venue, account.environment):
                # Whether it lists the asset nobody can say: the venue is away, which passes.
                inputs = replace(inputs, is_venue_healthy=False)
            if has_funds is not None:
                inputs = replace(inputs, has_funds=has_funds)
            run.gates[key] = (account.gate, inputs)
        return run.gates[key][1]

    # --- preparing -------------------------------------------------------------------------------

    def _intent(
        self,
        facts: Facts,
        account: AccountFacts,
        mandate: Mandate | None,
        traded: Traded,
        decision_id: DecisionId,
        place: Place,
        now: datetime,
    ) -> Intent:
        signal = facts.signal
        detail: dict[str, Any] = {}
        if place.entry is not None:
            fresh_until = signal.dated_at + timedelta(seconds=self.max_age_s)
            detail = {
                "stop": str(place.entry.stop),
                "target": str(place.entry.target),
                "fresh_until": fresh_until.isoformat(),
                EPOCH_KEY: account.stop_epoch,
            }
            if mandate is not None and mandate.trailing_bps is not None:
                detail["trailing_bps"] = mandate.trailing_bps
            if mandate is not None and mandate.time_exit_s is not None:
                detail["time_exit_at"] = (now + timedelta(seconds=mandate.time_exit_s)).isoformat()
        return Intent(
            id=IntentId(self.ids.new()),
            kind=IntentKind.SIGNAL,
            user_id=account.user_id,
            account_id=account.account_id,
            symbol=traded.symbol,
            created_at=now,
            signal_id=signal.id,
            signal_seq=facts.signal_seq,
            decision_id=decision_id,
            source_id=signal.source_id,
            detail=detail,
            # An entry wants one order and no more; an exit wants the account flat.
            is_done=place.entry is not None,
        )

    def _exit_order(self, account: AccountFacts, traded: Traded, intent: Intent, now: datetime) -> Order:
        return new_order(
            self.ids,
            intent,
            traded,
            account.environment,
            now,
            leg=Leg.EXIT,
            side=Side.SELL,
            type=OrderType.MARKET,
            is_stand_in=account.is_stand_in,
        )

    def _entry_order(
        self, signal: Signal, account: AccountFacts, instrument: Instrument, intent: Intent, entry: Sized, now: datetime
    ) -> Order:
        by_amount = instrument.has_market_by_quote
        return new_order(
            self.ids,
            intent,
            instrument,
            account.environment,
            now,
            leg=Leg.ENTRY,
            side=Side.BUY,
            type=OrderType.MARKET,
            release_at=release_at(signal.received_at, account.plan),
            spend=entry.spend if by_amount else None,
            quantity=None if by_amount else entry.order_quantity,
            is_stand_in=account.is_stand_in,
        )


def _held_markets(facts: Facts, account: AccountFacts) -> list[_Held]:
    """The markets in which the source's lots, or its entries on the way, are; only a close looks there.

    One base may be held in several markets: each is sold in its own (order-protocol.md section 4).
    """
    signal = facts.signal
    if signal.action is not Action.CLOSE:
        return []
    found: dict[str, _Held] = {}
    for lot in facts.lots.get(account.account_id, ()):
        if lot.base == signal.base:
            found.setdefault(lot.symbol, _Held(lot.venue, lot.symbol, lot.base, lot.quote))
    waiting: dict[str, _Held] = {}
    for entry in facts.bound.get(account.account_id, ()):
        if entry.source_id == signal.source_id and entry.base == signal.base:
            # An entry that has not left is superseded by this close and will hold nothing.
            among = found if entry.has_left else waiting
            among.setdefault(entry.symbol, _Held(entry.venue, entry.symbol, entry.base, entry.quote))
    return list((found or waiting).values())


def _superseded_at(tx: Tx, signal: Signal, seq: int | None) -> datetime | None:
    """When the source last closed this asset; after this very signal if a close has overtaken it meanwhile."""
    if seq is not None and is_superseded(tx, signal.id):
        # Alert times have whole seconds; the order of arrival is exact.
        return signal.received_at + timedelta(microseconds=1)
    return last_close_at(tx, signal.source_id, signal.base)


def _decision_row(
    decision_id: DecisionId,
    signal: Signal,
    account: AccountFacts,
    mandate: Mandate | None,
    cell: int,
    answer: Place | Skip,
    now: datetime,
) -> dict[str, Any]:
    return {
        "id": decision_id,
        "signal_id": signal.id,
        "source_id": signal.source_id,
        "user_id": account.user_id,
        "account_id": account.account_id,
        "mandate_id": None if mandate is None else mandate.id,
        "cell": cell,
        "plan": account.plan.name.value,
        "verdict": "skip" if isinstance(answer, Skip) else "place",
        "reason": answer.reason.value if isinstance(answer, Skip) else None,
        "confidence_pct": answer.confidence_pct or 0,
        "working": answer.working,
        "created_at": now,
    }

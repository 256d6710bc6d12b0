"""The story, act by act: enrol, the week's entries, the alert twice, the failures, the close, the tape, the check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tradewind.core.errors import TradewindError, Unavailable
from tradewind.core.order import OrderState
from tradewind.core.plan import week_start
from tradewind.demo.audience import Audience
from tradewind.demo.case import KeyOutcome
from tradewind.demo.cast import Fate, Person
from tradewind.demo.check import Verdict, check
from tradewind.demo.enrol import Enrolment
from tradewind.demo.evidence import read_journal, read_venue
from tradewind.demo.facts import Expected, Journal, Venue
from tradewind.demo.foundation import Hook
from tradewind.demo.players import Players
from tradewind.demo.stage import Stage
from tradewind.demo.story import BOUND_S, CLOSE_SECOND_S, OPEN_FIRST_S, OPEN_SECOND_S, WATCHED_S, Market, Story
from tradewind.infra.clock import SystemClock

_LOOK_EVERY_S = 0.25
_DECIDED_WITHIN_S = 20.0
_EARLIER_WITHIN_S = 40.0
# When the tape stands still everything has arrived within moments; an order in doubt takes its fence.
_SETTLED_WITHIN_S = 30.0
_WEEK_TURNS = timedelta(seconds=90)
_ENDED_IN_DOUBT = frozenset({"", OrderState.INTENDED, OrderState.SENT, OrderState.UNKNOWN, OrderState.NEVER_ARRIVED})


@dataclass(slots=True)
class Acts:
    """Plays the story on a stage."""

    players: Players
    stage: Stage
    story: Story
    cast: Sequence[Person]
    paint: Callable[[], None]
    refused: dict[int, str] = field(default_factory=dict)
    repeat_had_same_id: bool = False
    expected: list[Expected] = field(default_factory=list)
    _keys: list[KeyOutcome] = field(default_factory=list)
    _journal: Journal | None = None
    _venue: Venue | None = None

    @property
    def journal(self) -> Journal:
        """The journal as the check read it."""
        assert self._journal is not None, "the check has read the journal"
        return self._journal

    @property
    def venue(self) -> Venue:
        """The exchange's side as the check read it."""
        assert self._venue is not None, "the check has read the exchange"
        return self._venue

    async def play(self) -> Verdict:
        """Play everything and check it."""
        try:
            return await self._play()
        except* TradewindError as group:
            raise _first(group) from None

    async def _play(self) -> Verdict:
        await self._set_tape()
        self._enter("keys are tested at the exchange, then sealed")
        self._keys = await Enrolment(self.players, self.stage).enrol_all(self.cast)
        self.refused = {each.number: each.code for each in self._keys if each.code is not None}
        accounts, refused = len(self.players.accounts), len(self.refused)
        self.stage.say(f"{len(self.cast)} users: {accounts} accounts linked, {refused} keys refused")
        audience = Audience(self.players, self.stage, self.paint)
        async with asyncio.TaskGroup() as tasks:
            watching = audience.start(tasks)
            await self._use_up_week()
            await self._tell(audience)
            verdict = await self._settle()
            await audience.look_again()
            for task in watching:
                task.cancel()
        return verdict

    def _enter(self, act: str) -> None:
        self.stage.act = act
        self.paint()

    async def _set_tape(self) -> None:
        """Stop the tape where the story begins; the story's markets stand at their price of that moment."""
        exchange = self.players.exchange
        await exchange.tape("pause")
        await exchange.tape("seek", Decimal(self.story.offset_ms) / 1_000)
        for symbol, price in self.story.prices.items():
            await exchange.set_price(symbol, price)

    # --- before the story --------------------------------------------------------------------------

    async def _use_up_week(self) -> None:
        """Place one account's weekly entries by small signals of another source, then close them again."""
        number = next(person.number for person in self.cast if person.fate is Fate.WEEK_USED)
        await self._wait_for_week_turn()
        name = self.stage.rows[number].person.name
        self._enter(f"earlier: {name} uses up the week's entries of the plan")
        hook = self.players.foundation.earlier
        for market in self.story.earlier:
            await self._post(hook, _alert(market, "buy", self.story.prices[market.symbol]))
        await self._until(lambda: self._has_entries(number), _EARLIER_WITHIN_S, "the week's entries were not filled")
        for market in self.story.earlier:
            await self._post(hook, _alert(market, "sell", self.story.prices[market.symbol]))
        await self._until(lambda: self._is_flat(number), _EARLIER_WITHIN_S, "the week's positions were not closed")
        self.stage.say(
            f"{number:>2} {name}: {len(self.story.earlier)} entries earlier this week, bought and sold again"
        )

    async def _wait_for_week_turn(self) -> None:
        """Entries before Monday 00:00 in Seoul do not count after it; in that minute the story waits."""
        now = SystemClock().now()
        if week_start(now) != week_start(now + _WEEK_TURNS):
            turn = week_start(now + _WEEK_TURNS)
            self.stage.say("waiting for the new week to begin in Seoul")
            await asyncio.sleep((turn - now).total_seconds() + 1.0)

    async def _has_entries(self, number: int) -> bool:
        orders = await self._own(number, "/api/v1/orders", limit="200")
        filled = [each for each in orders if each["leg"] == "entry" and each["state"] == OrderState.FILLED]
        return len(filled) >= len(self.story.earlier)

    async def _is_flat(self, number: int) -> bool:
        positions = await self._own(number, "/api/v1/positions")
        return all(each["protection"] == "dust" for each in positions)

    async def _own(self, number: int, path: str, **params: str) -> list[Any]:
        found = await self.players.platform.demand("GET", path, token=self.players.token(number), params=params)
        return list(found["items"])

    # --- the story ---------------------------------------------------------------------------------

    async def _tell(self, audience: Audience) -> None:
        stage, story = self.stage, self.story
        await self._plan_failures()
        await self.players.exchange.tape("resume")
        stage.started = stage.now = asyncio.get_running_loop().time()
        self._enter(f"alert: buy {story.first.symbol}")
        await self._at(OPEN_FIRST_S)
        stage.first_signal = await self._open_twice(audience)
        await self._take_decisions()
        await self._at(OPEN_SECOND_S)
        self._enter(f"alert: buy {story.second.symbol}")
        second = await self._post_buy(story.second, audience)
        stage.say(f"alert buy {story.second.symbol} accepted, signal {_short(second)}")
        await self._at(CLOSE_SECOND_S)
        self._enter(f"close-alert for {story.second.symbol}")
        price = await self._price(story.second)
        answer = await self._post(self.players.foundation.main, _alert(story.second, "sell", price))
        stage.say(f"close-alert for {story.second.symbol} accepted, signal {_short(answer['id'])}")
        stage.is_fanning = False
        self._enter(f"the tape runs on; {story.first.symbol} positions stand with stop and target")
        await self._watch()

    async def _plan_failures(self) -> None:
        """Tell the exchange which sendings to break; each acts once, on that account's next order."""
        for person in self.cast:
            if not person.fate.is_failure:
                continue
            await self.players.exchange.add_fault(
                uid=self._uid(person.number), calls=["order.place"], times=1, **_fault(person)
            )

    def _uid(self, number: int) -> int:
        return self.players.uids[number]

    async def _open_twice(self, audience: Audience) -> str:
        """Post the alert, and once more byte for byte as a nervous sender does; return the signal's id."""
        market, hook = self.story.first, self.players.foundation.main
        alert = _alert(market, "buy", await self._price(market))
        audience.hold()
        first = await self._post(hook, alert)
        signal_id = str(first["id"])
        self.stage.first_signal = signal_id
        self.stage.signals[signal_id] = market.symbol
        audience.release()
        self.stage.say(f"alert buy {market.symbol} accepted, signal {_short(signal_id)}")
        again = await self._post(hook, alert)
        self.repeat_had_same_id = again["id"] == signal_id and bool(again["duplicate"])
        same = "the same id, nothing is done twice" if self.repeat_had_same_id else f"ANOTHER id {_short(again['id'])}"
        self.stage.say(f"the same alert once more: answered with {same}")
        return signal_id

    async def _post_buy(self, market: Market, audience: Audience) -> str:
        alert = _alert(market, "buy", await self._price(market))
        audience.hold()
        answer = await self._post(self.players.foundation.main, alert)
        self.stage.signals[str(answer["id"])] = market.symbol
        audience.release()
        return str(answer["id"])

    async def _take_decisions(self) -> None:
        """Show why each account placed or skipped, as the operator's why-cards say."""
        path = f"/api/v1/signals/{self.stage.first_signal}/decisions"
        token = self.players.foundation.operator.token

        async def are_there() -> bool:
            found = (await self.players.platform.demand("GET", path, token=token))["items"]
            for decision in found:
                number = self.players.number_of(decision["account_id"])
                if number is not None:
                    self.stage.see_decision(number, decision)
            return len(found) >= len(self.players.accounts)

        await self._until(are_there, _DECIDED_WITHIN_S, "the alert was not decided for every account")

    async def _price(self, market: Market) -> Decimal:
        """The market's price as the platform knows it; alerts carry it as TradingView would."""
        found = await self.players.platform.demand(
            "GET",
            "/api/v1/prices",
            token=self.players.foundation.operator.token,
            params={"venue": "binance", "environment": "paper", "symbols": market.symbol},
        )
        return Decimal(found[0]["price"]) if found else self.story.prices[market.symbol]

    async def _post(self, hook: Hook, alert: dict[str, str]) -> Any:
        return await self.players.platform.demand("POST", hook.path, body=alert)

    async def _watch(self) -> None:
        """Let the tape run until what is to be seen has been seen and nothing is in doubt, or the time is up."""
        await self._at(WATCHED_S)
        while True:
            if self.stage.elapsed >= BOUND_S or self._has_seen_all():
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    def _has_seen_all(self) -> bool:
        rows = [row for row in self.stage.rows.values() if row.decision == "place"]
        wants_hit = self.story.stops + self.story.targets > 0
        return all(row.state not in _ENDED_IN_DOUBT for row in rows) and (not wants_hit or bool(self.stage.hits))

    async def _at(self, moment_s: float) -> None:
        assert self.stage.started is not None
        wait_s = self.stage.started + moment_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _until(self, is_so: Callable[[], Any], within_s: float, complaint: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while not await is_so():
            if loop.time() > deadline:
                raise Unavailable("demo_stuck", f"The demo waited {within_s:.0f} s in vain: {complaint}.")
            await asyncio.sleep(_LOOK_EVERY_S)

    # --- the check ---------------------------------------------------------------------------------

    async def _settle(self) -> Verdict:
        """Stop the tape, wait until nothing moves, and compare both sides.

        The two files cannot be read in one instant, so they are read again until they agree or time is up;
        with the tape standing still a real difference stays.
        """
        self._enter("the tape stands still; the exchange's log and the journal are compared")
        await self.players.exchange.tape("pause")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLED_WITHIN_S
        while True:
            journal = await asyncio.to_thread(read_journal, self.players.journal)
            venue = await read_venue(self.players.exchange)
            self.expected = self._expectations()
            verdict = check(journal, venue, self.expected, self._keys)
            if verdict.agrees or loop.time() > deadline:
                self._journal, self._venue = journal, venue
                return verdict
            await asyncio.sleep(1.0)

    def _expectations(self) -> list[Expected]:
        return [
            Expected(
                number=person.number,
                signal_id=self.stage.first_signal,
                account_id=self.players.accounts[person.number],
                skip_reason=None if person.fate.skip_reason is None else person.fate.skip_reason.value,
                is_first_executed=person.is_executed_unheard,
            )
            for person in self.cast
            if person.number in self.players.accounts
        ]


def _alert(market: Market, action: str, price: Decimal) -> dict[str, str]:
    """A strategy alert as TradingView sends it, placeholders filled in."""
    is_buy = action == "buy"
    return {
        "exchange": "BINANCE",
        "ticker": market.symbol,
        "action": action,
        "price": f"{price:f}",
        "interval": "1",
        "market_position": "long" if is_buy else "flat",
        "prev_market_position": "flat" if is_buy else "long",
        "strategy": "demo",
        "timenow": SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _fault(person: Person) -> dict[str, Any]:
    match person.fate:
        case Fate.ANSWER_LOST:
            return {"kind": "execute_drop"}
        case Fate.CUT_BEFORE:
            return {"kind": "drop_before"}
        case _:
            return {"kind": "status", "status": 503, "body": "html", "executed": person.is_executed_503}


def _short(signal_id: str) -> str:
    return signal_id[-6:]


def _first(group: BaseExceptionGroup[TradewindError]) -> TradewindError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner

"""What is on the stage: rows, positions and a log, moved only by what the platform says. Pure.

Each person's own stream and API answers go in (`see_order`, `see_position`, ...); nothing is computed here but
the time between two of the platform's own timestamps and the average price of two of its own figures.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradewind.core.order import OrderState
from tradewind.demo.cast import Person

_LOG_LINES = 400
_HITS = {"stop": "stop hit", "target": "target hit"}
_PRICE_STEP = Decimal("1e-8")


@dataclass(slots=True)
class Row:
    """One person's place in the first alert's fan-out."""

    person: Person
    account_id: str | None = None
    decision: str = ""
    reason: str = ""
    state: str = ""
    order_id: str = ""
    venue_order_id: str = ""
    quantity: str = ""
    price: str = ""
    release_at: datetime | None = None
    lateness_ms: int | None = None
    generation: int = -1
    was_unknown: bool = False


@dataclass(slots=True)
class PositionRow:
    """One open lot as its owner's API shows it."""

    number: int
    symbol: str
    quantity: str
    entry: str
    price: str
    pnl: str
    pnl_pct: str
    stop: str
    target: str
    protection: str


@dataclass(slots=True)
class Stage:
    """Everything the screen shows."""

    tape: str
    seed: int
    speed: Decimal
    rows: dict[int, Row]
    act: str = "getting ready"
    started: float | None = None
    now: float = 0.0
    tape_at: str = ""
    first_signal: str = ""
    is_fanning: bool = True
    signals: dict[str, str] = field(default_factory=dict)
    positions: dict[str, PositionRow] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    log: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    fresh: list[str] = field(default_factory=list)
    _order_states: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def elapsed(self) -> float:
        """Seconds since the tape was let go; 0 before."""
        return 0.0 if self.started is None else self.now - self.started

    def say(self, text: str) -> None:
        """Add a line to the log."""
        self.log.append((self.elapsed, text))
        self.fresh.append(f"{clock_text(self.elapsed) if self.started is not None else '   ...':>7}  {text}")

    def take_fresh(self) -> list[str]:
        """Give the lines that are new since the last call, for screens that only print."""
        fresh, self.fresh = self.fresh, []
        return fresh

    # --- what the platform says --------------------------------------------------------------------

    def see_refused(self, number: int, code: str, text: str) -> None:
        """A key was refused; there is no account."""
        row = self.rows[number]
        row.decision, row.reason = "key refused", text
        self.say(f"{number:>2} {row.person.name}: key refused ({code}), nothing stored")

    def see_decision(self, number: int, decision: Mapping[str, Any]) -> None:
        """The first alert was decided for an account."""
        row = self.rows[number]
        if decision["verdict"] == "skip":
            row.decision, row.state = "skip", "SKIPPED"
            row.reason = str(decision["reason_text"] or decision["reason"])
        else:
            row.decision = "place"
            row.reason = row.reason or f"confidence {decision['confidence_pct']} %"

    def see_order(self, number: int, order: Mapping[str, Any]) -> None:
        """An order of somebody's moved."""
        rev, state = int(order["rev"]), str(order["state"])
        known_rev, known_state = self._order_states.get(order["id"], (-1, ""))
        if rev <= known_rev:
            return
        self._order_states[order["id"]] = (rev, state)
        signal_id = order["signal_id"]
        is_entry = order["leg"] == "entry" and order["why"] == "signal"
        if is_entry and signal_id == self.first_signal:
            self._see_first_entry(number, order)
        if is_entry and signal_id in self.signals and state != known_state:
            self._tell_entry(number, order)
        if order["leg"] in _HITS and state == OrderState.FILLED and known_state != state:
            self._tell_hit(number, order, _HITS[order["leg"]])

    def _see_first_entry(self, number: int, order: Mapping[str, Any]) -> None:
        row = self.rows[number]
        if int(order["generation"]) < row.generation:
            return
        row.generation = int(order["generation"])
        row.account_id = order["account_id"]
        row.decision, row.state, row.order_id = "place", str(order["state"]), order["id"]
        row.venue_order_id = str(order["venue_order_id"] or "")
        row.was_unknown = row.was_unknown or row.state == OrderState.UNKNOWN
        if row.generation == 0 and row.release_at is None:
            row.release_at = datetime.fromisoformat(order["release_at"])
        executed = Decimal(order["executed"])
        if executed > 0:
            average = (Decimal(order["executed_quote"]) / executed).quantize(_PRICE_STEP)
            row.quantity, row.price = order["executed"], shown_price(average)
        if order["acknowledged_at"] is not None and row.release_at is not None:
            late = datetime.fromisoformat(order["acknowledged_at"]) - row.release_at
            row.lateness_ms = round(late.total_seconds() * 1_000)

    def _tell_entry(self, number: int, order: Mapping[str, Any]) -> None:
        row = self.rows[number]
        state, name, what = order["state"], row.person.name, order["symbol"]
        if state == OrderState.UNKNOWN:
            self.say(f"{number:>2} {name}: no clear answer to the {what} order: UNKNOWN, asking the exchange")
        elif state == OrderState.NEVER_ARRIVED:
            self.say(f"{number:>2} {name}: found out: it never arrived (asked twice after the fence)")
        elif state == OrderState.FILLED and int(order["generation"]) > 0:
            self.say(f"{number:>2} {name}: sent again once and filled, order {order['venue_order_id']}")
        elif state == OrderState.FILLED and row.was_unknown and order["signal_id"] == self.first_signal:
            self.say(f"{number:>2} {name}: found out: it had been executed, order {order['venue_order_id']}")
        elif state == OrderState.FILLED and row.person.fate.is_failure and order["signal_id"] == self.first_signal:
            # The stream was quicker than the noticing: nothing was ever in doubt.
            self.say(f"{number:>2} {name}: no answer, but the account's stream told: order {order['venue_order_id']}")
        elif state in (OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELED):
            self.say(f"{number:>2} {name}: {what} order {state} ({order['reason'] or 'no reason given'})")

    def _tell_hit(self, number: int, order: Mapping[str, Any], words: str) -> None:
        executed = Decimal(order["executed"])
        average = (Decimal(order["executed_quote"]) / executed).quantize(_PRICE_STEP) if executed > 0 else Decimal(0)
        self.hits[order["leg"]] += 1
        name = self.rows[number].person.name
        self.say(
            f"{number:>2} {name}: {words} on {order['symbol']}, sold {order['executed']} at {shown_price(average)}"
        )

    def see_counts(self, signal_id: str, counts: Mapping[str, Any]) -> None:
        """The platform's own counts of a fan-out: states of what was placed, and the skipped."""
        self.counts[signal_id] = Counter({**counts.get("states", {}), "SKIPPED": counts.get("skipped", 0)})

    def see_positions(self, number: int, items: Iterable[Mapping[str, Any]]) -> None:
        """All open lots of one account, as its owner's API lists them now, with price and profit."""
        for lot_id in [key for key, row in self.positions.items() if row.number == number]:
            del self.positions[lot_id]
        for item in items:
            self.see_position(number, item)
            row = self.positions.get(item["id"])
            if row is not None:
                row.price = item["price"] or ""
                row.pnl, row.pnl_pct = signed(item["unrealised"]), signed(item["unrealised_pct_of_cost"])

    def see_position(self, number: int, lot: Mapping[str, Any]) -> None:
        """A lot changed; price and profit come with the next look at the positions."""
        if lot["closed_at"] is not None:
            self.positions.pop(lot["id"], None)
            return
        known = self.positions.get(lot["id"])
        self.positions[lot["id"]] = PositionRow(
            number=number,
            symbol=lot["symbol"],
            quantity=lot["quantity"],
            entry=shown_price(Decimal(lot["entry_price"])) if lot["entry_price"] else "",
            price="" if known is None else known.price,
            pnl="" if known is None else known.pnl,
            pnl_pct="" if known is None else known.pnl_pct,
            stop=lot["stop"] or "",
            target=lot["target"] or "",
            protection=lot["protection"],
        )

    def see_tick(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Newest prices of the venue."""
        for symbol, point in data.items():
            self.prices[symbol] = str(point["price"])

    def state_counts(self) -> Counter[str]:
        """States of the first alert's rows, as shown."""
        return Counter(row.state for row in self.rows.values() if row.state)


def signed(text: str | None) -> str:
    """A gain with its sign and two decimals, or nothing."""
    if text is None:
        return ""
    value = Decimal(text).quantize(Decimal("0.01"))
    return f"{value:+}"


def shown_price(price: Decimal) -> str:
    """A price without trailing zeros, never in scientific form."""
    return f"{price.normalize():f}"


def clock_text(seconds: float) -> str:
    """Seconds since the tape was let go."""
    return f"+{seconds:.1f} s"

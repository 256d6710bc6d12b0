"""Faults on demand: what can go wrong between a client and the venue, by rule and by seed.

A fault has a kind, a scope (whom and what it touches), a number of times it still acts and a probability
drawn from its own seeded generator, so the same seed and the same order of requests give the same run.
This file only decides. `plan` turns the faults that hit one request into an `Interference`; the wire layer
carries it out. Every request fault answers two questions separately: is it executed, and what is heard.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tradewind.sim.binance_errors import NEW_ORDER_REJECTED, SERVER_BUSY, TIMEOUT, VenueError, unknown_error


class FaultKind(StrEnum):
    """Every fault by name; `describe` and the control API use the same words."""

    EXECUTE_DROP = "execute_drop"
    DROP_BEFORE = "drop_before"
    CUT_MID_REPLY = "cut_mid_reply"
    DELAY_MS = "delay_ms"
    STATUS = "status"
    TIMEOUT_1007 = "timeout_1007"
    GARBAGE_BODY = "garbage_body"
    BUSY_1008 = "busy_1008"
    REFUSE = "refuse"
    PARTIAL_FILL = "partial_fill"
    STORM = "storm"
    QUERY_LAG_MS = "query_lag_ms"
    ORDER_SLOTS = "order_slots"
    DUPLICATE_FILLS = "duplicate_fills"
    LATE_FILLS = "late_fills"
    REORDER = "reorder"
    STREAM_MUTE = "stream_mute"
    STREAM_DROP = "stream_drop"
    SERVER_SHUTDOWN = "server_shutdown"
    CLOCK_OFFSET_MS = "clock_offset_ms"
    BAN_S = "ban_s"
    WEIGHT_LIMIT = "weight_limit"
    HALT = "halt"


FAULT_TEXT: Final[dict[FaultKind, str]] = {
    FaultKind.EXECUTE_DROP: "carry the request out, then abort the socket without an answer",
    FaultKind.DROP_BEFORE: "abort the socket, nothing is carried out",
    FaultKind.CUT_MID_REPLY: "carry it out, send half of the answer, abort",
    FaultKind.DELAY_MS: "wait `value` ms; `where` before (the last timestamp check), engine (after it), after",
    FaultKind.STATUS: "answer HTTP `status` (503) with `body` html, json (`code`, `msg`) or empty; `executed`",
    FaultKind.TIMEOUT_1007: "answer -1007 after `value` ms (default: the processing timeout); `executed`",
    FaultKind.GARBAGE_BODY: "answer 200 with an HTML page; `executed`",
    FaultKind.BUSY_1008: "answer 503 -1008, nothing is carried out",
    FaultKind.REFUSE: "answer `code`, `msg` and `status`, nothing is carried out",
    FaultKind.PARTIAL_FILL: "let the order execute only the fraction `value` of its quantity",
    FaultKind.STORM: "at every hit one of the request faults, drawn by seed",
    FaultKind.QUERY_LAG_MS: "for `value` ms an accepted order is not found by queries (-2013)",
    FaultKind.ORDER_SLOTS: "the account has only `value` slots for stop orders on a symbol",
    FaultKind.DUPLICATE_FILLS: "send every TRADE event twice",
    FaultKind.LATE_FILLS: "send TRADE events `value` ms late",
    FaultKind.REORDER: "shuffle the events of one change",
    FaultKind.STREAM_MUTE: "keep the sockets open and send no events (`stream` user or market)",
    FaultKind.STREAM_DROP: "cut the sockets now (`stream` user, market or all)",
    FaultKind.SERVER_SHUTDOWN: "announce serverShutdown and close the sockets (`stream` as above)",
    FaultKind.CLOCK_OFFSET_MS: "shift the venue's clock by `value` ms",
    FaultKind.BAN_S: "ban every caller from this machine for `value` seconds (418)",
    FaultKind.WEIGHT_LIMIT: "set the weight limit per minute to `value`",
    FaultKind.HALT: "set the status of `symbol` to HALT",
}

REQUEST_KINDS: Final = frozenset(
    {
        FaultKind.EXECUTE_DROP,
        FaultKind.DROP_BEFORE,
        FaultKind.CUT_MID_REPLY,
        FaultKind.DELAY_MS,
        FaultKind.STATUS,
        FaultKind.TIMEOUT_1007,
        FaultKind.GARBAGE_BODY,
        FaultKind.BUSY_1008,
        FaultKind.REFUSE,
        FaultKind.PARTIAL_FILL,
        FaultKind.STORM,
    }
)
# Without `calls` a request fault touches what places orders, so that a rule meant for
# orders never breaks the listing of the markets.
PLACING_CALLS: Final = frozenset({"order.place", "orderList.place.oco", "order.cancelReplace"})
_STORM: Final = (
    FaultKind.EXECUTE_DROP,
    FaultKind.DROP_BEFORE,
    FaultKind.CUT_MID_REPLY,
    FaultKind.STATUS,
    FaultKind.GARBAGE_BODY,
    FaultKind.BUSY_1008,
)


_STATUS_DEFAULT: Final = 503


class Stage(StrEnum):
    """Where a delay sits."""

    BEFORE = "before"
    ENGINE = "engine"
    AFTER = "after"


class BodyKind(StrEnum):
    """What a broken answer carries."""

    HTML = "html"
    JSON = "json"
    EMPTY = "empty"


class Breakage(StrEnum):
    """What the client hears instead of the answer."""

    ABORT = "abort"
    CUT = "cut"
    STATUS = "status"
    GARBAGE = "garbage"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom and what a fault touches; an empty field touches all."""

    uid: int | None = None
    api_key: str | None = None
    client_id_prefix: str | None = None
    symbol: str | None = None
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of one request when its faults are looked up."""

    call: str
    route: str
    uid: int | None
    api_key: str | None
    symbol: str | None
    client_ids: tuple[str, ...]


@dataclass(slots=True)
class Fault:
    """One rule; `times` counts down, None acts until cleared."""

    fault_id: int
    kind: FaultKind
    scope: Scope = field(default_factory=Scope)
    times: int | None = None
    probability: float = 1.0
    value: float | None = None
    executed: bool = True
    where: Stage = Stage.BEFORE
    status: int | None = None
    body: BodyKind = BodyKind.HTML
    code: int | None = None
    msg: str | None = None
    stream: str = "user"
    generator: random.Random = field(default_factory=random.Random, repr=False)

    def touches_uid(self, uid: int) -> bool:
        """Tell whether the scope covers an account's events."""
        return self.scope.uid is None or self.scope.uid == uid

    def touches(self, facts: RequestFacts) -> bool:
        """Tell whether the scope covers a request."""
        scope = self.scope
        calls = scope.calls or PLACING_CALLS
        return (
            ("*" in calls or facts.call in calls or facts.route in calls)
            and (scope.uid is None or scope.uid == facts.uid)
            and (scope.api_key is None or scope.api_key == facts.api_key)
            and (scope.symbol is None or scope.symbol == facts.symbol)
            and (scope.client_id_prefix is None or _has_prefix(facts.client_ids, scope.client_id_prefix))
        )

    def draw(self) -> bool:
        """Decide by seed whether this hit acts, and count it down when it does."""
        if self.times is not None and self.times <= 0:
            return False
        if self.probability < 1.0 and self.generator.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _has_prefix(client_ids: Iterable[str], prefix: str) -> bool:
    return any(client_id.startswith(prefix) for client_id in client_ids)


@dataclass(slots=True)
class Interference:
    """What to do to one request, in order: refuse, delays, execute or not, break the answer."""

    refusal: VenueError | None = None
    before_ms: float = 0
    engine_ms: float = 0
    after_ms: float = 0
    executes: bool = True
    breakage: Breakage | None = None
    body: BodyKind = BodyKind.HTML
    error: VenueError = field(default_factory=unknown_error)
    fill_fraction: float | None = None
    names: list[str] = field(default_factory=list)


CLEAN: Final = Interference()


class FaultBook:
    """The faults in force."""

    def __init__(self, seed: int, processing_timeout_ms: int) -> None:
        self._seed = seed
        self._processing_timeout_ms = processing_timeout_ms
        self._faults: dict[int, Fault] = {}
        self._last_id = 0

    def next_id(self) -> int:
        """Give the id of the next fault."""
        self._last_id += 1
        return self._last_id

    def add(self, fault: Fault) -> None:
        """Put a fault in force, with a generator of its own."""
        fault.generator = random.Random(f"{self._seed}:{fault.fault_id}")  # noqa: S311 - repeatable on purpose
        self._faults[fault.fault_id] = fault

    def clear(self, fault_id: int | None = None) -> list[Fault]:
        """Take one fault or all out of force and give them back."""
        if fault_id is None:
            gone = list(self._faults.values())
            self._faults.clear()
            return gone
        found = self._faults.pop(fault_id, None)
        return [found] if found is not None else []

    def in_force(self) -> list[Fault]:
        """List the faults that can still act."""
        return [fault for fault in self._faults.values() if fault.times is None or fault.times > 0]

    def plan(self, facts: RequestFacts) -> Interference:
        """Combine the request faults that hit this request."""
        if not self._faults:
            return CLEAN
        interference = Interference()
        for fault in self._faults.values():
            if fault.kind in REQUEST_KINDS and fault.touches(facts) and fault.draw():
                self._combine(interference, fault)
        return interference

    def event_fault(self, kind: FaultKind, uid: int) -> Fault | None:
        """Find a fault on an account's events; counts a hit."""
        for fault in self._faults.values():
            if fault.kind is kind and fault.touches_uid(uid) and fault.draw():
                return fault
        return None

    def standing(self, kind: FaultKind, uid: int, symbol: str | None = None) -> Fault | None:
        """Find a fault in force on an account without counting a hit."""
        for fault in self._faults.values():
            if fault.kind is kind and fault.touches_uid(uid) and fault.scope.symbol in {None, symbol}:
                return fault
        return None

    def hidden_for_ms(self, uid: int, symbol: str, client_id: str) -> float:
        """Tell how long an order of this account stays invisible to queries after it was accepted."""
        hidden = 0.0
        for fault in self._faults.values():
            if fault.kind is not FaultKind.QUERY_LAG_MS or not fault.touches_uid(uid):
                continue
            scope = fault.scope
            if scope.symbol not in {None, symbol}:
                continue
            if scope.client_id_prefix is not None and not client_id.startswith(scope.client_id_prefix):
                continue
            hidden = max(hidden, fault.value or 0.0)
        return hidden

    def _combine(self, out: Interference, fault: Fault) -> None:
        kind = fault.kind
        if kind is FaultKind.STORM:
            kind = fault.generator.choice(_STORM)
        out.names.append(kind.value)
        if kind is FaultKind.DELAY_MS:
            _delay(out, fault)
        elif kind is FaultKind.PARTIAL_FILL:
            out.fill_fraction = fault.value if fault.value is not None else 0.5
        elif kind is FaultKind.BUSY_1008:
            out.refusal = VenueError(
                SERVER_BUSY, "Server is currently overloaded with other requests. Please try again in a few minutes."
            )
        elif kind is FaultKind.REFUSE:
            out.refusal = VenueError(
                fault.code if fault.code is not None else NEW_ORDER_REJECTED,
                fault.msg or "This action is disabled on this account.",
                status=fault.status,
            )
        else:
            self._break(out, fault, kind)

    def _break(self, out: Interference, fault: Fault, kind: FaultKind) -> None:
        out.executes = fault.executed and kind is not FaultKind.DROP_BEFORE
        if kind in {FaultKind.EXECUTE_DROP, FaultKind.CUT_MID_REPLY}:
            out.executes = True
        out.breakage = _BREAKAGE[kind]
        out.body = fault.body
        unknown = unknown_error(fault.status or _STATUS_DEFAULT)
        out.error = VenueError(
            unknown.code if fault.code is None else fault.code, fault.msg or unknown.msg, status=unknown.status
        )
        if kind is FaultKind.TIMEOUT_1007:
            out.after_ms += fault.value if fault.value is not None else self._processing_timeout_ms


_BREAKAGE: Final[dict[FaultKind, Breakage]] = {
    FaultKind.EXECUTE_DROP: Breakage.ABORT,
    FaultKind.DROP_BEFORE: Breakage.ABORT,
    FaultKind.CUT_MID_REPLY: Breakage.CUT,
    FaultKind.STATUS: Breakage.STATUS,
    FaultKind.GARBAGE_BODY: Breakage.GARBAGE,
    FaultKind.TIMEOUT_1007: Breakage.TIMEOUT,
}


def _delay(out: Interference, fault: Fault) -> None:
    wait = fault.value or 0
    if fault.where is Stage.BEFORE:
        out.before_ms += wait
    elif fault.where is Stage.ENGINE:
        out.engine_ms += wait
    else:
        out.after_ms += wait


def timeout_error() -> VenueError:
    """Build the -1007 whose outcome nobody knows."""
    return VenueError(
        TIMEOUT,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    )

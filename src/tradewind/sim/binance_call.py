"""One table row per thing a client can ask: `Call`. REST and WebSocket API share the rows.

A call says what it costs, what right it needs, which parameters it must and may have, how many unfilled
orders it counts and which function carries it out. The gate (binance_gate.py) enforces all that; the
functions find parameters decoded and the caller proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tradewind.sim.binance_auth import TimeWindow
from tradewind.sim.binance_params import Params
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.keys import ApiKey
from tradewind.sim.request_log import RequestRow


class Security(StrEnum):
    """What a call needs; everything but NONE is signed."""

    NONE = "NONE"
    USER_DATA = "USER_DATA"
    TRADE = "TRADE"


class Session(Protocol):
    """The connection a WebSocket API call came over."""

    def log_on(self, key: ApiKey) -> dict[str, object]:
        """Remember a key for later calls."""

    def log_out(self) -> dict[str, object]:
        """Forget it."""

    def session_status(self) -> dict[str, object]:
        """Tell who is logged on."""

    def subscribe(self, uid: int) -> int:
        """Begin to hear an account and give the subscription's id."""

    def unsubscribe(self, subscription_id: int | None) -> None:
        """Stop one subscription or all."""

    def subscriptions(self) -> list[dict[str, object]]:
        """List the subscriptions."""


@dataclass(slots=True)
class Request:
    """One request on its way through the gate."""

    call: Call
    params: Params
    row: RequestRow
    api_key: str | None = None
    key: ApiKey | None = None
    window: TimeWindow | None = None
    session: Session | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def uid(self) -> int:
        """The caller's account; only signed calls have one."""
        assert self.key is not None, "an unsigned call has no account"
        return self.key.uid

    def note_orders(self, *order_ids: int) -> None:
        """Write down which orders this request made or changed."""
        self.row.order_ids.extend(order_ids)


Run = Callable[[BinanceSpot, Request], object]
Weight = Callable[[Params], int]


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the table; `vet` re-checks an order's parameters and filters without placing it."""

    name: str
    run: Run
    weight: int | Weight = 1
    security: Security = Security.NONE
    route: tuple[str, str] | None = None
    is_on_ws: bool = True
    mandatory: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    orders: int = 0
    is_free_on_success: bool = False
    needs_sapi: bool = False
    vet: Run | None = None

    @property
    def is_signed(self) -> bool:
        """Tell whether key, timestamp and signature are required."""
        return self.security is not Security.NONE

    def weight_of(self, params: Params) -> int:
        """Give the weight of this request."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)

"""What the parts of the check share: kinds of disagreement, and both sides with what is looked up often. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tradewind.core.order import OrderState
from tradewind.demo.facts import Expected, Journal, JournalOrder, Venue, VenueOrder

# An order in these states has no counterpart at the exchange.
NEVER_THERE = frozenset({OrderState.INTENDED, OrderState.DENIED, OrderState.NEVER_ARRIVED})


class Wrong(StrEnum):
    """Kinds of disagreement."""

    DECISION = "decision"
    FATE = "fate"
    ENTRY_MISSING = "entry_missing"
    ENTRY_TWICE = "entry_twice"
    ENTRY_UNCALLED = "entry_uncalled"
    ORDER_LOST = "order_lost"
    ORDER_INVENTED = "order_invented"
    ORDER_DIFFERS = "order_differs"
    FILL_LOST = "fill_lost"
    FILL_INVENTED = "fill_invented"
    FILL_DIFFERS = "fill_differs"
    UNCLAIMED = "unclaimed"
    ID = "id"
    UNFINISHED = "unfinished"
    HOLDING = "holding"
    UNPROTECTED = "unprotected"
    NATIVE_ABSENT = "native_absent"
    NOT_CLOSED = "not_closed"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class KeyOutcome:
    """What became of a person's key: the refusal's code, None where it was taken; and what should have."""

    number: int
    expected: str | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that is wrong, in words."""

    kind: Wrong
    text: str


@dataclass(slots=True)
class Case:
    """Both sides, with what is looked up often."""

    journal: Journal
    venue: Venue
    expected: Sequence[Expected]
    accounts_by_uid: Mapping[int, str] = field(init=False)
    venue_by_client: Mapping[tuple[str, str], list[VenueOrder]] = field(init=False)
    numbers: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.accounts_by_uid = {uid: account for account, uid in self.journal.accounts.items()}
        by_client: dict[tuple[str, str], list[VenueOrder]] = defaultdict(list)
        for order in self.venue.orders:
            by_client[self.accounts_by_uid.get(order.uid, ""), order.client_order_id].append(order)
        self.venue_by_client = by_client
        self.numbers = {each.account_id: each.number for each in self.expected}

    def at_venue(self, order: JournalOrder) -> list[VenueOrder]:
        """What the exchange has under an order's id."""
        return self.venue_by_client.get((order.account_id, order.client_order_id), [])

    def name(self, account_id: str) -> str:
        """An account as the table on the screen names it."""
        number = self.numbers.get(account_id)
        return f"account {account_id}" if number is None else f"account {number}"

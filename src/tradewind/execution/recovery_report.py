"""The report of a reconcile: what was compared, what differed, what was done; one row a hold, kept for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tradewind.execution import recovery_store
from tradewind.execution.account_look import Difference, Followed, Looked, weight_of
from tradewind.execution.comparing import Periods
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note
from tradewind.venues.base import VenueClient


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What is still to be found out at one venue, and the seconds in which its own limits allow that."""

    client: VenueClient
    accounts: int
    weight: int
    within_s: int | None
    doubts: int
    doubts_within_s: int | None
    # How often every account is compared by the clock alone, and in what time a stream that is up and deaf is found.
    compared_every_s: int
    deaf_found_within_s: int


@dataclass(slots=True)
class Held:
    """Why an account's entries wait, and the report that is being written about it."""

    cause: str
    since: datetime
    report_id: str
    waits_for: str = "the first look"
    looked: Looked = field(default_factory=Looked)
    looks: int = 0
    restore_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be asked at a venue: accounts by their markets, streams to subscribe, orders in doubt."""

    markets: Sequence[int]
    streams: int
    doubts: int


def outstanding_at(client: VenueClient, asked: Asked, periods: Periods, deaf_after_s: float) -> Outstanding:
    """Compute in what time a venue's limits allow what is to be asked."""
    costs, limit = client.capabilities.costs, client.health().weight_a_minute
    weight = sum(weight_of(costs, each) for each in asked.markets) + asked.streams * costs.subscribe
    # Two answers settle a doubt at the most: found, or not found twice.
    asking = asked.doubts * 2 * costs.find_order
    return Outstanding(
        client,
        len(asked.markets),
        weight,
        seconds_for(weight, limit),
        asked.doubts,
        seconds_for(asking, limit),
        compared_every_s=round(periods.whole_s),
        deaf_found_within_s=round(periods.orders_s + deaf_after_s),
    )


def put_report(tx: Tx, followed: Followed, held: Held, *, is_green: bool, now: datetime) -> None:
    """Write what is known of a hold so far; when it ends with differences its owner is told."""
    looked = held.looked
    values = {
        "id": held.report_id,
        "account_id": followed.account_id,
        "user_id": followed.user_id,
        "venue": followed.client.capabilities.venue,
        "environment": followed.client.environment.value,
        "cause": held.cause,
        "restore_id": held.restore_id,
        "started_at": held.since,
        "green_at": now if is_green else None,
        "looks": held.looks,
        "orders": looked.orders,
        "fills": looked.fills,
        "positions": looked.positions,
        "differences": len(looked.differences),
        "not_ours": looked.not_ours,
        "weight": looked.weight,
        "waits_for": held.waits_for[:80] or None,
        "detail": {"differences": looked.rows()},
    }
    recovery_store.put_report(tx, values)
    if looked.differences and is_green:
        outbox.append(tx, [_notice(followed, held, looked.differences, now)], now)


def add(total: Looked, looked: Looked) -> None:
    """Add one look to what the looks before it have found; the same difference is not told twice."""
    total.orders, total.positions, total.not_ours = looked.orders, looked.positions, looked.not_ours
    total.fills += looked.fills
    total.weight += looked.weight
    total.differences.extend(each for each in looked.differences if each not in total.differences)


def _notice(followed: Followed, held: Held, differences: Sequence[Difference], now: datetime) -> Note:
    kinds = sorted({each.kind for each in differences})
    payload = {
        "id": held.report_id,
        "rev": 1,
        "at": now.isoformat(),
        "kind": "recovery_differences",
        "account_id": followed.account_id,
        "cause": held.cause,
        "count": len(differences),
        "differences": kinds,
        "text": (
            f"Your account and our records differed in {len(differences)} points when they were compared; "
            "what your exchange says was recorded. See the recovery report of the account."
        ),
    }
    return Note("notice", followed.user_id, payload)


def seconds_for(weight: int, limit_a_minute: int | None) -> int | None:
    """Return how long a venue's budget takes to allow this much; what fits into the present minute takes none."""
    if limit_a_minute is None:
        return None
    return max(0, -(-weight // max(1, limit_a_minute)) - 1) * 60

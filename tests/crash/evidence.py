"""Both sides of an episode: the platform's database read directly, the exchange through its own log.

What the demo's referee reads is reused (tradewind.demo.evidence); added is what only kills need: every step of
every order, the outbox with what reached the bus, the inbox against what was answered.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, func, select, text
from tests.crash.journal_rows import read_journal, rows, us
from tests.crash.worlds import World

from tradewind.demo.calls import Exchange
from tradewind.demo.evidence import read_venue
from tradewind.demo.facts import Journal, Venue
from tradewind.execution.recovery_tables import recovery_reports
from tradewind.infra.db import Db


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an order's journal."""

    seq: int
    order_id: str
    kind: str
    before: str
    after: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Booked:
    """One booked execution, with when it was booked."""

    order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: Decimal
    booked_us: int


@dataclass(frozen=True, slots=True)
class Note:
    """One row of the outbox, and how many notes it holds."""

    is_marked: bool
    written_us: int
    notes: int = 1


@dataclass(frozen=True, slots=True)
class Extra:
    """What the demo's journal leaves out."""

    steps: Mapping[str, Sequence[Step]]
    incidents: Sequence[tuple[str, str, str]]
    outbox: Mapping[int, Note]
    inbox: Mapping[str, str]
    booked: Sequence[Booked]
    quantities: Mapping[str, Decimal]
    owner_epochs: Mapping[str, int]
    fresh_until_us: Mapping[str, int]
    # Why signals ended as dead letters, and why orders ended as they did.
    dead_letters: Mapping[str, str]
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What the driver knows: signals answered, when the platform was stopped, which epoch took over when."""

    signals: frozenset[str]
    stops_us: tuple[tuple[int, int | None], ...] = ()
    takeovers: tuple[tuple[int, int], ...] = ()
    # How far the exchange's clock was set ahead of ours; what it logged is read in our time.
    clock_offset_ms: int = 0
    # When the last process was ended.
    ended_us: int = 0


@dataclass(frozen=True, slots=True)
class Sides:
    """Everything the referee looks at."""

    journal: Journal
    extra: Extra
    venue: Venue
    # How often a note of each row reached the bus.
    published: Mapping[int, int]
    told: Told


# What was published while the world was built is not counted.
_ALL_OF_THEM = 1_000_000


async def read_sides(world: World, exchange: Exchange, told: Told) -> Sides:
    """Read both sides; nothing must move meanwhile, so the node has ended before."""
    venue = await read_venue(exchange)
    own = {(person.uid, asset): amount for person in world.people for asset, amount in person.own_coins().items()}
    journal, extra = read_database(world.database_url)
    # Refused before anybody asked whose it was (too late, say): the id it carried tells.
    owners = {order.client_order_id: journal.accounts[order.account_id] for order in journal.orders}
    requests = [
        replace(
            each,
            received_ms=each.received_ms - told.clock_offset_ms,
            uid=each.uid or next((owners[name] for name in each.client_ids if name in owners), None),
        )
        for each in venue.requests
    ]
    held = {**dict.fromkeys(own, Decimal(0)), **venue.holdings}
    holdings = {key: amount - own.get(key, Decimal(0)) for key, amount in held.items()}
    return Sides(
        journal=journal,
        extra=extra,
        venue=replace(venue, holdings=holdings, requests=requests),
        published=Counter(map(int, world.published.read_text("ascii").split()))
        + Counter(dict.fromkeys(range(1, world.notes_before + 1), _ALL_OF_THEM)),
        told=told,
    )


def read_database(url: str) -> tuple[Journal, Extra]:
    """Read the platform's side, all of it as of one moment."""
    db = Db.open(url)
    try:
        return db.read_now(lambda tx: (read_journal(tx), _extra(tx)))
    finally:
        db.close()


def _extra(tx: Connection) -> Extra:
    steps: dict[str, list[Step]] = defaultdict(list)
    for row in rows(tx, "SELECT seq, order_id, kind, from_state, to_state, at FROM order_events ORDER BY seq"):
        steps[row.order_id].append(Step(row.seq, row.order_id, row.kind, row.from_state, row.to_state, us(row.at)))
    return Extra(
        steps=steps,
        incidents=[
            (row.kind, row.account_id, row.order_id or "")
            for row in rows(tx, "SELECT kind, account_id, order_id FROM incidents")
        ],
        outbox={
            row.seq: Note(row.published_at is not None, us(row.created_at), row.notes or 1)
            for row in rows(tx, "SELECT seq, created_at, published_at, notes FROM outbox")
        },
        inbox={row.id: row.state for row in rows(tx, "SELECT id, state FROM inbox")},
        booked=[
            Booked(row.order_id, row.account_id, row.symbol, row.side, Decimal(row.quantity), us(row.booked_at))
            for row in rows(
                tx, "SELECT order_id, account_id, symbol, side, quantity, booked_at FROM fills ORDER BY seq"
            )
        ],
        quantities={
            row.id: Decimal(row.quantity)
            for row in rows(tx, "SELECT id, quantity FROM orders WHERE quantity IS NOT NULL")
        },
        owner_epochs={row.id: row.owner_epoch for row in rows(tx, "SELECT id, owner_epoch FROM orders")},
        fresh_until_us=_fresh_until(tx),
        dead_letters={
            row.id: row.last_error or "" for row in rows(tx, "SELECT id, last_error FROM inbox WHERE state = 'dead'")
        },
        reasons={row.id: row.reason for row in rows(tx, "SELECT id, reason FROM orders WHERE reason IS NOT NULL")},
    )


def _fresh_until(tx: Connection) -> dict[str, int]:
    found = {}
    for row in rows(tx, "SELECT orders.id, detail FROM orders JOIN intents ON intents.id = orders.intent_id"):
        until = json.loads(row.detail).get("fresh_until")
        if until is not None:
            found[row.id] = us(datetime.fromisoformat(until))
    return found


@dataclass(frozen=True, slots=True)
class Motion:
    """How much is still moving; `mark` changes whenever anything was written."""

    mark: tuple[int, int, int]
    open_orders: int
    undone_signals: int
    undone_exits: int
    unpublished: int
    restless_lots: int
    # Accounts that the running process has not yet found in order.
    held_accounts: int

    @property
    def is_still(self) -> bool:
        return not (
            self.open_orders
            or self.undone_signals
            or self.undone_exits
            or self.unpublished
            or self.restless_lots
            or self.held_accounts
        )


def look_at_motion(tx: Connection, accounts: int, since: datetime) -> Motion:
    """Ask the database how much is left to do by a process that started at a time."""
    moving = "('INTENDED', 'SENT', 'UNKNOWN', 'BLIND', 'CANCEL_SENT')"
    return Motion(
        mark=(
            _count(tx, "SELECT coalesce(max(seq), 0) FROM order_events"),
            _count(tx, "SELECT coalesce(max(seq), 0) FROM fills"),
            _count(tx, "SELECT coalesce(max(seq), 0) FROM outbox"),
        ),
        open_orders=_count(tx, f"SELECT count(*) FROM orders WHERE state IN {moving}") + _lacking(tx),
        undone_signals=_count(tx, "SELECT count(*) FROM inbox WHERE state IN ('new', 'claimed')"),
        undone_exits=_count(tx, "SELECT count(*) FROM intents WHERE NOT is_done AND kind <> 'protection'"),
        unpublished=_count(tx, "SELECT count(*) FROM outbox WHERE published_at IS NULL"),
        restless_lots=_count(
            tx, "SELECT count(*) FROM lots WHERE is_open AND state NOT IN ('protected_native', 'dust')"
        ),
        held_accounts=accounts - _green(tx, since),
    )


def _green(tx: Connection, since: datetime) -> int:
    reports = recovery_reports.c
    query = select(func.count(reports.account_id.distinct()))
    return tx.execute(query.where(reports.started_at >= since, reports.green_at.is_not(None))).scalar_one()


def _lacking(tx: Connection) -> int:
    """Orders of which less is booked than the exchange stated; compared here, because SQLite keeps amounts as text."""
    found = rows(tx, "SELECT executed, booked FROM orders WHERE executed <> booked")
    return sum(1 for row in found if Decimal(row.executed) != Decimal(row.booked))


def _count(tx: Connection, query: str) -> int:
    return int(tx.execute(text(query)).scalar_one())

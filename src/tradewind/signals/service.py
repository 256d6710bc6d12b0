"""The verbs of the inbox: accept once, hand out in order, record the end.

Everything here runs inside a transaction of the caller. The answer to a sender follows the commit
(order-protocol.md section 8); a repeat is found in the inserting transaction, never by a time bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tradewind.core.errors import Conflict, Forbidden, NotFound
from tradewind.core.ids import SignalId, SourceId
from tradewind.core.money import Asset
from tradewind.core.signal import Action, DraftSignal, Signal, is_stale
from tradewind.infra import outbox
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.infra.outbox import Note
from tradewind.infra.points import Point, reached
from tradewind.signals import store
from tradewind.signals.dead_letters import GivenUp as GivenUp
from tradewind.signals.dead_letters import dead_notice, set_aside, tell_nobody
from tradewind.signals.repeats import dedupe_key, find_repeat
from tradewind.signals.tables import Damaged, Entry, NewEntry, Origin, SignalState, Source
from tradewind.signals.telling import payload_of, tell
from tradewind.signals.timely import demand_timely
from tradewind.signals.turn import Meets, everybody_meets, next_entry

# Entries older than this by their own time are refused, unless configured otherwise (section 10).
ENTRY_AGE_MAX_S = 60
# "inbox retry 5 attempts with back-off, then dead letter" (order-protocol.md section 10).
ATTEMPTS_MAX = 5
# 1, 2, 4, 8 s: all five attempts fit into the time in which an entry is still fresh.
_BACKOFF_FIRST_S = 1
_ERROR_CHARS_MAX = 500
# A close that has waited longer than this for the database is told, once ("doubt alarm 15 s", section 10).
_WAIT_ALARM = timedelta(seconds=15)
_WAITS = "still waiting: "
_WORN_OUT = "the worker that held it stopped without a word, five times"


@dataclass(frozen=True, slots=True)
class Alert:
    """One parsed message: the draft, the sender's own id if it carried one, and what is kept of its body.

    `body_hash` is taken from the redacted canonical body, so neither key order nor spaces make a new alert.
    """

    draft: DraftSignal
    sender_id: str | None
    body_hash: str
    raw: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A signal that is in the inbox, and whether it already was."""

    id: SignalId
    state: SignalState
    is_repeat: bool
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one request: its signals in the order of the body."""

    signals: tuple[Stored, ...]

    @property
    def ids(self) -> tuple[SignalId, ...]:
        return tuple(stored.id for stored in self.signals)

    @property
    def is_repeat(self) -> bool:
        return all(stored.is_repeat for stored in self.signals)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A signal handed out under a lease, with the source that sent it."""

    signal: Signal
    source: Source
    lease_token: str
    lease_until: datetime
    attempts: int
    is_superseded: bool


class LeaseLost(Conflict):
    """Another worker has taken the signal over; nothing may be recorded for it."""


def accept(
    tx: Tx,
    ids: Ids,
    source_id: SourceId,
    alerts: Sequence[Alert],
    now: datetime,
    *,
    origin: Origin = Origin.WEBHOOK,
    author_id: str | None = None,
    max_age_s: int = ENTRY_AGE_MAX_S,
) -> Accepted:
    """Store every alert once; all of them or none.

    Raises Forbidden for a disabled source, Conflict for a known id with other content, InvalidInput for an
    entry that is too old or dated in the future. Repeats are recognised before age is looked at.
    """
    # Locked, so that two copies of one body cannot both find nothing (PostgreSQL; SQLite has one writer).
    source = store.find_source(tx, source_id, locked=True)
    if source is None:
        raise NotFound("source_not_found", "This source does not exist or is not yours.")
    demand_enabled(source)
    stored: list[Stored] = []
    for alert in alerts:
        known = find_repeat(tx, source, dedupe_key(origin, alert.sender_id), alert.body_hash, now)
        if known is not None:
            stored.append(Stored(known.signal.id, known.state, True, known.signal.received_at))
            continue
        signal = alert.draft.received(SignalId(ids.new()), source.id, now)
        demand_timely(signal, now, max_age_s)
        key = dedupe_key(origin, alert.sender_id)
        store.insert_entry(tx, NewEntry(signal, origin, author_id, key, alert.body_hash, alert.raw))
        tell(tx, source, payload_of(signal, source, SignalState.NEW, 1, now), now)
        stored.append(Stored(signal.id, SignalState.NEW, False, now))
    reached(Point.INBOX_WRITTEN)
    return Accepted(tuple(stored))


def demand_enabled(source: Source) -> None:
    """Raise Forbidden for a source switched off."""
    if not source.is_enabled:
        raise Forbidden(
            "source_disabled",
            f"The source {source.name!r} is switched off; the signal was not stored. Switch the source on to use it.",
        )


def claim_next(
    tx: Tx,
    lease_token: str,
    now: datetime,
    lease_s: int,
    on_given_up: Callable[[GivenUp], None] = tell_nobody,
    meets: Meets = everybody_meets,
) -> Claimed | None:
    """Hand out the oldest undone signal that no earlier one goes before; None if there is none.

    An earlier undone one goes before it in the same base asset, if it is of the same source or of one that reaches an
    account in common (`meets`): one that fails over and over holds back nobody who has nothing to do with it.

    The lease ends at `now` + `lease_s`; afterwards anybody may claim it. A signal whose fifth attempt ran out of its
    lease is dead-lettered here, and so is one that cannot be read: it must not hold up the others. `on_given_up` is
    told of each, inside the transaction.
    """
    for worn_out in store.list_worn_out(tx, now, ATTEMPTS_MAX):
        _bury(tx, worn_out, _WORN_OUT, now)
        on_given_up(GivenUp.of(worn_out.signal, _WORN_OUT))
    while isinstance(entry := next_entry(tx, now, meets), Damaged):
        on_given_up(set_aside(tx, entry, now))
    if entry is None:
        return None
    lease_until = now + timedelta(seconds=lease_s)
    is_ours = store.move_entry(
        tx,
        entry,
        state=SignalState.CLAIMED,
        lease_token=lease_token,
        lease_until=lease_until,
        attempts=entry.attempts + 1,
    )
    if not is_ours:
        return None
    return Claimed(
        signal=entry.signal,
        source=load_source(tx, entry.signal.source_id),
        lease_token=lease_token,
        lease_until=lease_until,
        attempts=entry.attempts + 1,
        is_superseded=_is_superseded(tx, entry),
    )


def renew(tx: Tx, signal_id: SignalId, lease_token: str, now: datetime, lease_s: int) -> datetime:
    """Hold a claimed signal longer; return the new end. Raises LeaseLost."""
    entry = _load_leased(tx, signal_id, lease_token, now)
    lease_until = now + timedelta(seconds=lease_s)
    _move(tx, entry, lease_until=lease_until)
    return lease_until


def mark_decided(tx: Tx, signal_id: SignalId, lease_token: str, now: datetime) -> None:
    """Record that every account has its Decision, in the transaction that records them. Raises LeaseLost."""
    entry = _load_leased(tx, signal_id, lease_token, now)
    _move(tx, entry, state=SignalState.DECIDED, decided_at=now, lease_token=None, lease_until=None, last_error=None)
    _tell_state(tx, entry, SignalState.DECIDED, now)


def mark_done(tx: Tx, signal_id: SignalId, now: datetime) -> None:
    """Record that all orders of a decided signal have ended; harmless when it is done already."""
    entry = load_entry(tx, signal_id)
    if entry.state is SignalState.DECIDED:
        _move(tx, entry, state=SignalState.DONE)
        _tell_state(tx, entry, SignalState.DONE, now)


def fail(
    tx: Tx,
    signal_id: SignalId,
    lease_token: str,
    reason: str,
    now: datetime,
    *,
    is_passing: bool = False,
    max_age_s: int = ENTRY_AGE_MAX_S,
) -> SignalState:
    """Give a claimed signal back after an attempt that failed; the fifth time it is dead-lettered.

    What passes by itself (`is_passing`: the database is busy) is no attempt: it is tried again every second, an
    entry while it is fresh, a close until it succeeds. Returns NEW (tried again after 1, 2, 4, 8 s) or DEAD.
    Raises LeaseLost.
    """
    entry = _load_leased(tx, signal_id, lease_token, now)
    if is_passing:
        return _wait(tx, entry, reason, now, max_age_s)
    if entry.attempts >= ATTEMPTS_MAX:
        _bury(tx, entry, reason, now)
        return SignalState.DEAD
    pause = timedelta(seconds=_BACKOFF_FIRST_S * 2 ** (entry.attempts - 1))
    _move(
        tx,
        entry,
        state=SignalState.NEW,
        lease_token=None,
        lease_until=None,
        not_before=now + pause,
        last_error=reason[:_ERROR_CHARS_MAX],
    )
    return SignalState.NEW


def give_up(tx: Tx, signal_id: SignalId, lease_token: str, reason: str, now: datetime) -> None:
    """Dead-letter a claimed signal at once: trying again would do harm. Raises LeaseLost."""
    _bury(tx, _load_leased(tx, signal_id, lease_token, now), reason, now)


def release(tx: Tx, signal_id: SignalId, lease_token: str, now: datetime) -> None:
    """Give a claimed signal back untried, as a stopping worker does; the attempt does not count. Raises LeaseLost."""
    entry = _load_leased(tx, signal_id, lease_token, now)
    _move(
        tx,
        entry,
        state=SignalState.NEW,
        lease_token=None,
        lease_until=None,
        not_before=now,
        attempts=max(0, entry.attempts - 1),
    )


def last_close_at(tx: Tx, source_id: SourceId, base: Asset) -> datetime | None:
    """When the source last sent a close for the asset, by the alert's own time, never later than its arrival.

    Rounded down to the second, because {{timenow}} is: an open of the same second is not older. Where the order
    within a second matters, ask `is_superseded`.
    """
    moment = store.last_close_at(tx, source_id, base)
    return None if moment is None else moment.replace(microsecond=0)


def is_superseded(tx: Tx, signal_id: SignalId) -> bool:
    """Say whether the same source closed the same asset after this open; never true of a close."""
    return _is_superseded(tx, load_entry(tx, signal_id))


def reopen(tx: Tx, signal_id: SignalId, now: datetime) -> None:
    """Take a signal out of the dead-letter box: it is decided like one that has just come, all attempts before it.

    Raises Conflict for one that is not there.
    """
    entry = load_entry(tx, signal_id)
    if entry.state is not SignalState.DEAD:
        raise Conflict("not_dead", f"The signal is {entry.state}: only one in the dead-letter box can be reopened.")
    _move(tx, entry, state=SignalState.NEW, attempts=0, not_before=now, lease_token=None, lease_until=None)
    _tell_state(tx, entry, SignalState.NEW, now)


def bury_undone(tx: Tx, reason: str, now: datetime) -> list[GivenUp]:
    """Dead-letter every signal that nobody has decided; return which. A close among them is an alarm."""
    found: list[GivenUp] = []
    for entry in store.list_undone(tx):
        if isinstance(entry, Damaged):
            found.append(set_aside(tx, entry, now))
        else:
            _bury(tx, entry, reason, now)
            found.append(GivenUp.of(entry.signal, reason))
    return found


def load_entry(tx: Tx, signal_id: SignalId, *, visible: Collection[SourceId] | None = None) -> Entry:
    """Read a signal of one of the `visible` sources (None: of any). Raises NotFound."""
    entry = store.find_entry(tx, signal_id)
    if entry is None or (visible is not None and entry.signal.source_id not in visible):
        raise NotFound("signal_not_found", "This signal does not exist or is not yours.")
    return entry


def list_entries(
    tx: Tx,
    *,
    visible: Collection[SourceId] | None,
    before_seq: int | None = None,
    limit: int = 50,
    state: SignalState | None = None,
) -> list[Entry]:
    """Signals newest first, of the `visible` sources (None: of all)."""
    return store.list_entries(tx, visible=visible, before_seq=before_seq, limit=limit, state=state)


def load_source(tx: Tx, source_id: SourceId) -> Source:
    """Read a source. Raises NotFound."""
    source = store.find_source(tx, source_id)
    if source is None:
        raise NotFound("source_not_found", "This source does not exist or is not yours.")
    return source


# --- inside ----------------------------------------------------------------------------------------


def _is_superseded(tx: Tx, entry: Entry) -> bool:
    return entry.signal.action is Action.OPEN and store.has_newer_close(tx, entry)


def _load_leased(tx: Tx, signal_id: SignalId, lease_token: str, now: datetime) -> Entry:
    entry = store.find_entry(tx, signal_id)
    is_held = (
        entry is not None
        and entry.state is SignalState.CLAIMED
        and entry.lease_token == lease_token
        and entry.lease_until is not None
        and entry.lease_until > now
    )
    if entry is None or not is_held:
        raise LeaseLost("lease_lost", f"The lease on signal {signal_id} has ended; nothing was recorded.")
    return entry


def _move(tx: Tx, entry: Entry, **values: Any) -> None:
    if not store.move_entry(tx, entry, **values):
        raise LeaseLost("lease_lost", f"Signal {entry.signal.id} was changed by another worker; nothing was recorded.")


def _wait(tx: Tx, entry: Entry, reason: str, now: datetime, max_age_s: int) -> SignalState:
    """Put a signal back for a moment, unless it has lost its freshness meanwhile; a close that waits long is told."""
    signal = entry.signal
    if is_stale(signal, now, max_age_s):
        _bury(tx, entry, f"it could not be carried out within {max_age_s} s: {reason}", now)
        return SignalState.DEAD
    is_late = signal.action is Action.CLOSE and now - signal.received_at > _WAIT_ALARM
    if is_late and not (entry.last_error or "").startswith(_WAITS):
        source = load_source(tx, signal.source_id)
        payload = payload_of(signal, source, SignalState.NEW, entry.rev + 1, now)
        tell(tx, source, {**payload, "reason": reason[:_ERROR_CHARS_MAX], "is_alarm": True}, now)
    _move(
        tx,
        entry,
        state=SignalState.NEW,
        lease_token=None,
        lease_until=None,
        not_before=now + timedelta(seconds=_BACKOFF_FIRST_S),
        attempts=max(0, entry.attempts - 1),
        last_error=f"{_WAITS if is_late else ''}{reason}"[:_ERROR_CHARS_MAX],
    )
    return SignalState.NEW


def _bury(tx: Tx, entry: Entry, reason: str, now: datetime) -> None:
    """Dead-letter a signal and say so; a close that could not be carried out is an alarm."""
    reason = reason[:_ERROR_CHARS_MAX]
    _move(tx, entry, state=SignalState.DEAD, lease_token=None, lease_until=None, last_error=reason)
    source = load_source(tx, entry.signal.source_id)
    payload = payload_of(entry.signal, source, SignalState.DEAD, entry.rev + 1, now)
    payload["reason"] = reason
    payload["is_alarm"] = entry.signal.action is Action.CLOSE
    tell(tx, source, payload, now)
    notes = [Note("signal.dead", source.owner_id, payload), Note("notice", source.owner_id, dead_notice(payload))]
    outbox.append(tx, notes, now)


def _tell_state(tx: Tx, entry: Entry, state: SignalState, now: datetime) -> None:
    source = load_source(tx, entry.signal.source_id)
    tell(tx, source, payload_of(entry.signal, source, state, entry.rev + 1, now), now)

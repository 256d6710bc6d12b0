"""Emergency stop and resume, each one transaction (product.md G4, order-protocol.md section 6).

A stop takes the next stop epoch, which no claim of entries may share meanwhile, notes the scope as stopped,
denies every entry of the scope that has not been claimed, tells, and stands in the audit. After its commit
nothing of the scope is claimed: what is recorded later finds the scope stopped, what was decided earlier
carries an older epoch, also after a resume. Exits, protective orders and watches are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tradewind.audit.service import Audit
from tradewind.core.errors import Forbidden, NotFound
from tradewind.core.ids import OrderId, UserId
from tradewind.core.order import Denied, OrderState
from tradewind.execution import emergency_store
from tradewind.execution.emergency_store import EpochName, Policy, Scope, ScopeKind, StopRow
from tradewind.execution.journal import Journal
from tradewind.execution.outcomes import Moved
from tradewind.execution.stops import STOPPED
from tradewind.infra import outbox
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note

_STRENGTH = (Policy.LEAVE, Policy.CANCEL, Policy.FLATTEN)
# Orders denied with one statement's worth of ids.
_BATCH = 500
_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class StopRequest:
    """A stop as it was asked for. `floor`: a stop epoch that its own must lie above."""

    scope: Scope
    policy: Policy
    actor: str
    reason: str
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a stop did: the scope as it stands, entries denied, entries signed before that must be followed."""

    row: StopRow
    denied: tuple[Moved, ...]
    on_the_way: int


def _nobody(_tx: Tx, _scope: Scope) -> Iterable[UserId]:
    return ()


@dataclass(slots=True)
class Emergency:
    """The verbs; anybody with the database may stop, running platform or not."""

    journal: Journal
    audit: Audit
    clock: Clock
    # Whom a scope concerns: people with an account in it. Without it the operators alone are told.
    people_of: Callable[[Tx, Scope], Iterable[UserId]] = _nobody

    def stop(self, tx: Tx, wanted: StopRequest) -> Stopped:
        """Stop the entries of a scope; stopping a stopped scope keeps the stronger policy and denies again."""
        now = self.clock.now()
        epoch = emergency_store.bump(tx, EpochName.STOP, above=wanted.floor)
        before = emergency_store.find_stop(tx, wanted.scope)
        row = _stopped(before, wanted, epoch, now, is_own=self._is_own(tx, wanted))
        emergency_store.put_stop(tx, row)
        denied = self._deny(tx, emergency_store.intended_entries(tx, wanted.scope), now)
        on_the_way = len(emergency_store.entries_on_the_way(tx, wanted.scope))
        self._tell(tx, row, epoch * 2, now, is_settled=row.is_settled)
        facts = {"epoch": epoch, "policy": row.policy.value, "reason": row.reason, "denied": len(denied)}
        self._audit(tx, wanted.actor, "emergency.stopped", wanted.scope, facts)
        return Stopped(row, tuple(denied), on_the_way)

    def resume(self, tx: Tx, scope: Scope, *, actor: str, reason: str, is_operator: bool) -> StopRow:
        """Open a scope again for what is decided from now on; nothing that was denied is sent.

        Raises NotFound for a scope that is not stopped, Forbidden where an operator stopped it and the
        caller is none.
        """
        # The same lock as a stop, taken first: the two never cross.
        number = emergency_store.bump(tx, EpochName.STOP)
        row = emergency_store.find_stop(tx, scope)
        if row is None or not row.is_stopped:
            raise NotFound("not_stopped", "There is no emergency stop on that could be lifted.")
        if not is_operator and row.actor != actor:
            raise Forbidden("stopped_by_operator", "The operator has set this emergency stop; only they can lift it.")
        now = self.clock.now()
        row = replace(row, is_stopped=False, resumed_by=actor, resumed_at=now)
        emergency_store.put_stop(tx, row)
        self._tell(tx, row, number * 2, now, is_settled=row.is_settled)
        self._audit(tx, actor, "emergency.resumed", scope, {"epoch": row.epoch, "reason": _clipped(reason)})
        return row

    def merge(
        self, tx: Tx, wanted: StopRequest, asked_at: datetime, user_of: Callable[[Tx, str], UserId | None]
    ) -> Stopped | None:
        """Bring a stop from the stop file into the database; None where a later resume has lifted it already.

        A person named by an address that nobody has here stops the platform: better too much than nothing.
        """
        scope, reason = wanted.scope, wanted.reason
        if scope.kind is ScopeKind.USER and "@" in scope.subject:
            user_id = user_of(tx, scope.subject)
            if user_id is None:
                reason = _clipped(f"Asked for {scope.subject}, who is not known here: {reason}")
            scope = Scope(ScopeKind.PLATFORM) if user_id is None else Scope(ScopeKind.USER, user_id)
        row = emergency_store.find_stop(tx, scope)
        if row is not None and not row.is_stopped and row.resumed_at is not None and row.resumed_at > asked_at:
            facts = {"asked_at": asked_at.isoformat(), "reason": reason}
            self._audit(tx, wanted.actor, "emergency.stop_outdated", scope, facts)
            return None
        return self.stop(tx, replace(wanted, scope=scope, reason=reason))

    def settle(self, tx: Tx, row: StopRow, *, facts: dict[str, Any]) -> bool:
        """Note that what the policy asks for is carried out; False if the stop has moved meanwhile."""
        if not emergency_store.settle(tx, row.scope, row.epoch):
            return False
        now = self.clock.now()
        self._tell(tx, row, row.epoch * 2 + 1, now, is_settled=True, **facts)
        self._audit(tx, "engine", "emergency.settled", row.scope, {"epoch": row.epoch, **facts})
        return True

    def _tell(self, tx: Tx, row: StopRow, rev: int, now: datetime, **facts: Any) -> None:
        """Tell everybody whom the scope concerns, and the operators."""
        scope = row.scope
        people: set[str | None] = {None, *self.people_of(tx, scope)}
        if scope.kind is ScopeKind.USER:
            people.add(scope.subject)
        payload = {
            "id": f"emergency:{scope}",
            "rev": rev,
            "at": now.isoformat(),
            "kind": "emergency_stop",
            "scope": scope.kind.value,
            "subject": scope.subject or None,
            "is_stopped": row.is_stopped,
            "policy": row.policy.value,
            "since": row.stopped_at.isoformat(),
            "reason": row.reason,
            **facts,
        }
        outbox.append(tx, [Note("gate", user_id, payload) for user_id in sorted(people, key=str)], now)

    def _is_own(self, tx: Tx, wanted: StopRequest) -> bool:
        """Say whether somebody stops themselves, or an account of theirs."""
        scope = wanted.scope
        if scope.kind is ScopeKind.USER:
            return wanted.actor == f"user:{scope.subject}"
        return scope.kind is ScopeKind.ACCOUNT and wanted.actor in {
            f"user:{each}" for each in self.people_of(tx, scope)
        }

    def _deny(self, tx: Tx, ids: Sequence[OrderId], now: datetime) -> list[Moved]:
        moved: list[Moved] = []
        for start in range(0, len(ids), _BATCH):
            steps = [(order_id, Denied(now, STOPPED)) for order_id in ids[start : start + _BATCH]]
            moved.extend(self.journal.step_all(tx, steps, [OrderState.INTENDED], now))
        return moved

    def _audit(self, tx: Tx, actor: str, action: str, scope: Scope, facts: dict[str, Any]) -> None:
        user_id = scope.subject if scope.kind is ScopeKind.USER else None
        self.audit.append(tx, actor, action, f"emergency:{scope}", details=facts, user_id=user_id)


def _stopped(before: StopRow | None, wanted: StopRequest, epoch: int, now: datetime, *, is_own: bool) -> StopRow:
    fresh = StopRow(
        scope=wanted.scope,
        epoch=epoch,
        is_stopped=True,
        policy=wanted.policy,
        actor=wanted.actor,
        reason=_clipped(wanted.reason),
        stopped_at=now,
        resumed_by=None,
        resumed_at=None,
        is_settled=wanted.policy is Policy.LEAVE,
    )
    if before is None or not before.is_stopped:
        return fresh
    # The operator's stop is the operator's to lift, whoever stops after them.
    is_operators = is_own and before.actor != wanted.actor
    policy = max(before.policy, wanted.policy, key=_STRENGTH.index)
    return replace(
        fresh,
        policy=policy,
        actor=before.actor if is_operators else wanted.actor,
        stopped_at=before.stopped_at,
        is_settled=policy is Policy.LEAVE,
    )


def _clipped(text: str) -> str:
    return " ".join(text.split())[:_REASON_CHARS]

"""The verbs about mandates: which account obeys which source, how much, within which limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from tradewind.accounts import mandate_store, store
from tradewind.accounts.account import AccountRow
from tradewind.audit.service import Audit
from tradewind.core.errors import Conflict, InvalidInput, NotFound
from tradewind.core.ids import AccountId, MandateId, SourceId, UserId
from tradewind.core.mandate import Mandate
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids

# Sources belong to a room above this one: the app wires in whether a user may give one a mandate.
IsSourceOpen = Callable[[Tx, SourceId, UserId], bool]

# What belongs to the mandate's identity never changes; everything else may.
_FIXED = frozenset({"id", "user_id", "account_id", "source_id", "is_damaged"})
_CHANGEABLE = frozenset(field.name for field in fields(Mandate)) - _FIXED


class Mandates:
    """Mandates of users; every verb for a user's request is scoped by that user."""

    def __init__(self, clock: Clock, ids: Ids, audit: Audit, is_source_open: IsSourceOpen) -> None:
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._is_source_open = is_source_open

    def create(
        self,
        tx: Tx,
        user_id: UserId,
        account_id: AccountId,
        source_id: SourceId,
        *,
        actor: str,
        terms: Mapping[str, Any] | None = None,
    ) -> Mandate:
        """Give a source a mandate on a user's account. Raises NotFound, InvalidInput or Conflict (there is one)."""
        if store.find_account(tx, user_id, account_id) is None:
            raise NotFound("account_not_found", "There is no such account.")
        if not self._is_source_open(tx, source_id, user_id):
            raise NotFound("source_not_found", "There is no such source.")
        mandate = Mandate(
            id=MandateId(self._ids.new()),
            user_id=user_id,
            account_id=account_id,
            source_id=source_id,
            **_checked(terms or {}),
        )
        if mandate_store.find_mandate_of(tx, account_id, source_id) is not None:
            raise _exists()
        try:
            mandate_store.insert_mandate(tx, mandate, self._clock.now())
        except IntegrityError:
            raise _exists() from None
        self._record(tx, actor, "mandate.created", mandate)
        return mandate

    def load(self, tx: Tx, user_id: UserId, mandate_id: MandateId) -> Mandate:
        """Load a mandate of a user. Raises NotFound (also for another user's)."""
        mandate = mandate_store.find_mandate(tx, user_id, mandate_id)
        if mandate is None:
            raise NotFound("mandate_not_found", "There is no such mandate.")
        return mandate

    def list_of(self, tx: Tx, user_id: UserId) -> list[Mandate]:
        """List a user's mandates, oldest first."""
        return mandate_store.list_mandates(tx, user_id)

    def change(
        self, tx: Tx, user_id: UserId, mandate_id: MandateId, terms: Mapping[str, Any], *, actor: str
    ) -> Mandate:
        """Change terms of a mandate by their names. Raises NotFound or InvalidInput.

        One whose terms could not be read begins with the defaults, and off unless the change says otherwise: a budget
        or a small risk that nobody can read any more is not made up for by one other term.
        """
        mandate = self.load(tx, user_id, mandate_id)
        begun = replace(mandate, is_enabled=False, is_damaged=False) if mandate.is_damaged else mandate
        changed = replace(begun, **_checked(terms))
        mandate_store.replace_mandate(tx, changed)
        self._record(tx, actor, "mandate.changed", changed)
        return changed

    def delete(self, tx: Tx, user_id: UserId, mandate_id: MandateId, *, actor: str) -> None:
        """Take a mandate back; what it opened stays protected and can be closed. Raises NotFound."""
        mandate = self.load(tx, user_id, mandate_id)
        mandate_store.delete_mandate(tx, user_id, mandate_id)
        self._record(tx, actor, "mandate.deleted", mandate)

    def load_for_source(self, tx: Tx, source_id: SourceId) -> list[tuple[Mandate, AccountRow]]:
        """Load every mandate on a source with its account in ONE query, ordered by account.

        Mandates that are off and accounts that are paused are among them: each gets its Decision, so that
        placed + skipped = all (D7).
        """
        return mandate_store.for_source(tx, source_id)

    def list_for_source(self, tx: Tx, source_id: SourceId) -> list[Mandate]:
        """As `load_for_source`, the mandates alone: for a fan-out."""
        return mandate_store.of_source(tx, source_id)

    def _record(self, tx: Tx, actor: str, action: str, mandate: Mandate) -> None:
        details = {
            name: None if (value := getattr(mandate, name)) is None else str(value) for name in sorted(_CHANGEABLE)
        }
        subject = f"mandate:{mandate.id}"
        self._audit.append(tx, actor, action, subject, details=details, user_id=mandate.user_id)


def _checked(terms: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = set(terms) - _CHANGEABLE
    if unknown:
        raise InvalidInput("mandate_term_unknown", f"A mandate has no {', '.join(sorted(unknown))}.")
    return terms


def _exists() -> Conflict:
    return Conflict("mandate_exists", "The account obeys this source already. Change that mandate instead.")

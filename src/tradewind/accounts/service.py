"""The verbs about accounts that need no venue: read, name, limit, pause, count errors, delete.

An account's environment never changes (order-protocol.md section 7). Pausing, disabling and dry run stop
entries; nothing here ever stops an exit. Every change grows `rev`, is audited and told to the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradewind.accounts import mandate_store, store
from tradewind.accounts.account import AccountRow, AccountStatus, CredentialRow, Rights
from tradewind.accounts.refusals import KeyRefusal
from tradewind.audit.service import Audit, Detail
from tradewind.core.errors import Conflict, InvalidInput, NotFound
from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import ZERO, Asset
from tradewind.infra import outbox
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.outbox import Note
from tradewind.signer.service import StoredCredential

# K7: so many credential errors in a row disable an account.
CREDENTIAL_ERRORS_MAX = 5
# What the user types to let an account trade real money (G2).
LIVE_SENTENCE = "I trade real money"
LIVE_SENTENCE_KO = "실제 돈으로 거래합니다"
TOPIC = "account"

# Asked before an account or its key goes: does it still hold a position, or an order in doubt?
HasOpenBusiness = Callable[[Tx, AccountId], bool]


class Keep:
    """The mark of a field that a change leaves as it is (None means: no cap)."""


KEEP = Keep()


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change of an account; caps are in the quote asset."""

    label: str | None = None
    quote_asset: Asset | Keep | None = KEEP
    max_order_quote: Decimal | Keep | None = KEEP
    max_day_quote: Decimal | Keep | None = KEEP
    dry_run: bool | None = None


class Accounts:
    """Accounts of users; every verb for a user's request is scoped by that user."""

    def __init__(self, clock: Clock, audit: Audit, has_open_business: HasOpenBusiness) -> None:
        self._clock = clock
        self._audit = audit
        self._has_open_business = has_open_business

    # --- for requests of a user ---

    def load(self, tx: Tx, user_id: UserId, account_id: AccountId) -> AccountRow:
        """Load an account of a user. Raises NotFound (also for another user's)."""
        row = store.find_account(tx, user_id, account_id)
        if row is None:
            raise NotFound("account_not_found", "There is no such account.")
        return row

    def load_by_credential(self, tx: Tx, user_id: UserId, credential_id: str) -> AccountRow:
        """Load the account of a user's credential. Raises NotFound (also for another user's)."""
        row = store.find_account_of_credential(tx, user_id, credential_id)
        if row is None:
            raise NotFound("credential_not_found", "There is no such key.")
        return row

    def list_of(self, tx: Tx, user_id: UserId) -> list[AccountRow]:
        """List a user's accounts, oldest first."""
        return store.list_accounts(tx, user_id)

    def credential_ages(self, tx: Tx, user_id: UserId) -> Mapping[AccountId, datetime]:
        """Say when each of a user's keys was added."""
        return store.credential_created_at(tx, user_id)

    def change(self, tx: Tx, user_id: UserId, account_id: AccountId, changes: Changes, *, actor: str) -> AccountRow:
        """Rename an account, set its caps, its quote asset or its dry run. Raises NotFound or InvalidInput."""
        self.load(tx, user_id, account_id)
        values = _checked(changes)
        if values:
            shown = {name: None if value is None else str(value) for name, value in values.items()}
            store.update_account(tx, account_id, values)
            self._record(tx, actor, "account.changed", account_id, user_id, shown)
        return self._told(tx, user_id, account_id)

    def pause(self, tx: Tx, user_id: UserId, account_id: AccountId, *, actor: str) -> AccountRow:
        """Stop entries on an account (idempotent); exits and protection go on."""
        row = self.load(tx, user_id, account_id)
        if row.status is AccountStatus.ACTIVE:
            self._set_status(tx, row, AccountStatus.PAUSED, "by_user", actor)
        return self._told(tx, user_id, account_id)

    def resume(self, tx: Tx, user_id: UserId, account_id: AccountId, *, actor: str) -> AccountRow:
        """Let entries be made again (idempotent). Raises Conflict where there is no usable key."""
        row = self.load(tx, user_id, account_id)
        if row.status is AccountStatus.ACTIVE:
            return row
        if not row.has_credential:
            raise Conflict("account_without_key", "The account has no key. Add one first.")
        if row.rights.can_withdraw or not row.rights.can_trade:
            raise Conflict("account_key_unfit", "The key may withdraw, or may not trade. Mend it and test it first.")
        self._set_status(tx, row, AccountStatus.ACTIVE, None, actor)
        return self._told(tx, user_id, account_id)

    def confirm_live(self, tx: Tx, user_id: UserId, account_id: AccountId, typed: str, *, actor: str) -> AccountRow:
        """Let an account trade real money, by the typed sentence. Raises InvalidInput or Conflict."""
        row = self.load(tx, user_id, account_id)
        if row.environment is not Environment.LIVE:
            raise Conflict("account_not_live", f"This is a {row.environment.value} account: no real money is involved.")
        if not is_sentence(typed, LIVE_SENTENCE, LIVE_SENTENCE_KO):
            raise InvalidInput("confirmation_wrong", f"Type exactly: {LIVE_SENTENCE}")
        store.update_account(tx, account_id, {"live_confirmed_at": self._clock.now()})
        self._record(tx, actor, "account.live_confirmed", account_id, user_id)
        return self._told(tx, user_id, account_id)

    def withdraw_live(self, tx: Tx, user_id: UserId, account_id: AccountId, *, actor: str) -> AccountRow:
        """Take the confirmation back (idempotent): no more entries with real money."""
        self.load(tx, user_id, account_id)
        store.update_account(tx, account_id, {"live_confirmed_at": None})
        self._record(tx, actor, "account.live_withdrawn", account_id, user_id)
        return self._told(tx, user_id, account_id)

    def remove_key(self, tx: Tx, user_id: UserId, account_id: AccountId, *, actor: str) -> AccountRow:
        """Delete an account's key. Raises Conflict while it is needed to close something."""
        row = self.load(tx, user_id, account_id)
        self._demand_no_business(tx, account_id)
        if store.delete_credential(tx, account_id):
            self._set_status(tx, row, AccountStatus.DISABLED, "no_key", actor)
            self._record(tx, actor, "credential.deleted", account_id, user_id)
        return self._told(tx, user_id, account_id)

    def delete(self, tx: Tx, user_id: UserId, account_id: AccountId, *, actor: str) -> None:
        """Delete an account: key and mandates go, orders and fills stay as history. Raises Conflict."""
        row = self.load(tx, user_id, account_id)
        self._demand_no_business(tx, account_id)
        store.delete_credential(tx, account_id)
        mandate_store.delete_mandates_of(tx, account_id)
        store.update_account(tx, account_id, {"status": AccountStatus.DELETED.value, "status_reason": "by_user"})
        self._record(tx, actor, "account.deleted", account_id, user_id)
        self._tell(tx, row, {"status": AccountStatus.DELETED.value, "rev": row.rev + 1})

    # --- for linking ---

    def insert(self, tx: Tx, row: AccountRow, *, actor: str) -> None:
        """Store a tested account."""
        store.insert_account(tx, row)
        details = {"venue": row.venue, "environment": row.environment.value, "rights": row.rights.source.value}
        self._record(tx, actor, "account.linked", row.id, row.user_id, details)

    def attach_key(
        self, tx: Tx, row: AccountRow, credential: CredentialRow, rights: Rights, *, actor: str
    ) -> AccountRow:
        """Store a tested key of an account in place of the one before; the account is active again."""
        store.delete_credential(tx, row.id)
        store.insert_credential(tx, credential)
        store.update_rights(tx, row.id, rights)
        values: dict[str, Any] = {
            "credential_version": credential.version,
            "last_ok_at": self._clock.now(),
            "credential_errors": 0,
            "status": AccountStatus.ACTIVE.value,
            "status_reason": None,
        }
        # A pause is the user's own; a new key does not end it.
        if row.status is AccountStatus.PAUSED:
            del values["status"], values["status_reason"]
        store.update_account(tx, row.id, values)
        details: dict[str, Detail] = {"key": credential.api_key_masked, "version": credential.version}
        self._record(tx, actor, "credential.stored", row.id, row.user_id, details)
        return self._told(tx, row.user_id, row.id)

    def owner_of_fingerprint(self, tx: Tx, fingerprint: str) -> UserId | None:
        """Say who has added this very key before, if anybody."""
        return store.owner_of_fingerprint(tx, fingerprint)

    def find_by_venue_user(
        self, tx: Tx, venue: VenueName, environment: Environment, venue_user_id: str
    ) -> AccountRow | None:
        """Find whose account the venue's own user id is."""
        return store.find_by_venue_user(tx, venue, environment, venue_user_id)

    def record_test(
        self, tx: Tx, row: AccountRow, rights: Rights, *, cause: KeyRefusal | None, actor: str
    ) -> AccountRow:
        """Record a test of a stored key; a key that has become unfit stops entries."""
        row = self.load(tx, row.user_id, row.id)
        store.update_rights(tx, row.id, rights)
        store.touch_account(tx, row.id, self._clock.now())
        details: dict[str, Detail] = {"cause": cause}
        self._record(tx, actor, "credential.tested", row.id, row.user_id, details)
        if cause is not None and row.status is AccountStatus.ACTIVE:
            self._set_status(tx, row, AccountStatus.PAUSED, cause.value, actor)
        return self._told(tx, row.user_id, row.id)

    # --- for the engine ---

    def load_many(self, tx: Tx, account_ids: Iterable[AccountId]) -> Mapping[AccountId, AccountRow]:
        """Load many accounts in one query; those that do not exist (any more) are missing."""
        return {row.id: row for row in store.accounts_with_ids(tx, sorted(set(account_ids)))}

    def list_all(self, tx: Tx) -> list[AccountRow]:
        """List every account of the installation."""
        return store.all_accounts(tx)

    def record_success(self, tx: Tx, account_id: AccountId) -> None:
        """Remember that the venue took the account's key; ends a row of credential errors (K7)."""
        store.touch_account(tx, account_id, self._clock.now())

    def record_credential_error(self, tx: Tx, account_id: AccountId) -> AccountRow | None:
        """Count a credential error; the fifth in a row disables the account (K7). None: it is gone.

        The caller leaves out what is ours: more than three accounts of a venue within a minute.
        """
        row = self.load_many(tx, [account_id]).get(account_id)
        if row is None:
            return None
        count = store.add_credential_error(tx, account_id)
        if count >= CREDENTIAL_ERRORS_MAX and row.status in (AccountStatus.ACTIVE, AccountStatus.PAUSED):
            self._set_status(tx, row, AccountStatus.DISABLED, "credential_errors", "engine")
            return self._told(tx, row.user_id, account_id)
        return self.load_many(tx, [account_id])[account_id]

    # ---

    def _demand_no_business(self, tx: Tx, account_id: AccountId) -> None:
        if self._has_open_business(tx, account_id):
            raise Conflict(
                "account_in_use",
                "The account has an open position or an order whose outcome is not known. Close it first: without "
                "its key nobody could.",
            )

    def _set_status(self, tx: Tx, row: AccountRow, status: AccountStatus, reason: str | None, actor: str) -> None:
        values: dict[str, Any] = {"status": status.value, "status_reason": reason}
        if status is AccountStatus.ACTIVE:
            values["credential_errors"] = 0
        store.update_account(tx, row.id, values)
        self._record(tx, actor, f"account.{status.value}", row.id, row.user_id, {"reason": reason})

    def _told(self, tx: Tx, user_id: UserId, account_id: AccountId) -> AccountRow:
        row = self.load(tx, user_id, account_id)
        data = {
            "rev": row.rev,
            "label": row.label,
            "status": row.status.value,
            "status_reason": row.status_reason,
            "has_credential": row.has_credential,
            "is_live_confirmed": row.live_confirmed_at is not None,
            "dry_run": row.dry_run,
        }
        self._tell(tx, row, data)
        return row

    def _tell(self, tx: Tx, row: AccountRow, data: Mapping[str, Any]) -> None:
        now = self._clock.now()
        payload = {"id": row.id, "at": now.isoformat(), "venue": row.venue, "environment": row.environment.value}
        outbox.append(tx, [Note(TOPIC, row.user_id, {**payload, **data})], now)

    def _record(
        self,
        tx: Tx,
        actor: str,
        action: str,
        account_id: AccountId,
        user_id: UserId,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        self._audit.append(tx, actor, action, f"account:{account_id}", details=details, user_id=user_id)


def stored_credentials(tx: Tx, account_ids: Iterable[AccountId]) -> Mapping[AccountId, StoredCredential]:
    """Read the sealed keys of these accounts in one query: the signer's `LoadCredentials`."""
    return store.stored_credentials(tx, list(account_ids))


def is_sentence(typed: str, *sentences: str) -> bool:
    """Say whether one of the sentences was typed; case, blanks and the full stop do not matter."""

    def plain(text: str) -> str:
        return " ".join(text.split()).rstrip(".!").casefold()

    return plain(typed) in {plain(sentence) for sentence in sentences}


def clean_label(text: str) -> str:
    """Return a label as it is stored. Raises InvalidInput."""
    label = " ".join(text.split())
    if not 1 <= len(label) <= 80 or not label.isprintable():
        raise InvalidInput("label_malformed", "A label has 1 to 80 visible characters.", fields={"label": "1 to 80"})
    return label


def _checked(changes: Changes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if changes.label is not None:
        values["label"] = clean_label(changes.label)
    if changes.dry_run is not None:
        values["dry_run"] = changes.dry_run
    if not isinstance(changes.quote_asset, Keep):
        values["quote_asset"] = changes.quote_asset
    for name in ("max_order_quote", "max_day_quote"):
        cap = getattr(changes, name)
        if isinstance(cap, Keep):
            continue
        if cap is not None and cap <= ZERO:
            raise InvalidInput(
                "cap_not_positive", "A cap must be above zero; leave it empty for none.", fields={name: ">0"}
            )
        values[name] = cap
    return values

"""An account, its credential and what may be shown of it, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from tradewind.core.ids import AccountId, UserId
from tradewind.core.instrument import Environment, VenueName
from tradewind.core.money import Asset
from tradewind.venues.base import PermissionSource


class AccountStatus(StrEnum):
    """Whether entries may be made. Exits and protection go on in every state but DELETED."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Rights:
    """What the account's key may do, and whether the venue itself said so."""

    source: PermissionSource
    can_read: bool
    can_trade: bool
    can_withdraw: bool


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One user's account at one venue in one environment; `rev` grows with every change.

    `credential_id` None: no usable key, so nothing can be signed. Caps are in the quote asset, None: none.
    """

    id: AccountId
    user_id: UserId
    venue: VenueName
    environment: Environment
    label: str
    venue_user_id: str
    status: AccountStatus
    status_reason: str | None
    rights: Rights
    last_ok_at: datetime | None
    credential_errors: int
    credential_version: int
    is_stand_in: bool
    quote_asset: Asset | None
    max_order_quote: Decimal | None
    max_day_quote: Decimal | None
    dry_run: bool
    live_confirmed_at: datetime | None
    created_at: datetime
    rev: int
    credential_id: str | None
    api_key_masked: str | None

    @property
    def has_credential(self) -> bool:
        return self.credential_id is not None

    @property
    def is_active(self) -> bool:
        return self.status is AccountStatus.ACTIVE

    @property
    def has_verified_trade_right(self) -> bool:
        """A key that may trade and, as far as anybody can say, not withdraw (G2)."""
        return self.has_credential and self.rights.can_trade and not self.rights.can_withdraw


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """An account's sealed key, with what may be shown of it."""

    id: str
    account_id: AccountId
    user_id: UserId
    version: int
    api_key_masked: str
    fingerprint: str
    sealed_key: bytes
    sealed_secret: bytes
    created_at: datetime

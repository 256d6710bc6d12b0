"""What requests and answers of this room look like. A mask is all that is ever shown of a key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tradewind.accounts.account import AccountRow, AccountStatus
from tradewind.accounts.service import KEEP, Changes
from tradewind.core.instrument import Environment
from tradewind.core.mandate import Mandate, RiskLevel
from tradewind.core.money import Asset, decimal, plain
from tradewind.venues.base import PermissionSource

Amount = Annotated[str, Field(min_length=1, max_length=40, examples=["25.50"])]
AssetName = Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}$", examples=["USDT"])]
Label = Annotated[str, Field(min_length=1, max_length=80)]


class Strict(BaseModel):
    """A body with these fields and no other; what was sent never gets into an error's text."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LinkBody(Strict):
    """A key to add. Key and secret are write-only."""

    venue: Annotated[str, Field(min_length=1, max_length=20, examples=["binance"])]
    environment: Environment = Environment.PAPER
    label: Label
    api_key: Annotated[SecretStr, Field(max_length=1_024)]
    api_secret: Annotated[SecretStr, Field(max_length=16_384)]
    confirmation: Annotated[str, Field(max_length=200)] = ""


class KeyBody(Strict):
    """A key to put in place of the one before."""

    api_key: Annotated[SecretStr, Field(max_length=1_024)]
    api_secret: Annotated[SecretStr, Field(max_length=16_384)]
    confirmation: Annotated[str, Field(max_length=200)] = ""


class AccountBody(Strict):
    """What to change of an account. A cap given as null is taken away; a field left out stays."""

    label: Label | None = None
    quote_asset: AssetName | None = None
    max_order_quote: Amount | None = None
    max_day_quote: Amount | None = None
    dry_run: bool | None = None

    def changes(self) -> Changes:
        """Tell fields left out from fields given as null. Raises InvalidInput for a number that is none."""
        given = self.model_fields_set
        return Changes(
            label=self.label,
            quote_asset=_asset(self.quote_asset) if "quote_asset" in given else KEEP,
            max_order_quote=_amount(self.max_order_quote) if "max_order_quote" in given else KEEP,
            max_day_quote=_amount(self.max_day_quote) if "max_day_quote" in given else KEEP,
            dry_run=self.dry_run,
        )


class SentenceBody(Strict):
    """A sentence typed by a person."""

    typed: Annotated[str, Field(max_length=200)]


class TermsBody(Strict):
    """Terms of a mandate; a field left out stays, or takes its default."""

    is_enabled: bool | None = None
    risk: RiskLevel | None = None
    budget_quote: Amount | None = None
    max_open_positions: Annotated[int, Field(ge=1, le=1_000)] | None = None
    stop_bps: Annotated[int, Field(ge=1, le=9_999)] | None = None
    target_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    min_stop_bps: Annotated[int, Field(ge=1, le=9_999)] | None = None
    max_stop_bps: Annotated[int, Field(ge=1, le=9_999)] | None = None
    min_target_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_target_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    trailing_bps: Annotated[int, Field(ge=1, le=9_999)] | None = None
    time_exit_s: Annotated[int, Field(ge=1, le=366 * 86_400)] | None = None
    follows_source_size: bool | None = None
    quote_preference: AssetName | None = None
    allows_adding: bool | None = None
    is_preferred: bool | None = Field(
        default=None, description="of your accounts that follow this source, only preferred ones trade its entries"
    )
    trades_beside_preferred: bool | None = Field(
        default=None, description="trade entries with this account even where another one is preferred"
    )

    def terms(self) -> Mapping[str, Any]:
        """Return the terms that were given; null takes away what may be missing, else it counts as left out."""
        given: dict[str, Any] = {
            name: getattr(self, name) for name in TermsBody.model_fields if name in self.model_fields_set
        }
        if given.get("budget_quote") is not None:
            given["budget_quote"] = decimal(given["budget_quote"])
        return {name: value for name, value in given.items() if value is not None or name in _MAY_BE_MISSING}


_MAY_BE_MISSING = frozenset({"budget_quote", "trailing_bps", "time_exit_s", "quote_preference"})


class MandateBody(TermsBody):
    """A mandate to give."""

    account_id: Annotated[str, Field(max_length=36)]
    source_id: Annotated[str, Field(max_length=36)]


class RightsOut(BaseModel):
    """What the key may do. `source` unverified: the venue cannot say, the user has confirmed."""

    source: PermissionSource
    can_read: bool
    can_trade: bool
    can_withdraw: bool


class AccountOut(BaseModel):
    """An account as its user sees it."""

    id: str
    venue: str
    environment: Environment
    label: str
    status: AccountStatus
    status_reason: str | None
    has_credential: bool
    credential_id: str | None
    api_key_masked: str | None
    rights: RightsOut
    last_ok_at: datetime | None
    credential_errors: int
    is_stand_in: bool
    quote_asset: str | None
    max_order_quote: str | None
    max_day_quote: str | None
    dry_run: bool
    live_confirmed_at: datetime | None
    created_at: datetime
    rev: int


class CredentialOut(BaseModel):
    """An exchange key as its user sees it: a mask, and what it may do."""

    id: str
    account_id: str
    venue: str
    environment: Environment
    label: str
    api_key_masked: str
    rights: RightsOut
    last_ok_at: datetime | None
    created_at: datetime | None
    status: AccountStatus


class LinkedOut(BaseModel):
    """A linked account, and what looked unusual about its key."""

    account: AccountOut
    warnings: list[str]


class MandateOut(BaseModel):
    """A mandate; distances in hundredths of a percent, amounts as text."""

    id: str
    account_id: str
    source_id: str
    is_enabled: bool
    risk: RiskLevel
    budget_quote: str | None
    max_open_positions: int
    stop_bps: int
    target_bps: int
    min_stop_bps: int
    max_stop_bps: int
    min_target_bps: int
    max_target_bps: int
    trailing_bps: int | None
    time_exit_s: int | None
    follows_source_size: bool
    quote_preference: str | None
    allows_adding: bool
    is_preferred: bool
    trades_beside_preferred: bool


class RequirementsOut(BaseModel):
    """What to do at the venue before adding a key."""

    addresses: list[str]
    unverified_sentence: dict[str, str]
    live_sentence: dict[str, str]


class AccountsOut(BaseModel):
    """A user's accounts."""

    items: list[AccountOut]


class CredentialsOut(BaseModel):
    """A user's exchange keys."""

    items: list[CredentialOut]


class MandatesOut(BaseModel):
    """A user's mandates."""

    items: list[MandateOut]


def account_out(row: AccountRow) -> AccountOut:
    """Show an account."""
    return AccountOut(
        id=row.id,
        venue=row.venue,
        environment=row.environment,
        label=row.label,
        status=row.status,
        status_reason=row.status_reason,
        has_credential=row.has_credential,
        credential_id=row.credential_id,
        api_key_masked=row.api_key_masked,
        rights=_rights_out(row),
        last_ok_at=row.last_ok_at,
        credential_errors=row.credential_errors,
        is_stand_in=row.is_stand_in,
        quote_asset=row.quote_asset,
        max_order_quote=_text(row.max_order_quote),
        max_day_quote=_text(row.max_day_quote),
        dry_run=row.dry_run,
        live_confirmed_at=row.live_confirmed_at,
        created_at=row.created_at,
        rev=row.rev,
    )


def credential_out(row: AccountRow, created_at: datetime | None) -> CredentialOut:
    """Show an account's key; the account must have one."""
    assert row.credential_id is not None
    assert row.api_key_masked is not None
    return CredentialOut(
        id=row.credential_id,
        account_id=row.id,
        venue=row.venue,
        environment=row.environment,
        label=row.label,
        api_key_masked=row.api_key_masked,
        rights=_rights_out(row),
        last_ok_at=row.last_ok_at,
        created_at=created_at,
        status=row.status,
    )


def mandate_out(mandate: Mandate) -> MandateOut:
    """Show a mandate."""
    fields = {name: getattr(mandate, name) for name in MandateOut.model_fields}
    return MandateOut(**{**fields, "budget_quote": _text(mandate.budget_quote)})


def _rights_out(row: AccountRow) -> RightsOut:
    rights = row.rights
    return RightsOut(
        source=rights.source,
        can_read=rights.can_read,
        can_trade=rights.can_trade,
        can_withdraw=rights.can_withdraw,
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else decimal(text)


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _asset(text: str | None) -> Asset | None:
    return None if text is None else Asset(text)

"""Accounts and keys on the wire, pure (rest-api.md "Account information", wallet docs "Get API Key Permission").

Rules of this file: `canTrade` and `canWithdraw` of an account are not rights of a key; only apiRestrictions
names those, and a right that is missing from its answer counts as given where it would be dangerous.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from tradewind.core.money import Asset
from tradewind.venues.base import AccountSnapshot, AssetBalance, Permissions, PermissionSource
from tradewind.venues.binance.codec import WireCall, moment, number, read

# A list of several thousand zero balances helps nobody.
ACCOUNT_CALL = WireCall("GET", "/api/v3/account", "omitZeroBalances=true", 20)
PERMISSIONS_CALL = WireCall("GET", "/sapi/v1/account/apiRestrictions", "", 1)


class _Balance(msgspec.Struct):
    asset: str
    free: str
    locked: str


class _Account(msgspec.Struct, rename="camel"):
    uid: int
    can_trade: bool
    balances: list[_Balance]


class _Restrictions(msgspec.Struct, rename="camel"):
    enable_reading: bool
    enable_spot_and_margin_trading: bool
    enable_withdrawals: bool = True
    enable_internal_transfer: bool = True
    permits_universal_transfer: bool = True
    ip_restrict: bool | None = None
    trading_authority_expiration_time: int | None = None


def read_account(body: bytes, at: datetime) -> AccountSnapshot:
    """Read balances and the venue's user id; `at` is receipt. Raises NotUnderstood."""
    found = read(body, _Account)
    balances = tuple(
        AssetBalance(Asset(row.asset), number(row.free), number(row.locked)) for row in found.balances if row.asset
    )
    return AccountSnapshot(str(found.uid), balances, found.can_trade, at)


def read_permissions(body: bytes) -> Permissions:
    """Read the rights of a key as the venue states them. Raises NotUnderstood."""
    found = read(body, _Restrictions)
    expires_ms = found.trading_authority_expiration_time
    return Permissions(
        can_read=found.enable_reading,
        can_trade=found.enable_spot_and_margin_trading,
        can_withdraw=found.enable_withdrawals or found.enable_internal_transfer or found.permits_universal_transfer,
        source=PermissionSource.VERIFIED,
        is_ip_restricted=found.ip_restrict,
        expires_at=moment(expires_ms) if expires_ms else None,
    )

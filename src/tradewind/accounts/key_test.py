"""Testing an exchange key at its venue before it is stored (K2, K3).

Asked in this order: the account (does key, secret, address and clock work at all), the key's rights, a
test order where the venue has one. The first "no" ends the test with its own cause. A refused test order
proves the right to trade: the venue looks at the right before it looks at the order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tradewind.accounts.account import Rights
from tradewind.accounts.refusals import (
    UNVERIFIED_SENTENCE,
    UNVERIFIED_SENTENCE_KO,
    KeyRefusal,
    cause_of,
    refusal_error,
)
from tradewind.core.errors import NotFound, TradewindError
from tradewind.core.ids import ClientOrderId, OrderId
from tradewind.core.instrument import Environment, Instrument, VenueName
from tradewind.core.money import Money
from tradewind.core.order import OrderType, Side
from tradewind.venues.base import AccountSnapshot, Permissions, PermissionSource, PlaceOrder, Signer, VenueClient
from tradewind.venues.errors import CredentialRefused, OrderRefused, VenueError

# The adapter gives each call 5 s and repeats reads; a person waits no longer than this.
_TEST_SECONDS_MAX = 20.0
_PROBE_SECONDS_MAX = 5.0
# Well above every venue's minimum, so that the order's size is no reason to refuse it.
_TEST_SPEND = Decimal(20)

ClientOf = Callable[[VenueName, Environment], VenueClient]
# Makes a signer for the same key in another environment; None where there is nothing to probe with.
SignerIn = Callable[[Environment], Signer]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test found out, and what speaks against the key (None: nothing)."""

    snapshot: AccountSnapshot
    rights: Rights
    cause: KeyRefusal | None


class KeyTest:
    """Tests keys at venues; `addresses` are this server's own, for the venue's IP list."""

    def __init__(self, client_of: ClientOf, addresses: Sequence[str] = ()) -> None:
        self._client_of = client_of
        self._addresses = tuple(addresses)

    async def run(self, venue: VenueName, environment: Environment, signer_in: SignerIn, *, language: str) -> Finding:
        """Test a key. Raises the TradewindError of the first cause against it; never quotes the key."""
        finding = await self.examine(venue, environment, signer_in, language=language)
        if finding.cause is not None:
            raise self.refusal(finding.cause, venue, language)
        return finding

    async def examine(
        self, venue: VenueName, environment: Environment, signer_in: SignerIn, *, language: str
    ) -> Finding:
        """Find out what a key may do, whatever speaks against it. Raises where the key does not work at all."""
        client = self._client_of(venue, environment)
        try:
            # In here, because a stored key that does not open is an answer and no mistake.
            signer = signer_in(environment)
            async with asyncio.timeout(_TEST_SECONDS_MAX):
                return await _examined(client, signer)
        except VenueError as error:
            cause = cause_of(error)
        except TimeoutError:
            cause = KeyRefusal.UNREACHABLE
        other = None
        if cause in (KeyRefusal.KEY_REFUSED, KeyRefusal.KEY_WRONG):
            other = await self._other_environment(venue, environment, signer_in)
        if other is not None:
            values = {"other": other.value, "environment": environment.value}
            raise refusal_error(KeyRefusal.WRONG_ENVIRONMENT, language, values)
        raise self.refusal(cause, venue, language)

    def refusal(self, cause: KeyRefusal, venue: VenueName, language: str) -> TradewindError:
        """Build the error of a cause at a venue."""
        addresses = f" ({', '.join(self._addresses)})" if self._addresses else ""
        sentence = UNVERIFIED_SENTENCE_KO if language == "ko" else UNVERIFIED_SENTENCE
        values = {"venue": _shown(venue), "addresses": addresses, "sentence": sentence}
        return refusal_error(cause, language, values)

    async def _other_environment(
        self, venue: VenueName, environment: Environment, signer_in: SignerIn
    ) -> Environment | None:
        """Find the environment in which a refused key works; only those that are set up here are asked."""
        for other in Environment:
            if other is environment:
                continue
            try:
                client = self._client_of(venue, other)
                async with asyncio.timeout(_PROBE_SECONDS_MAX):
                    await client.account(signer_in(other))
            except (NotFound, VenueError, TimeoutError):
                continue
            return other
        return None


def is_verified(rights: Rights) -> bool:
    """Say whether the venue itself named the key's rights."""
    return rights.source is PermissionSource.VERIFIED


async def _examined(client: VenueClient, signer: Signer) -> Finding:
    snapshot = await client.account(signer)
    permissions = await client.permissions(signer)
    cause = _cause_against(permissions, snapshot)
    can_trade = permissions.can_trade
    if cause is None and client.capabilities.has_test_order and not await _passes_test_order(client, signer):
        cause, can_trade = KeyRefusal.CANNOT_TRADE, False
    rights = Rights(permissions.source, permissions.can_read, can_trade, permissions.can_withdraw)
    return Finding(snapshot, rights, cause)


def _cause_against(permissions: Permissions, snapshot: AccountSnapshot) -> KeyRefusal | None:
    # Withdrawal first: it is the one that must not be overlooked for another.
    if permissions.can_withdraw:
        return KeyRefusal.CAN_WITHDRAW
    if not permissions.can_read:
        return KeyRefusal.CANNOT_READ
    if not permissions.can_trade:
        return KeyRefusal.CANNOT_TRADE
    if not snapshot.can_trade:
        return KeyRefusal.ACCOUNT_CANNOT_TRADE
    return None


async def _passes_test_order(client: VenueClient, signer: Signer) -> bool:
    instrument = _test_instrument(await client.instruments(), client)
    if instrument is None:
        return True
    try:
        await client.test_order(signer, _test_order(instrument))
    except CredentialRefused:
        return False
    except OrderRefused as error:
        return error.code != "account_disabled"
    return True


def _test_instrument(instruments: Sequence[Instrument], client: VenueClient) -> Instrument | None:
    usable = [each for each in instruments if each.is_trading and each.has_market_by_quote]
    main = [each for each in usable if each.quote == client.capabilities.main_quote]
    # Bitcoin's market is the one that is open everywhere; else whatever comes first by name.
    return min(main or usable, key=lambda each: (each.base != "BTC", each.symbol), default=None)


def _test_order(instrument: Instrument) -> PlaceOrder:
    spend = max(_TEST_SPEND, instrument.min_notional * 2)
    return PlaceOrder(
        # Placed nowhere and journalled nowhere, so its ids need not be unique.
        order_id=OrderId("key-test"),
        instrument=instrument,
        client_order_id=ClientOrderId("key-test"),
        side=Side.BUY,
        type=OrderType.MARKET,
        spend=Money(spend, instrument.quote),
    )


def _shown(venue: VenueName) -> str:
    return venue.replace("_", " ").title()

"""The rights of a key: as the venue states them, else as far as an order that is never placed shows them.

Where Binance serves no /sapi (testnet, demo) nothing names the rights of a key. `order/test` shows the trade right
(binance.md 5.3); the right to withdraw cannot be seen, so the answer is marked UNVERIFIED.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

from tradewind.core.ids import ClientOrderId, OrderId
from tradewind.core.instrument import Instrument
from tradewind.core.money import Asset, Money
from tradewind.core.order import OrderType, Side
from tradewind.venues.base import Permissions, PermissionSource, PlaceOrder, Signer
from tradewind.venues.binance.codec_account import PERMISSIONS_CALL, read_permissions
from tradewind.venues.binance.rest import Rest
from tradewind.venues.errors import CredentialRefused, OrderRefused, VenueDown


async def stated_permissions(rest: Rest, signer: Signer) -> Permissions:
    """Ask the venue what the key may do. Raises CredentialRefused, VenueDown."""
    return await rest.read(PERMISSIONS_CALL, lambda reply: read_permissions(reply.body), signer=signer)


def probed_permissions(*, can_trade: bool) -> Permissions:
    """What can be said of a key that could read the account, where the venue names no rights."""
    return Permissions(can_read=True, can_trade=can_trade, can_withdraw=False, source=PermissionSource.UNVERIFIED)


async def may_trade(validate: Callable[[], Awaitable[None]]) -> bool:
    """Say whether an order may be placed; no answer raises VenueDown, so that no right is guessed."""
    try:
        await validate()
    except CredentialRefused:
        return False
    except OrderRefused:
        return True  # The rights are looked at before the order is.
    return True


def probe_order(listed: Sequence[Instrument], main_quote: Asset) -> PlaceOrder:
    """A small market buy to have validated. Raises VenueDown where nothing is listed."""
    tradable = [each for each in listed if each.is_trading and each.has_market_by_quote]
    if not tradable:
        raise VenueDown("no_instruments", "The venue lists nothing to probe the key with.")
    instrument = next((each for each in tradable if each.quote == main_quote), tradable[0])
    return PlaceOrder(
        order_id=OrderId("probe"),
        instrument=instrument,
        client_order_id=ClientOrderId("probe"),
        side=Side.BUY,
        type=OrderType.MARKET,
        spend=Money(max(instrument.min_notional * 2, Decimal(1)), instrument.quote),
    )

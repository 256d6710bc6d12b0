"""Session calls of the WebSocket API: log on, and who is heard on this connection.

`session.logon` takes Ed25519 keys only; `userDataStream.subscribe.signature` takes any key and is the way
user data is heard since listenKeys ended on 2026-02-20 (web-socket-api.md, 2026-07-21).
"""

from __future__ import annotations

from tradewind.sim import binance_errors as errors
from tradewind.sim.binance_call import Request, Session
from tradewind.sim.binance_errors import VenueError, rejected_key
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.keys import KeyKind


def logon(_spot: BinanceSpot, request: Request) -> Json:
    """Remember the key for later calls of this connection."""
    key = request.key
    assert key is not None, "a signed call has a key"
    if key.kind is not KeyKind.ED25519:
        raise VenueError(errors.UNSUPPORTED_OPERATION, "Only Ed25519 keys are supported for session authentication.")
    return _session(request).log_on(key)


def status(_spot: BinanceSpot, request: Request) -> Json:
    """Tell who is logged on."""
    return _session(request).session_status()


def logout(_spot: BinanceSpot, request: Request) -> Json:
    """Forget the key."""
    return _session(request).log_out()


def subscriptions(_spot: BinanceSpot, request: Request) -> list[Json]:
    """List the accounts heard on this connection."""
    return _session(request).subscriptions()


def subscribe(_spot: BinanceSpot, request: Request) -> Json:
    """Hear the account that is logged on."""
    if request.key is None:
        raise rejected_key()
    return {"subscriptionId": _session(request).subscribe(request.key.uid)}


def subscribe_signed(_spot: BinanceSpot, request: Request) -> Json:
    """Hear the account that signed."""
    return {"subscriptionId": _session(request).subscribe(request.uid)}


def unsubscribe(_spot: BinanceSpot, request: Request) -> Json:
    """Stop hearing one account or all."""
    _session(request).unsubscribe(request.params.integer("subscriptionId"))
    return {}


def _session(request: Request) -> Session:
    assert request.session is not None, "these calls exist on the WebSocket API only"
    return request.session

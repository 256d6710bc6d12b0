"""The referee's views: accounts, requests, orders and fills, in pages."""

from __future__ import annotations

from tradewind.sim import binance_shapes as shapes
from tradewind.sim.binance_shapes import Json
from tradewind.sim.binance_spot import BinanceSpot


def account_view(spot: BinanceSpot, uid: int) -> Json:
    """Show an account: balances, open orders, keys by their first characters, counters."""
    exchange = spot.exchange
    ten_seconds, day = spot.orders.counts(uid, spot.now_ms())
    return {
        "uid": uid,
        "balances": {
            asset: {"free": shapes.number(balance.free), "locked": shapes.number(balance.locked)}
            for asset, balance in sorted(exchange.balances(uid).items())
        },
        "open_orders": [shapes.queried(order) for order in exchange.open_orders(uid)],
        "keys": [key.api_key[:8] for key in spot.keys.of_uid(uid)],
        "subscriptions": spot.users.count(uid),
        "orders_10s": ten_seconds,
        "orders_1d": day,
    }


def order_page(spot: BinanceSpot, uid: int, after: int, limit: int) -> Json:
    """Show every order of an account with its fills, by order id."""
    exchange = spot.exchange
    orders = sorted(
        (order for symbol in exchange.symbols() for order in exchange.all_orders(uid, symbol)),
        key=lambda order: order.order_id,
    )
    page = [order for order in orders if order.order_id > after][:limit]
    rows = [
        {
            **shapes.queried(order),
            "origClientOrderId": order.orig_client_order_id or order.client_order_id,
            "fills": [shapes.traded(fill) for fill in exchange.fills_of(order.order_id)],
        }
        for order in page
    ]
    return {"orders": rows, "next_after": page[-1].order_id if len(page) == limit else None}


def request_page(spot: BinanceSpot, after: int, limit: int, uid: int | None) -> Json:
    """Show every request received and what became of it."""
    rows = spot.requests.page(after, limit, uid)
    return {
        "requests": [row.as_json() for row in rows],
        "next_after": rows[-1].sequence if len(rows) == limit else None,
    }


def event_page(spot: BinanceSpot, after: int, limit: int, uid: int | None) -> Json:
    """Show every order step, fill and transfer the exchange has written down."""
    entries = spot.exchange.read_log(after, limit, uid=uid)
    return {
        "events": [{"seq": logged.seq, **logged.entry._asdict()} for logged in entries],
        "next_after": entries[-1].seq if len(entries) == limit else None,
    }

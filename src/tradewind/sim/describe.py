"""What a simulated venue says about itself: what is recorded, what is modelled, what can go wrong."""

from __future__ import annotations

from tradewind.sim.binance_spot import BinanceSpot
from tradewind.sim.faults import FAULT_TEXT


def describe(spot: BinanceSpot) -> str:
    """Give the whole text of `sim --describe` and GET /sim/v1/describe."""
    return "\n".join(
        [
            "SIMULATED BINANCE SPOT (play money; nothing here reaches an exchange)",
            f"profile {spot.settings.profile.value}: "
            + ("/api and /sapi" if spot.settings.profile.has_sapi else "/api only, no /sapi"),
            "",
            spot.player.describe(),
            "  taker side       MODELLED: the tape does not record it; a higher print counts as bought",
            "  history          candles, tickers and trades are counted from the start of this process",
            "",
            spot.book_model.describe(),
            "",
            _rules(spot),
            "",
            _limits(spot),
            "",
            "FAULTS (POST /sim/v1/faults; scope uid, api_key, client_id_prefix, symbol, calls; times; probability)",
            *(f"  {kind.value:<18} {text}" for kind, text in FAULT_TEXT.items()),
        ]
    )


def _rules(spot: BinanceSpot) -> str:
    settings = spot.settings
    return "\n".join(
        [
            "EXCHANGE",
            f"  symbols          {len(spot.exchange.symbols())}; filters are a model by price, see exchangeInfo",
            f"  commission       {settings.maker_bps} bps maker, {settings.taker_bps} bps taker, in what is received",
            "  client ids       unique among open orders of one account and symbol, free again once closed",
            "  order types      LIMIT, LIMIT_MAKER, MARKET, STOP_LOSS(_LIMIT), TAKE_PROFIT(_LIMIT), OCO",
            "  not offered      OTO, OTOCO, OPO lists, smart order routing, pegged orders, margin",
            f"  durable state    {settings.store if settings.store is not None else 'none, in memory only'}",
        ]
    )


def _limits(spot: BinanceSpot) -> str:
    limits, settings = spot.limits, spot.settings
    return "\n".join(
        [
            "LIMITS",
            f"  weight           {limits.weight_per_minute} a minute and address, then 429",
            f"  bans             418 for {limits.ban_s} s after {limits.calls_before_ban} more calls",
            f"  orders           {limits.orders_per_10s} in 10 s and {limits.orders_per_day} a day per account",
            f"  sockets          ping every {settings.ping_every_s:g} s, pong within {settings.pong_within_s:g} s",
            f"  connections      {settings.connection_lifetime_s:g} s at most; streams take 5 messages a second",
            f"  processing       -1007 after {settings.processing_timeout_ms} ms",
        ]
    )

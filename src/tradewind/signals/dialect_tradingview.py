"""TradingView's JSON: our native message, the flat and nested templates in use, and the fields of a text command.

Stop and targets may be prices or percentages; a size is base quantity, quote amount or percent. A close reads
only what it needs: nothing wrong in a field it does not use may hold up an exit. Dated: signals reference
1.2-1.5, 2026-11-20.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tradewind.core.errors import InvalidInput
from tradewind.core.money import Price
from tradewind.core.signal import Action, DraftSignal, SizeKind
from tradewind.core.symbols import SymbolRef, parse_symbol
from tradewind.signals.fields import (
    Field,
    Fields,
    is_percent,
    read_number,
    read_percent,
    read_price,
    read_text,
    read_time,
)
from tradewind.signals.intent import read_action
from tradewind.signals.refusal import refused

SYMBOL_NAMES = ("ticker", "symbol", "pair", "instrument", "tickerid", "market")
_EXCHANGE_NAMES = ("exchange", "tv_exchange")
_PRICE_NAMES = ("price", "entry_price", "order_price", "strategy_order_price", "close", "bar_close", "entry", "last")
_STOP_NAMES = ("stop", "sl", "stop_loss", "stoploss", "stop_price", "stop_loss_price", "sl_price")
_STOP_PERCENT_NAMES = ("stop_percent", "sl_percent", "stop_loss_percent", "sl_pct", "stop_pct", "stop_loss_pct")
_TARGET_NAMES = ("tp", "take_profit", "takeprofit", "target", "take_profit_price", "tp_price", "target_price")
_TARGETS_NAMES = ("targets", "take_profits", "tps")
_TARGET_PERCENT_NAMES = ("tp_percent", "take_profit_percent", "target_percent", "tp_pct", "target_pct")
_NUMBERED_TARGETS = tuple(f"{name}{n}" for n in range(1, 10) for name in ("tp", "tp_", "target", "target_"))
_BASE_SIZE_NAMES = ("qty", "quantity", "size", "contracts", "order_contracts", "strategy_order_contracts", "q")
_QUOTE_SIZE_NAMES = ("quote_amount", "quote_qty", "quote_quantity", "cost", "quote_size")
_PERCENT_SIZE_NAMES = ("percent", "qty_percent", "quantity_percent", "size_percent", "pct", "balance_percent")
_ID_NAMES = ("id", "alert_id", "signal_id", "dedupe_key", "uid")
_SENT_NAMES = ("sent_at", "timenow", "time_now", "alert_time", "fired_at")
# May hold the bar's opening time ({{time}}) instead of the alert's.
_LOOSE_TIME_NAMES = ("timestamp", "time")
_INTERVAL_NAMES = ("interval", "timeframe", "tf", "resolution")
_STRATEGY_NAMES = ("strategy", "strategy_name", "bot", "bot_name", "strategy_id", "name")

_EXCHANGE_FORM = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,19}", re.ASCII)
_TARGETS_MAX = 10
_SENDER_ID_CHARS_MAX = 150
_STRATEGY_CHARS_MAX = 120
_UNIT_SECONDS = {"S": 1, "D": 86_400, "W": 604_800, "M": 31 * 86_400, "H": 3_600}


def read_draft(body: dict[str, Any], received_at: datetime) -> DraftSignal:
    """Read an alert's fields. Raises InvalidInput that names the field and says what to send."""
    fields = Fields(body)
    action = read_action(fields)
    ref, symbol_text = _symbol(fields)
    if action is Action.CLOSE:
        return DraftSignal(
            action=action,
            base=ref.base,
            quote=ref.quote,
            exchange=ref.exchange,
            symbol_text=symbol_text,
            price=_lenient(lambda: _price(fields)),
            alert_at=_lenient(lambda: _alert_time(fields, received_at)),
            strategy=_lenient(lambda: _strategy(fields)),
        )
    return _entry(fields, ref, symbol_text, received_at)


def read_sender_id(body: dict[str, Any], action: Action) -> str | None:
    """Read the sender's own id of the alert; None if it carries none.

    Raises InvalidInput for one that cannot be used. On a close that is as good as none: a constant such as an
    unfilled placeholder must not make the next close look like a repeat.
    """
    field = Fields(body).first(_ID_NAMES)
    if field is None:
        return None
    try:
        return read_text(field, _SENDER_ID_CHARS_MAX)
    except InvalidInput:
        if action is Action.CLOSE:
            return None
        raise


def _entry(fields: Fields, ref: SymbolRef, symbol_text: str, received_at: datetime) -> DraftSignal:
    price = _price(fields)
    stop, stop_bps = _stop(fields)
    targets, target_bps = _targets(fields)
    size, size_kind = _size(fields)
    _demand_order(price, stop, targets)
    return DraftSignal(
        action=Action.OPEN,
        base=ref.base,
        quote=ref.quote,
        exchange=ref.exchange,
        symbol_text=symbol_text,
        price=price,
        stop=stop,
        stop_bps=stop_bps,
        targets=targets,
        target_bps=target_bps,
        size=size,
        size_kind=size_kind,
        alert_at=_alert_time(fields, received_at),
        strategy=_strategy(fields),
    )


def _lenient(read: Any) -> Any:
    try:
        return read()
    except InvalidInput:
        return None


def _symbol(fields: Fields) -> tuple[SymbolRef, str]:
    field = fields.first(SYMBOL_NAMES)
    text = None if field is None else read_text(field, 80)
    if text is None:
        raise refused("symbol_missing", 'The alert names no symbol. Add "ticker": "{{ticker}}" to the message.')
    exchange_field = fields.first(_EXCHANGE_NAMES)
    exchange = None if exchange_field is None else read_text(exchange_field, 40)
    if exchange_field is None or exchange is None or ":" in text:
        return parse_symbol(text), text
    if not _EXCHANGE_FORM.fullmatch(exchange):
        raise refused(
            "bad_exchange",
            f"The field {exchange_field.written!r} is not an exchange: {ascii(exchange)[:60]}. "
            "Send {{exchange}}, or leave it out.",
        )
    return parse_symbol(f"{exchange}:{text}"), f"{exchange}:{text}"


def _price(fields: Fields) -> Price | None:
    field = fields.first(_PRICE_NAMES)
    return None if field is None else read_price(field)


def _stop(fields: Fields) -> tuple[Price | None, int | None]:
    field, percent = fields.find(_STOP_NAMES), fields.find(_STOP_PERCENT_NAMES)
    if field is not None and percent is not None:
        raise refused(
            "ambiguous_field", f"{field.written!r} and {percent.written!r} both name a stop. Send one of them."
        )
    if field is not None and is_percent(field.value):
        field, percent = None, field
    return None if field is None else read_price(field), None if percent is None else _bps(percent)


def _targets(fields: Fields) -> tuple[tuple[Price, ...], int | None]:
    listed = fields.find(_TARGETS_NAMES) or fields.find(_TARGET_NAMES)
    percent = fields.find(_TARGET_PERCENT_NAMES)
    if listed is not None and is_percent(listed.value):
        listed, percent = None, listed
    items = [] if listed is None else _items(listed)
    items += [field for name in _NUMBERED_TARGETS if (field := fields.first((name,))) is not None]
    if items and percent is not None:
        raise refused(
            "ambiguous_field", f"{items[0].written!r} and {percent.written!r} both name a target. Send one of them."
        )
    if len(items) > _TARGETS_MAX:
        raise refused("too_many_targets", f"The alert names {len(items)} targets; at most {_TARGETS_MAX} are read.")
    # Nearest first, which on the long side is cheapest first.
    prices = tuple(sorted({read_price(item) for item in items}))
    return prices, None if percent is None else _bps(percent)


def _items(field: Field) -> list[Field]:
    if not isinstance(field.value, list):
        return [field]
    items: list[Field] = []
    for index, value in enumerate(field.value):
        written = f"{field.written}[{index}]"
        if isinstance(value, dict) and "price" not in value:
            raise refused("bad_target", f"The target {written!r} has no price.")
        items.append(Field(written, value["price"] if isinstance(value, dict) else value))
    return items


def _bps(field: Field) -> int:
    """Read a percentage as whole hundredths of a percent, rounded towards zero."""
    bps = int(read_percent(field) * 100)
    if bps <= 0:
        raise refused("percent_out_of_range", f"The field {field.written!r} must be at least 0.01 %.")
    return bps


def _size(fields: Fields) -> tuple[Decimal | None, SizeKind | None]:
    base, quote = fields.find(_BASE_SIZE_NAMES), fields.find(_QUOTE_SIZE_NAMES)
    percent = fields.find(_PERCENT_SIZE_NAMES)
    if base is not None and is_percent(base.value):
        if percent is not None:
            raise refused(
                "ambiguous_field", f"{base.written!r} and {percent.written!r} both name a size. Send one of them."
            )
        base, percent = None, base
    named = [field for field in (base, quote, percent) if field is not None]
    if len(named) > 1:
        raise refused(
            "ambiguous_field",
            f"{named[0].written!r} and {named[1].written!r} both name a size. Send one of them.",
        )
    if percent is not None:
        return read_percent(percent), SizeKind.PERCENT
    if quote is not None:
        return read_number(quote), SizeKind.QUOTE
    return (None, None) if base is None else (read_number(base), SizeKind.BASE)


def _demand_order(price: Price | None, stop: Price | None, targets: tuple[Price, ...]) -> None:
    """A long's stop lies below and its targets above; anything else is a mix-up, often a short's levels."""
    lowest = targets[0] if targets else None
    if stop is not None and price is not None and stop >= price:
        raise refused("stop_above_price", f"The stop {stop} is not below the price {price}; a long needs it below.")
    if lowest is not None and price is not None and lowest <= price:
        raise refused(
            "target_below_price", f"The target {lowest} is not above the price {price}; a long needs it above."
        )
    if stop is not None and lowest is not None and stop >= lowest:
        raise refused("stop_above_target", f"The stop {stop} is not below the target {lowest}.")


def _alert_time(fields: Fields, received_at: datetime) -> datetime | None:
    """When the alert was sent, by its own word; None where it does not say.

    `time` may be the bar's opening time. Beside an interval and on a whole minute it is taken as that: the
    alert was then sent at the bar's end at the latest, so the end is its time once it has passed.
    """
    field = fields.first(_SENT_NAMES)
    if field is not None:
        return read_time(field)
    field = fields.first(_LOOSE_TIME_NAMES)
    moment = None if field is None else read_time(field)
    interval = _interval(fields)
    if moment is None or interval is None or moment.second or moment.microsecond:
        return moment
    bar_end = moment + interval
    return bar_end if bar_end <= received_at else None


def _interval(fields: Fields) -> timedelta | None:
    """Read TradingView's interval: minutes as a number, else a count and S, D, W or M."""
    field = fields.first(_INTERVAL_NAMES)
    match = None if field is None else re.fullmatch(r"(\d{0,4})([A-Z]?)", str(field.value).strip().upper(), re.ASCII)
    if match is None or not match.group():
        return None
    count = int(match[1] or 1)
    return timedelta(seconds=count * _UNIT_SECONDS.get(match[2], 60))


def _strategy(fields: Fields) -> str | None:
    field = fields.first(_STRATEGY_NAMES)
    if field is None or isinstance(field.value, list):
        return None
    # A name is for people only: an odd one is left out, never a reason to refuse.
    text: str | None = _lenient(lambda: read_text(field, 1_000))
    return None if text is None else text[:_STRATEGY_CHARS_MAX]

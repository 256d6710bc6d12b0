"""What an alert wants on a spot account: open, close, or nothing that spot can do.

A strategy's `buy` may open a long or cover a short, its `sell` may close a long or open a short: the word alone
does not say. Where the alert carries the position before and after, those decide (signals reference 1.2).

    word   before  after   means
    buy    flat    long    open              buy   short   long    open (the long half of a reversal)
    buy    long    long    open (adding; each mandate says whether it follows)
    buy    -       flat    refused: covers a short
    sell   long    flat    close             sell  long    short   close (the short half is not opened)
    sell   flat    short   refused: opens a short
    sell   -       long    refused: sells a part only
    sell   -       -       close             buy   -       -       open

Spot knows no shorts: they are refused by name. When in doubt between a close and nothing it is a close, because
a close of nothing does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from tradewind.core.errors import InvalidInput
from tradewind.core.money import ZERO
from tradewind.core.signal import Action
from tradewind.signals.fields import Field, Fields, read_number, read_text
from tradewind.signals.refusal import refused

Names = tuple[str, ...]


class Word(StrEnum):
    """What the alert's action word says by itself."""

    BUY = "buy"
    SELL = "sell"
    OPEN = "open"
    CLOSE = "close"
    SHORT = "short"


class Stance(StrEnum):
    """Where a strategy's position stands."""

    LONG = "long"
    FLAT = "flat"
    SHORT = "short"


_OPEN_WORDS = (
    *("open", "long", "enter", "entry", "buy_long", "go_long", "open_long", "enter_long", "long_entry"),
    *("entry_long", "open_buy", "long_open", "openlong", "enterlong"),
)
_CLOSE_WORDS = (
    *("close", "exit", "flat", "close_long", "exit_long", "sell_long", "long_exit", "long_close"),
    *("closelong", "exitlong", "close_position", "exit_position", "close_buy"),
)
_SHORT_WORDS = (
    *("short", "sell_short", "go_short", "open_short", "enter_short", "short_entry", "entry_short"),
    *("close_short", "exit_short", "short_exit", "short_close", "buy_to_cover", "cover"),
    *("closeshort", "exitshort", "enter_sell", "openshort", "entershort"),
)
WORDS: Mapping[str, Word] = {
    "buy": Word.BUY,
    "sell": Word.SELL,
    **dict.fromkeys(_OPEN_WORDS, Word.OPEN),
    **dict.fromkeys(_CLOSE_WORDS, Word.CLOSE),
    **dict.fromkeys(_SHORT_WORDS, Word.SHORT),
}
_ACTION_NAMES = ("action", "order_action", "strategy_order_action", "signal_action", "command", "order_side", "signal")
_SIDE_NAMES = ("side", "direction", "position_side", "trade_side")
_NOW_NAMES = ("market_position", "strategy_market_position", "position")
_BEFORE_NAMES = (
    "prev_market_position",
    "strategy_prev_market_position",
    "prev_position",
    "previous_position",
    "previous_market_position",
)
# Sizes with a sign say long or short; those of TradingView's market_position_size are without.
_NOW_SIZE_NAMES = ("position_size", "strategy_position_size")
_NOW_AMOUNT_NAMES = ("strategy_market_position_size", "market_position_size")
_BEFORE_SIZE_NAMES = ("prev_position_size", "previous_position_size")
_BEFORE_AMOUNT_NAMES = ("prev_market_position_size", "strategy_prev_market_position_size")
_FALSE = frozenset({"", "false", "0", "no"})


def read_action(fields: Fields) -> Action:
    """Decide what an alert wants. Raises InvalidInput with the reason and what to send."""
    _demand_order(fields)
    before = _stance(fields, _BEFORE_NAMES, _BEFORE_SIZE_NAMES, _BEFORE_AMOUNT_NAMES)
    now = _stance(fields, _NOW_NAMES, _NOW_SIZE_NAMES, _NOW_AMOUNT_NAMES)
    word = _word(fields)
    if word is None:
        return _by_positions(before, now)
    match word:
        case Word.CLOSE:
            return Action.CLOSE
        case Word.SHORT:
            raise short_refused("it opens or closes a short")
        case Word.BUY:
            return _bought(before, now)
        case Word.SELL:
            return _sold(before, now)
        case Word.OPEN:
            if now is Stance.SHORT:
                raise short_refused("it opens a short")
            if now is Stance.FLAT:
                raise refused("contradictory_alert", "The alert opens a position, yet says that the strategy is flat.")
            return Action.OPEN


def _bought(before: Stance | None, now: Stance | None) -> Action:
    if now is Stance.LONG:
        return Action.OPEN
    if now is not None:
        raise short_refused(f"a buy that ends {now.value} covers a short")
    if before is Stance.SHORT:
        raise refused(
            "position_unclear",
            "A buy after a short may cover it or open a long. "
            'Add "market_position": "{{strategy.market_position}}" to the message.',
        )
    return Action.OPEN


def _sold(before: Stance | None, now: Stance | None) -> Action:
    if before in (Stance.FLAT, Stance.SHORT):
        raise short_refused(f"a sell from {before.value} opens or adds to a short")
    if now is Stance.LONG:
        raise refused(
            "partial_close_not_supported",
            "This sell leaves the strategy long: it closes a part of the position, which Tradewind does not follow. "
            "Stop and target stay in place; the sell that ends flat closes everything.",
        )
    return Action.CLOSE


def _by_positions(before: Stance | None, now: Stance | None) -> Action:
    if now is Stance.LONG and before is not Stance.LONG:
        return Action.OPEN
    if now is Stance.FLAT or (now is Stance.SHORT and before is Stance.LONG):
        return Action.CLOSE
    if now is Stance.SHORT:
        raise short_refused("it opens a short")
    raise refused("action_missing", 'The alert names no action. Add "action": "buy" or "action": "sell".')


def _word(fields: Fields) -> Word | None:
    action, side = fields.first(_ACTION_NAMES), fields.first(_SIDE_NAMES)
    first, second = _read_word(action), _read_word(side)
    if first is None or second is None:
        return first or second
    if second is Word.SHORT or (first is Word.OPEN and second is Word.SELL):
        # close + short, buy + short, open + sell: all of them are about a short.
        return Word.SHORT
    return first


def _read_word(field: Field | None) -> Word | None:
    text = None if field is None else read_text(field)
    if field is None or text is None:
        return None
    key = "_".join(text.lower().replace("-", " ").replace("_", " ").split())
    word = WORDS.get(key)
    if word is None:
        raise refused(
            "action_not_supported",
            f"The field {field.written!r} says {ascii(text)[:60]}, which is no action. Send buy, sell or close.",
        )
    return word


_STANCES: Mapping[str, Stance] = {
    **{stance.value: stance for stance in Stance},
    "buy": Stance.LONG,
    "sell": Stance.SHORT,
    "none": Stance.FLAT,
}


def _stance(fields: Fields, names: Names, size_names: Names, amount_names: Names) -> Stance | None:
    """Read a position from its word, else from its signed size; of an amount only zero says something."""
    field = fields.first(names)
    text = None if field is None else read_text(field)
    if field is not None and text is not None:
        return _STANCES.get(text.lower()) or _sign(read_number(field))
    size = fields.first(size_names)
    if size is not None and size.value is not None:
        return _sign(read_number(size))
    amount = fields.first(amount_names)
    is_flat = amount is not None and amount.value is not None and read_number(amount) == ZERO
    return Stance.FLAT if is_flat else None


def _sign(size: Decimal) -> Stance:
    if size == ZERO:
        return Stance.FLAT
    return Stance.LONG if size > ZERO else Stance.SHORT


def _demand_order(fields: Fields) -> None:
    """Some bridges send heartbeats in the shape of an order; those are not signals."""
    heartbeat = fields.first(("heartbeat", "is_heartbeat"))
    if heartbeat is not None and str(heartbeat.value).strip().lower() not in _FALSE:
        raise refused("not_an_order", "This is a heartbeat, not an order.")


def short_refused(why: str) -> InvalidInput:
    """Refuse what only a margin or futures account could do."""
    return refused(
        "short_not_supported",
        f"This alert is about a short ({why}); Tradewind trades spot only, where there are no shorts. "
        "Send only the long side: buy to open, sell or close to end it.",
    )

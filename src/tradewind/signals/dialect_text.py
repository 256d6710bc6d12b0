"""Plain-text alerts: a short command, or TradingView's own strategy message.

    buy BTCUSDT sl=66000 tp=70000        long BTCUSD q=0.1 sl=2%        BINANCE:BTCUSDT close
    BTCUSDT buy @ 67000                  exit long ETHUSDT
    MACD (12, 26): order buy @ 0.1 filled on BTCUSDT. New strategy position is 0.1

The grammar is closed: a word that is not known is refused, because "do not buy BTCUSDT" must not buy. A line with
a single word before the command is taken as a password some other service wanted, and dropped.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from tradewind.signals.intent import WORDS
from tradewind.signals.refusal import refused

_OPTIONS = {
    "sl": "sl",
    "stop": "sl",
    "stoploss": "sl",
    "stop_loss": "sl",
    "tp": "tp",
    "target": "tp",
    "takeprofit": "tp",
    "take_profit": "tp",
    **{f"tp{n}": f"tp{n}" for n in range(1, 10)},
    "q": "qty",
    "qty": "qty",
    "quantity": "qty",
    "size": "qty",
    "percent": "percent",
    "pct": "percent",
    "price": "price",
    "entry": "price",
    "id": "id",
    "time": "time",
    "timenow": "sent_at",
    "sent_at": "sent_at",
    "interval": "interval",
    "exchange": "exchange",
    "strategy": "strategy",
    "bot": "strategy",
}
_OPTION = re.compile(
    r"(?<![\w:])(" + "|".join(sorted(_OPTIONS, key=len, reverse=True)) + r")\s*[=:]\s*([^\s,;]+)", re.IGNORECASE
)
_AT_PRICE = re.compile(r"(?<!\S)(?:@|at)\s*(\{\{.*?\}\}|[\d.,]*\d)(?!\S)", re.IGNORECASE)
# The default message of a strategy alert; position sizes are signed.
_STRATEGY = re.compile(
    r"(?P<name>.*?):?\s*\border (?P<action>buy|sell) @ (?P<qty>\d+(?:\.\d+)?)"
    r" filled on (?P<ticker>[A-Za-z0-9:._/-]+?)\."
    r"\s+New strategy position is (?P<position>-?\d+(?:\.\d+)?)\.?",
    re.IGNORECASE | re.ASCII | re.S,
)
_WORD_PARTS = frozenset(part for word in WORDS for part in word.split("_"))
_LINES_MAX = 20
_QUOTE_CHARS = 60
_EXAMPLE = "Write for example: buy BTCUSDT sl=66000 tp=70000"


def read_commands(text: str) -> list[tuple[dict[str, Any], str]]:
    """Read a text alert as fields, with what is kept of each command. Raises InvalidInput."""
    match = _STRATEGY.fullmatch(text.strip())
    if match is not None:
        return [(_strategy_fields(match), " ".join(text.split()))]
    return [(_command(line), line) for line in _commands(text)]


def _commands(text: str) -> list[str]:
    """Split a text into commands: one per line with an action, or all lines together."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if len(lines) > _LINES_MAX:
        raise refused("too_many_lines", f"The text has {len(lines)} lines; at most {_LINES_MAX} are read.")
    if len(lines) > 1 and _is_password(lines[0]) and _names_symbol(lines[1:]):
        lines = lines[1:]
    if sum(_has_action(line) for line in lines) > 1:
        return lines
    return [" ".join(lines)]


def _is_password(line: str) -> bool:
    return " " not in line and not _has_action(line) and not _OPTION.search(line)


def _names_symbol(lines: list[str]) -> bool:
    return any(_has_action(line) and _leftover(line)[1] for line in lines)


def _has_action(line: str) -> bool:
    return bool(_leftover(line)[0])


def _leftover(line: str) -> tuple[list[str], list[str]]:
    """The words of a line without its options: those of an action, and the others."""
    words = _AT_PRICE.sub(" ", _OPTION.sub(" ", line)).replace(",", " ").replace(";", " ").split()
    actions = [word for word in words if _as_word(word) in _WORD_PARTS or _as_word(word) in WORDS]
    return actions, [word for word in words if word not in actions]


def _as_word(text: str) -> str:
    return text.lower().strip(".!").replace("-", "_")


def _command(line: str) -> dict[str, Any]:
    actions, others = _leftover(line)
    if not actions:
        raise refused("action_missing", f"The text {_quoted(line)} names no action. {_EXAMPLE}.")
    action = "_".join(_as_word(word) for word in actions)
    if action not in WORDS:
        raise refused("action_not_supported", f"{_quoted(' '.join(actions))} is no action we know. {_EXAMPLE}.")
    if not others:
        raise refused("symbol_missing", f"The text {_quoted(line)} names no symbol. {_EXAMPLE}.")
    if len(others) > 1:
        raise refused("unknown_word", f"The text holds words we do not know: {_quoted(' '.join(others))}. {_EXAMPLE}.")
    fields: dict[str, Any] = {"action": action, "ticker": others[0].strip(",;")}
    for name, value in _OPTION.findall(line):
        _put(fields, _OPTIONS[name.lower()], value)
    for price in _AT_PRICE.findall(line):
        _put(fields, "price", price)
    return fields


def _put(fields: dict[str, Any], name: str, value: str) -> None:
    if name in fields:
        raise refused(
            "ambiguous_field", f"The text names {name!r} twice ({_quoted(fields[name])} and {_quoted(value)})."
        )
    fields[name] = value


def _strategy_fields(match: re.Match[str]) -> dict[str, Any]:
    position, contracts = Decimal(match["position"][:40]), Decimal(match["qty"][:40])
    before = position - contracts if match["action"].lower() == "buy" else position + contracts
    return {
        "action": match["action"],
        "ticker": match["ticker"],
        "qty": match["qty"],
        "position_size": position,
        "prev_position_size": before,
        "strategy": match["name"].strip()[:100],
    }


def _quoted(text: str) -> str:
    return ascii(text)[:_QUOTE_CHARS]

"""Which dialect a body is written in, decided by its content, never by its Content-Type.

TradingView sends `text/plain` whenever a message is not valid JSON, and people paste templates of the services
they come from. The order below is fixed (signals reference, section 3), so the same body is always read the
same way. Dialects of other services are recognised by name and refused until they can be read; guessing at
somebody's order is not an option.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tradewind.core.errors import InvalidInput
from tradewind.core.signal import DraftSignal
from tradewind.signals import strict_json
from tradewind.signals.dialect_text import read_commands
from tradewind.signals.dialect_tradingview import SYMBOL_NAMES, read_draft, read_sender_id
from tradewind.signals.fields import field_name
from tradewind.signals.redact import body_hash, redacted
from tradewind.signals.refusal import refused
from tradewind.signals.service import Alert

# One alert may switch a few markets at once; more is a mistake.
ITEMS_MAX = 20
# Twenty long commands; more is prose, and searching it for commands would take its time.
TEXT_CHARS_MAX = 2_000
_WUNDER_CODE = re.compile(r"(ENTER|EXIT)-")
# No database keeps a NUL as text; none of these belongs into a command. Line ends and tabs do.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ALERTATRON = re.compile(r"\w+\([A-Za-z0-9:._/-]+\)\s*\{")


def parse(raw: bytes, received_at: datetime) -> list[Alert]:
    """Read a webhook's body into one or more alerts.

    Raises InvalidInput: `malformed_json` or `body_not_readable` where it cannot be read at all, other codes where
    it can be read and not be obeyed. All alerts of a body are good, or none is returned.
    """
    text = _text(raw)
    if text.startswith("{"):
        return [_from_object(strict_json.loads(text), received_at, None)]
    if text.startswith("["):
        return _from_array(strict_json.loads(text), received_at)
    return _from_text(text, received_at)


def _text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InvalidInput("body_not_readable", "The body is not UTF-8 text. Nothing was stored.") from None
    if not text:
        raise InvalidInput(
            "body_not_readable",
            "The body is empty. Nothing was stored. Fill in the alert's message, for example: buy BTCUSDT",
        )
    return text


def _from_array(items: list[Any], received_at: datetime) -> list[Alert]:
    if not 0 < len(items) <= ITEMS_MAX:
        raise refused("array_out_of_bounds", f"The array holds {len(items)} messages; 1 to {ITEMS_MAX} are read.")
    alerts: list[Alert] = []
    for index, item in enumerate(items):
        try:
            alerts.append(_from_object(item, received_at, index))
        except InvalidInput as error:
            raise InvalidInput(error.code, f"Message {index + 1} of {len(items)}: {error.message}") from None
    _demand_different_ids(alerts)
    return alerts


def _from_object(body: Any, received_at: datetime, index: int | None) -> Alert:
    if not isinstance(body, dict):
        raise refused("not_an_alert", "Each message must be a JSON object.")
    _demand_supported(body)
    draft = read_draft(body, received_at)
    return _alert(draft, read_sender_id(body, draft.action), strict_json.canonical(redacted(body)), index)


def _from_text(text: str, received_at: datetime) -> list[Alert]:
    head = text[:TEXT_CHARS_MAX]
    if _WUNDER_CODE.match(head):
        raise _foreign("WunderTrading", "a signal code")
    if "#bot" in head or _ALERTATRON.search(head):
        raise _foreign("Alertatron", "a command block")
    if len(text) > TEXT_CHARS_MAX:
        raise refused("text_too_long", f"The text has {len(text)} characters; at most {TEXT_CHARS_MAX} are read.")
    control = _CONTROL.search(text)
    if control is not None:
        raise refused("not_text", f"The text holds a control character, {control.group()!a}.")
    commands = read_commands(text)
    alerts: list[Alert] = []
    for index, (fields, kept) in enumerate(commands):
        draft = read_draft(fields, received_at)
        sender_id = read_sender_id(fields, draft.action)
        alerts.append(_alert(draft, sender_id, kept, index if len(commands) > 1 else None))
    _demand_different_ids(alerts)
    return alerts


def _alert(draft: DraftSignal, sender_id: str | None, kept: str, index: int | None) -> Alert:
    return Alert(draft=draft, sender_id=sender_id, body_hash=body_hash(kept, index), raw=kept)


def _demand_different_ids(alerts: list[Alert]) -> None:
    ids = [alert.sender_id for alert in alerts if alert.sender_id is not None]
    if len(ids) != len(set(ids)):
        raise refused("id_repeated", "Two messages of one body carry the same id. Give each its own.")


# --- dialects of other services --------------------------------------------------------------------


def _is_freqtrade(body: dict[str, Any]) -> bool:
    return "/" in str(body.get("pair", "")) and ("side" in body or "stakeamount" in body)


def _is_altrady(body: dict[str, Any]) -> bool:
    return "api_key" in body and str(body.get("symbol", "")).count("_") == 2


def _is_wunder(body: dict[str, Any]) -> bool:
    return isinstance(body.get("code"), str) and body["code"].startswith(("TV-STRATEGY_", "ENTER-", "EXIT-"))


def _is_cryptohopper(body: dict[str, Any]) -> bool:
    names = {field_name(key) for key in body}
    return "market" in names and "action" in names and not names & (set(SYMBOL_NAMES) - {"market"})


_FOREIGN: tuple[tuple[str, str, Callable[[dict[str, Any]], bool]], ...] = (
    ("3Commas", "a DCA bot message", lambda body: body.get("message_type") == "bot" and "bot_id" in body),
    ("3Commas", "a Signal Bot message", lambda body: "bot_uuid" in body and "secret" in body),
    ("WunderTrading", "a signal code", _is_wunder),
    ("freqtrade", "a force-entry request", _is_freqtrade),
    ("TradersPost", "a strategy message", lambda body: "sentiment" in body or "signalPrice" in body),
    ("Altrady", "a signal", _is_altrady),
    ("Cornix", "a bot message", lambda body: "uuid" in body and "bot_uuid" not in body),
    ("Cryptohopper", "a signal", _is_cryptohopper),
)


def _demand_supported(body: dict[str, Any]) -> None:
    for service, kind, is_it in _FOREIGN:
        if is_it(body):
            raise _foreign(service, kind)


def _foreign(service: str, kind: str) -> InvalidInput:
    return refused(
        "dialect_not_supported",
        f"This is {kind} of {service}; Tradewind does not read that form yet. Send the TradingView form instead, "
        'for example {"action": "buy", "ticker": "BTCUSDT", "sent_at": "{{timenow}}"}.',
    )

"""A signal as a person or a program writes it to the API, to be sent or only to be previewed (S3, S6)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.signal import DraftSignal
from tradewind.signals.dialect_tradingview import read_draft
from tradewind.signals.redact import body_hash
from tradewind.signals.service import Alert
from tradewind.signals.strict_json import canonical
from tradewind.signals.webhook import Listings, demand_listed

_Decimal = Annotated[str, Field(max_length=40, examples=["67000.5"])]


class NewSignal(BaseModel):
    """A signal by hand or by program. Decimals are strings; a size needs its kind."""

    model_config = ConfigDict(extra="forbid")
    source_id: str = Field(max_length=36)
    action: Literal["open", "close"]
    symbol: str = Field(max_length=80, examples=["BTC/USDT"])
    price: _Decimal | None = None
    stop: _Decimal | None = None
    stop_percent: _Decimal | None = None
    targets: list[_Decimal] = Field(default_factory=list, max_length=10)
    target_percent: _Decimal | None = None
    size: _Decimal | None = None
    size_kind: Literal["quote", "base", "percent"] | None = None
    strategy: str | None = Field(default=None, max_length=120)


def fields_of(body: NewSignal) -> dict[str, Any]:
    """Write a request as the fields of an alert, so that one reader checks both."""
    size_field = {"quote": "quote_amount", "base": "quantity", "percent": "percent", None: "quantity"}[body.size_kind]
    fields: dict[str, Any] = {
        "action": body.action,
        "symbol": body.symbol,
        "price": body.price,
        "stop": body.stop,
        "stop_percent": body.stop_percent,
        "targets": body.targets or None,
        "target_percent": body.target_percent,
        size_field: body.size,
        "strategy": body.strategy,
    }
    return {name: value for name, value in fields.items() if value is not None}


def draft_of(body: NewSignal, listings: Listings, now: datetime) -> DraftSignal:
    """Read a request as the webhook would read its alert. Raises InvalidInput with what to correct."""
    content = fields_of(body)
    kept = canonical(content)
    alert = Alert(draft=read_draft(content, now), sender_id=None, body_hash=body_hash(kept), raw=kept)
    demand_listed(listings, [alert])
    return alert.draft

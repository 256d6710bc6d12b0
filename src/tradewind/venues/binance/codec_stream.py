"""Frames of the WebSocket API and of the market streams, pure (web-socket-api.md, user-data-stream.md, 2026-07-21).

Rules of this file: one text frame in, one value out; a frame that is not understood raises NotUnderstood and
the connection decides (a private stream that cannot be read is a gap, and gaps are asked for by REST).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from tradewind.core.ids import FillId, VenueOrderId, is_ours
from tradewind.core.money import EXACT, ZERO, Asset, Price, Quantity
from tradewind.venues.base import AssetBalance, OrderReport, VenueFill
from tradewind.venues.binance.codec import (
    NotUnderstood,
    moment,
    number,
    price,
    price_or_none,
    quantity,
    read,
)
from tradewind.venues.binance.codec_reports import (
    check_figures,
    cumulative_quote,
    ending_reason,
    fee,
    filled_quantity,
    side_of,
    state_of,
)
from tradewind.venues.binance.signing import SUBSCRIBE_METHOD


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request of ours over the WebSocket API."""

    id: str
    status: int
    subscription_id: int | None
    server_time_ms: int | None
    code: int | None
    text: str
    retry_at_ms: int | None


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An executionReport."""

    subscription_id: int
    report: OrderReport
    fill: VenueFill | None
    original_client_id: str
    stated_ms: int


@dataclass(frozen=True, slots=True)
class BalanceEvent:
    """An outboundAccountPosition."""

    subscription_id: int
    balances: tuple[AssetBalance, ...]
    at: datetime
    stated_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The venue ended one subscription."""

    subscription_id: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The server will close this connection soon."""


@dataclass(frozen=True, slots=True)
class Other:
    """An event we have no use for."""


class UnreadableEvent(NotUnderstood):
    """An event of an account that cannot be read, and may concern an order of ours: a gap in its stream."""

    def __init__(self, subscription_id: int) -> None:
        super().__init__("an event that is not understood")
        self.subscription_id = subscription_id


UserFrame = Answer | OrderEvent | BalanceEvent | Ended | Shutdown | Other


# --- requests --------------------------------------------------------------------------------------


def subscribe_frame(request_id: str, params: dict[str, str | int]) -> str:
    """Write the subscription of one account; `params` include the signature."""
    return _frame(request_id, SUBSCRIBE_METHOD, params)


def unsubscribe_frame(request_id: str, subscription_id: int) -> str:
    """Write the end of one subscription."""
    return _frame(request_id, "userDataStream.unsubscribe", {"subscriptionId": subscription_id})


def time_frame(request_id: str) -> str:
    """Write the question for the server's time: a ping through the whole of the venue's front."""
    return _frame(request_id, "time", None)


def _frame(request_id: str, method: str, params: dict[str, str | int] | None) -> str:
    body: dict[str, object] = {"id": request_id, "method": method}
    if params is not None:
        body["params"] = params
    return msgspec.json.encode(body).decode("utf-8")


def market_frame(request_id: int, method: str, streams: Sequence[str]) -> str:
    """Write SUBSCRIBE, UNSUBSCRIBE or LIST_SUBSCRIPTIONS for the market streams."""
    body: dict[str, object] = {"method": method, "id": request_id}
    if streams:
        body["params"] = list(streams)
    return msgspec.json.encode(body).decode("utf-8")


# --- user data -------------------------------------------------------------------------------------


class _Result(msgspec.Struct, rename="camel"):
    subscription_id: int | None = None
    server_time: int | None = None


class _ErrorData(msgspec.Struct, rename="camel"):
    retry_after: int | None = None


class _Error(msgspec.Struct):
    code: int
    msg: str = ""
    data: _ErrorData | None = None


class _Envelope(msgspec.Struct, rename="camel"):
    subscription_id: int | None = None
    # Not `Raw | None`: in a union msgspec takes Raw for null only.
    event: msgspec.Raw = msgspec.Raw(b"")
    id: str | int | None = None
    status: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


class _Kind(msgspec.Struct):
    e: str


class _Execution(msgspec.Struct):
    event_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    client_id: str = msgspec.field(name="c")
    side: str = msgspec.field(name="S")
    type: str = msgspec.field(name="o")
    quantity: str = msgspec.field(name="q")
    execution: str = msgspec.field(name="x")
    status: str = msgspec.field(name="X")
    reject_reason: str = msgspec.field(name="r")
    order_id: int = msgspec.field(name="i")
    last_quantity: str = msgspec.field(name="l")
    executed: str = msgspec.field(name="z")
    last_price: str = msgspec.field(name="L")
    commission: str = msgspec.field(name="n")
    trade_ms: int = msgspec.field(name="T")
    trade_id: int = msgspec.field(name="t")
    executed_quote: str = msgspec.field(name="Z")
    commission_asset: str | None = msgspec.field(name="N", default=None)
    stop_price: str = msgspec.field(name="P", default="0")
    original_id: str = msgspec.field(name="C", default="")
    is_maker: bool = msgspec.field(name="m", default=False)
    last_quote: str | None = msgspec.field(name="Y", default=None)
    expiry_reason: str | None = msgspec.field(name="eR", default=None)


class _OrderNames(msgspec.Struct):
    client_id: str = msgspec.field(name="c")
    original_id: str = msgspec.field(name="C", default="")


class _BalanceRow(msgspec.Struct):
    asset: str = msgspec.field(name="a")
    free: str = msgspec.field(name="f")
    locked: str = msgspec.field(name="l")


class _Position(msgspec.Struct):
    event_ms: int = msgspec.field(name="E")
    balances: list[_BalanceRow] = msgspec.field(name="B")


def read_user_frame(text: bytes) -> UserFrame:
    """Read one frame of the WebSocket API. Raises NotUnderstood."""
    envelope = read(text, _Envelope)
    if bytes(envelope.event):
        return _event_or_gap(bytes(envelope.event), envelope.subscription_id)
    if envelope.status is None:
        raise NotUnderstood("neither an event nor an answer")
    return _answer(envelope, envelope.status)


def _answer(envelope: _Envelope, status: int) -> Answer:
    result = _Result()
    # Results of other methods are arrays or null; only objects say something we asked for.
    if bytes(envelope.result).lstrip().startswith(b"{"):
        result = read(bytes(envelope.result), _Result)
    error = envelope.error
    return Answer(
        id="" if envelope.id is None else str(envelope.id),
        status=status,
        subscription_id=result.subscription_id,
        server_time_ms=result.server_time,
        code=error.code if error is not None else None,
        text=error.msg if error is not None else "",
        retry_at_ms=error.data.retry_after if error is not None and error.data is not None else None,
    )


def _event_or_gap(event: bytes, subscription_id: int | None) -> UserFrame:
    try:
        return read_user_event(event, subscription_id)
    except NotUnderstood:
        if subscription_id is None:
            raise
        if _is_foreign(event):
            return Other()
        raise UnreadableEvent(subscription_id) from None


def _is_foreign(event: bytes) -> bool:
    """Whether it names an order, and one that is not ours."""
    try:
        names = read(event, _OrderNames)
    except NotUnderstood:
        return False
    return not is_ours(names.client_id) and not is_ours(names.original_id)


def read_user_event(event: bytes, subscription_id: int | None) -> UserFrame:
    """Read one event of a private stream. Raises NotUnderstood."""
    kind = read(event, _Kind).e
    if kind == "serverShutdown":
        return Shutdown()
    if subscription_id is None:
        raise NotUnderstood("an event of nobody's")
    if kind == "executionReport":
        return _order_event(read(event, _Execution), subscription_id)
    if kind == "outboundAccountPosition":
        found = read(event, _Position)
        balances = tuple(AssetBalance(Asset(row.asset), number(row.free), number(row.locked)) for row in found.balances)
        return BalanceEvent(subscription_id, balances, moment(found.event_ms), found.event_ms)
    return Ended(subscription_id) if kind == "eventStreamTerminated" else Other()


def _order_event(found: _Execution, subscription_id: int) -> OrderEvent:
    # On a cancel `c` is the id of the cancel and `C` the order's own; else `C` is empty.
    original = found.original_id if found.execution == "CANCELED" and found.original_id else found.client_id
    state = state_of(found.status)
    executed = quantity(found.executed)
    check_figures(state, executed)
    if found.order_id < 0:
        raise NotUnderstood("an id below zero")
    stop_price = number(found.stop_price)
    reject_reason = found.reject_reason if found.status == "REJECTED" else None
    report = OrderReport(
        client_order_id=original,
        venue_order_id=VenueOrderId(str(found.order_id)),
        symbol=found.symbol,
        side=side_of(found.side),
        state=state,
        executed=executed,
        executed_quote=cumulative_quote(found.executed_quote),
        at=moment(found.trade_ms),
        original_quantity=quantity(found.quantity),
        stop_price=stop_price if stop_price > ZERO else None,
        type_text=found.type,
        reason=ending_reason(found.status, found.expiry_reason, reject_reason),
    )
    return OrderEvent(subscription_id, report, _stream_fill(found, report), original, found.event_ms)


def _stream_fill(found: _Execution, report: OrderReport) -> VenueFill | None:
    # A TRADE of quantity zero closes an order without trading; it has no trade id.
    if found.execution != "TRADE" or number(found.last_quantity) == ZERO:
        return None
    if found.trade_id < 0:
        raise NotUnderstood("a fill without an id")
    executed, at_price = filled_quantity(found.last_quantity), price(found.last_price)
    return VenueFill(
        fill_id=FillId(str(found.trade_id)),
        venue_order_id=report.venue_order_id,
        symbol=report.symbol,
        side=report.side,
        quantity=executed,
        price=at_price,
        quote_amount=_quote_amount(found.last_quote, at_price, executed),
        fee=fee(found.commission, found.commission_asset),
        at=report.at,
        is_maker=found.is_maker,
    )


def _quote_amount(text: str | None, at_price: Price, executed: Quantity) -> Decimal:
    return number(text) if text is not None else EXACT.multiply(at_price.value, executed.value)


# --- market data -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BookTop:
    """Best bid and ask of a symbol."""

    symbol: str
    bid: Price | None
    ask: Price | None


@dataclass(frozen=True, slots=True)
class LastPrice:
    """The last trade's price of a symbol, with the venue's time."""

    symbol: str
    last: Price
    at: datetime


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a control message; `is_error` if it was refused."""

    id: int | None
    is_error: bool


MarketFrame = BookTop | LastPrice | Reply | Shutdown | Other


class _MarketEnvelope(msgspec.Struct):
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    id: int | None = None
    e: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    code: int | None = None


class _Book(msgspec.Struct):
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    ask: str = msgspec.field(name="a")


class _Mini(msgspec.Struct):
    event_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    close: str = msgspec.field(name="c")


def read_market_frame(text: bytes) -> MarketFrame:
    """Read one frame of a combined market stream. Raises NotUnderstood."""
    envelope = read(text, _MarketEnvelope)
    if envelope.stream == "!serverShutdown" or envelope.e == "serverShutdown":
        return Shutdown()
    if envelope.stream is None or not bytes(envelope.data):
        return Reply(envelope.id, is_error=bool(bytes(envelope.error)) or envelope.code is not None)
    data = bytes(envelope.data)
    if envelope.stream.endswith("@bookTicker"):
        book = read(data, _Book)
        return BookTop(book.symbol, price_or_none(book.bid), price_or_none(book.ask))
    if envelope.stream.endswith("@miniTicker"):
        mini = read(data, _Mini)
        last = price_or_none(mini.close)
        return LastPrice(mini.symbol, last, moment(mini.event_ms)) if last is not None else Other()
    return Other()

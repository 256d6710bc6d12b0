"""Why nothing was placed: the closed set of skip reasons with their texts (product.md D7).

A passing reason may be gone in a moment: `signals retry` takes those accounts again. Every other reason is
final for this signal. Texts are what a user reads on the why-card, in English and Korean.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

Lang = Literal["en", "ko"]


class SkipReason(StrEnum):
    """Why an account got no order for a signal."""

    STOPPED = "stopped"
    PAUSED = "paused"
    MANDATE_OFF = "mandate_off"
    MANDATE_DAMAGED = "mandate_damaged"
    SUSPENDED = "suspended"
    NO_SUBSCRIPTION = "no_subscription"
    GATE_CLOSED = "gate_closed"
    VENUE_UNHEALTHY = "venue_unhealthy"
    STALE = "stale"
    SUPERSEDED = "superseded"
    EXCHANGE_NOT_FOLLOWED = "exchange_not_followed"
    PREFERRED_ACCOUNT_ELSEWHERE = "preferred_account_elsewhere"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    INSTRUMENT_HALTED = "instrument_halted"
    NO_PRICE = "no_price"
    ALREADY_OPEN = "already_open"
    MAX_POSITIONS = "max_positions"
    WEEKLY_LIMIT = "weekly_limit"
    NO_BALANCE_KNOWN = "no_balance_known"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BUDGET_USED = "budget_used"
    DAY_LIMIT = "day_limit"
    TOO_SMALL = "too_small"
    SIZE_NOT_FOLLOWED = "size_not_followed"
    STOP_PASSED = "stop_passed"
    TARGET_PASSED = "target_passed"
    NO_ROOM_FOR_STOP = "no_room_for_stop"
    HOLD = "hold"
    TOO_LARGE_FOR_THE_BOOK = "too_large_for_the_book"
    NOTHING_HELD = "nothing_held"

    @property
    def is_passing(self) -> bool:
        """Say whether it may be gone in a moment, so that a retry makes sense."""
        return self in _PASSING


_R = SkipReason
_PASSING = frozenset(
    {
        _R.NO_BALANCE_KNOWN,
        _R.NO_PRICE,
        _R.VENUE_UNHEALTHY,
        _R.INSTRUMENT_HALTED,
        _R.TOO_LARGE_FOR_THE_BOOK,
        _R.MANDATE_DAMAGED,
    }
)

_TEXTS: Mapping[SkipReason, tuple[str, str]] = {
    _R.STOPPED: (
        "An emergency stop was on: no new entries. Stops and targets stayed. What was stopped is not sent later.",
        "긴급 정지 중이라 새로 진입하지 않았어요. 손절·익절은 그대로예요. 멈춘 주문은 나중에도 보내지 않아요.",
    ),
    _R.PAUSED: (
        "This account is paused. Resume it: POST /api/v1/accounts/ID/resume.",
        "이 계정은 일시 중지 상태예요. POST /api/v1/accounts/ID/resume 으로 다시 시작할 수 있어요.",
    ),
    _R.MANDATE_OFF: (
        "You do not follow this source with this account. Turn the mandate on: PATCH /api/v1/mandates/ID.",
        "이 계정은 이 소스를 따르지 않아요. PATCH /api/v1/mandates/ID 로 켤 수 있어요.",
    ),
    _R.MANDATE_DAMAGED: (
        "The terms of this mandate cannot be read: nothing was bought. Set all of them: PATCH /api/v1/mandates/ID.",
        "위임 조건을 읽을 수 없어 매수하지 않았어요. PATCH /api/v1/mandates/ID 로 모든 조건을 다시 정해 주세요.",
    ),
    _R.SUSPENDED: (
        "Your access is suspended. Exits and stops go on.",
        "이용이 정지된 상태예요. 청산과 손절은 계속돼요.",
    ),
    _R.NO_SUBSCRIPTION: (
        "No active subscription. Exits go on; entries wait.",
        "이용 중인 구독이 없어요. 청산은 계속되고 신규 진입은 기다려요.",
    ),
    _R.GATE_CLOSED: (
        "The gate of this account is closed. GET /api/v1/trading/status lists the reasons.",
        "이 계정의 거래 조건이 충족되지 않았어요. 이유는 GET /api/v1/trading/status 에 있어요.",
    ),
    _R.VENUE_UNHEALTHY: (
        "The exchange does not answer right now. Entries open again by themselves.",
        "지금 거래소가 응답하지 않아요. 회복되면 신규 진입이 자동으로 다시 열려요.",
    ),
    _R.STALE: (
        "The alert was too old when its turn came.",
        "차례가 왔을 때 알림이 너무 오래됐어요.",
    ),
    _R.SUPERSEDED: (
        "A later close of the same source came first.",
        "같은 소스의 더 나중 청산 신호가 먼저 처리됐어요.",
    ),
    _R.EXCHANGE_NOT_FOLLOWED: (
        "This source trades only on the exchange it names, and this account is at another one.",
        "이 소스는 지정한 거래소에서만 거래하는데, 이 계정은 다른 거래소에 있어요.",
    ),
    _R.PREFERRED_ACCOUNT_ELSEWHERE: (
        "Another account of yours is the preferred one for this source.",
        "이 소스에는 다른 계정을 우선 계정으로 정해 두었어요.",
    ),
    _R.UNKNOWN_INSTRUMENT: (
        "This exchange does not list the asset in your quote asset.",
        "이 거래소에는 해당 자산의 거래쌍이 없어요.",
    ),
    _R.INSTRUMENT_HALTED: (
        "The exchange has halted this market.",
        "거래소가 이 마켓의 거래를 멈췄어요.",
    ),
    _R.NO_PRICE: (
        "No fresh price of this market is known.",
        "이 마켓의 최신 가격을 알 수 없어요.",
    ),
    _R.ALREADY_OPEN: (
        "A position of this source in this asset is already open or on its way.",
        "이 소스로 연 같은 자산의 포지션이 이미 있거나 주문 중이에요.",
    ),
    _R.MAX_POSITIONS: (
        "The maximum number of open positions is reached.",
        "보유할 수 있는 최대 포지션 수에 도달했어요.",
    ),
    _R.WEEKLY_LIMIT: (
        "The weekly number of automatic entries of your plan is used up. It starts again Monday 00:00 Seoul time.",
        "이번 주 자동 진입 횟수를 모두 사용했어요. 월요일 0시(서울)에 다시 시작돼요.",
    ),
    _R.NO_BALANCE_KNOWN: (
        "The balance of this account is not known yet.",
        "이 계정의 잔고를 아직 확인하지 못했어요.",
    ),
    _R.INSUFFICIENT_FUNDS: (
        "Nothing is free in the quote asset. Add funds or free some.",
        "주문에 쓸 수 있는 잔고가 없어요. 입금하거나 잔고를 비워 주세요.",
    ),
    _R.BUDGET_USED: (
        "The budget of this mandate is used up. Raise it or wait for a position to close.",
        "이 소스에 정한 예산을 모두 사용했어요. 예산을 늘리거나 포지션이 끝나기를 기다려 주세요.",
    ),
    _R.DAY_LIMIT: (
        "The daily limit of this account is used up.",
        "이 계정의 하루 한도를 모두 사용했어요.",
    ),
    _R.TOO_SMALL: (
        "Your size for this entry is below the minimum order. Raise the risk level or add funds.",
        "이번 주문 금액이 최소 주문 금액보다 작아요. 위험 단계를 높이거나 잔고를 늘려 주세요.",
    ),
    _R.SIZE_NOT_FOLLOWED: (
        "Your mandate follows the source's size, and this signal's size cannot be used in your quote asset.",
        "소스의 수량을 따르도록 했지만, 이 신호의 수량은 이 계정의 결제 자산에 쓸 수 없어요.",
    ),
    _R.STOP_PASSED: (
        "The price is already at or below the source's stop.",
        "가격이 이미 소스의 손절가 이하예요.",
    ),
    _R.TARGET_PASSED: (
        "The price is already at or above the source's target.",
        "가격이 이미 소스의 목표가 이상이에요.",
    ),
    _R.NO_ROOM_FOR_STOP: (
        "One price step of this market is wider than the stop, so no stop can stand below the price.",
        "이 마켓은 호가 단위가 손절 폭보다 커서 손절가를 둘 수 없어요.",
    ),
    _R.HOLD: (
        "The confidence is too low for an entry: hold.",
        "진입하기에는 신뢰도가 낮아 보류했어요.",
    ),
    _R.TOO_LARGE_FOR_THE_BOOK: (
        "The entries of all accounts together are too large for this market's order book right now.",
        "모든 계정의 진입 금액을 합치면 지금 이 마켓의 호가창에 비해 너무 커요.",
    ),
    _R.NOTHING_HELD: (
        "Nothing that this source opened is held here.",
        "이 소스로 연 보유분이 없어요.",
    ),
}


def reason_text(reason: SkipReason, lang: Lang = "en") -> str:
    """Return what a user reads for a reason."""
    english, korean = _TEXTS[reason]
    return korean if lang == "ko" else english

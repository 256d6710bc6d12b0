"""The gate's reasons as people read them, English and Korean; every text names the setting or the step."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class GateCode(StrEnum):
    """Every reason for which the gate can be closed."""

    TRADING_ENABLED = "trading_enabled"
    DRY_RUN = "dry_run"
    STOP = "emergency_stop"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SUBSCRIPTION = "no_subscription"
    VENUE = "venue_unhealthy"
    ACCOUNT_DISABLED = "account_disabled"
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_REFUSED = "credential_refused"
    CREDENTIAL_UNVERIFIED = "credential_unverified"
    NO_TRADE_RIGHT = "no_trade_right"
    NO_FUNDS = "no_funds"
    ALLOW_LIVE = "allow_live"
    LIVE_TOKEN = "live_confirm_token"  # noqa: S105 - the name of a reason, not a secret
    CONFIRMATION = "confirmation"
    SECOND_FACTOR = "second_factor"
    RECONCILING = "reconciling"


_C = GateCode

TEXTS: Mapping[GateCode, tuple[str, str]] = {
    _C.TRADING_ENABLED: (
        "Trading is disabled. Set TRADEWIND_TRADING_ENABLED=true to enable it.",
        "거래가 꺼져 있어요. TRADEWIND_TRADING_ENABLED=true 로 설정하면 켜져요.",
    ),
    _C.DRY_RUN: (
        "Dry run is on: nothing is sent. Set TRADEWIND_DRY_RUN=false, or switch it off for this account.",
        "시험 실행 중이라 주문을 보내지 않아요. TRADEWIND_DRY_RUN=false 로 설정하거나 이 계정에서 꺼 주세요.",
    ),
    _C.STOP: (
        "Emergency stop is on since {t} ({who}). Entries go on when it is lifted.",
        "{t}부터 긴급 정지 상태예요 ({who}). 해제되면 신규 진입이 다시 열려요.",
    ),
    _C.PAUSED: (
        "Trading is paused for this account. Turn it on: POST /api/v1/accounts/ID/resume.",
        "이 계정의 거래가 꺼져 있어요. POST /api/v1/accounts/ID/resume 으로 켤 수 있어요.",
    ),
    _C.SUSPENDED: (
        "Suspended until {d}: {reason}. Ask the operator.",
        "{d}까지 이용이 정지됐어요. 사유: {reason}. 운영자에게 문의해 주세요.",
    ),
    _C.SUBSCRIPTION: (
        "No active subscription (ended: {d}). Exits go on; entries wait until you renew it.",
        "이용 중인 구독이 없어요 (종료일: {d}). 청산은 계속되고, 갱신하면 신규 진입이 다시 열려요.",
    ),
    _C.VENUE: (
        "{venue} has not answered for {s} s. Entries reopen by themselves when it does.",
        "{venue} 거래소가 {s}초 동안 응답하지 않아요. 회복되면 자동으로 다시 열려요.",
    ),
    _C.ACCOUNT_DISABLED: (
        (
            "This account was disabled after five credential errors at {venue}. "
            "Test the key (POST /api/v1/credentials/ID/test) or replace it (PUT /api/v1/credentials/ID)."
        ),
        (
            "{venue}에서 키 오류가 다섯 번 이어져 계정이 꺼졌어요. "
            "키를 시험하거나 (POST /api/v1/credentials/ID/test) 바꿔 주세요 (PUT /api/v1/credentials/ID)."
        ),
    ),
    _C.CREDENTIAL_MISSING: (
        "{venue} API credentials are not configured for {environment}.",
        "{venue} API 키가 {environment} 환경에 등록되어 있지 않아요.",
    ),
    _C.CREDENTIAL_REFUSED: (
        (
            "{venue} refuses the API key of this account ({environment}). "
            "Test the key (POST /api/v1/credentials/ID/test) or replace it (PUT /api/v1/credentials/ID)."
        ),
        (
            "{venue}에서 이 계정의 API 키를 거절하고 있어요 ({environment}). "
            "키를 시험하거나 (POST /api/v1/credentials/ID/test) 바꿔 주세요 (PUT /api/v1/credentials/ID)."
        ),
    ),
    _C.CREDENTIAL_UNVERIFIED: (
        "The rights of the API key are not verified. Test it (POST /api/v1/credentials/ID/test).",
        "API 키의 권한이 확인되지 않았어요. 키를 시험해 주세요 (POST /api/v1/credentials/ID/test).",
    ),
    _C.NO_TRADE_RIGHT: (
        (
            "The API key may not trade. Give it the right to trade at the exchange, then test it: "
            "POST /api/v1/credentials/ID/test."
        ),
        (
            "API 키에 주문 권한이 없어요. 거래소에서 주문 권한을 켠 뒤 다시 시험해 주세요: "
            "POST /api/v1/credentials/ID/test"
        ),
    ),
    _C.NO_FUNDS: (
        "No {asset} available for trading.",
        "거래에 쓸 수 있는 {asset} 잔고가 없어요.",
    ),
    _C.ALLOW_LIVE: (
        "Live trading is switched off for this installation. Set TRADEWIND_ALLOW_LIVE=true to allow it.",
        "이 서비스에서 실전 거래가 꺼져 있어요. TRADEWIND_ALLOW_LIVE=true 로 설정하면 켜져요.",
    ),
    _C.LIVE_TOKEN: (
        "The live-confirm token does not match. Set TRADEWIND_LIVE_CONFIRM_TOKEN to the operator's token.",
        "실전 확인 토큰이 맞지 않아요. TRADEWIND_LIVE_CONFIRM_TOKEN 을 운영자의 토큰으로 설정해 주세요.",
    ),
    _C.CONFIRMATION: (
        "You have not confirmed live trading yet. Send the sentence: POST /api/v1/accounts/ID/live-confirmation.",
        "아직 실전 거래를 확인하지 않았어요. POST /api/v1/accounts/ID/live-confirmation 으로 문장을 보내 주세요.",
    ),
    _C.RECONCILING: (
        (
            "This account is being reconciled: its orders and balances are compared with {venue}. "
            "Entries go on by themselves when they agree; exits and stops are not held."
        ),
        (
            "이 계정의 주문과 잔고를 {venue}와 대조하는 중이에요. "
            "맞는 것이 확인되면 신규 진입이 자동으로 다시 열려요. 청산과 손절은 계속돼요."
        ),
    ),
    _C.SECOND_FACTOR: (
        "Trading live needs a second factor, and this release has none yet.",
        "실전 거래에는 2단계 인증이 필요한데, 이 버전에는 아직 없어요.",
    ),
}

"""Why a key is not taken: one code and one text for each cause, in English and Korean (K2, K3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tradewind.core.errors import Conflict, InvalidInput, TradewindError, Unavailable
from tradewind.venues.errors import CredentialRefused, RateLimited, VenueError


class KeyRefusal(StrEnum):
    """A cause for which a key is not stored."""

    KEY_WRONG = "key_wrong"
    SECRET_WRONG = "secret_wrong"  # noqa: S105 - a code, no password
    KEY_REFUSED = "key_refused"
    ADDRESS_REFUSED = "key_address_refused"
    WRONG_ENVIRONMENT = "key_wrong_environment"
    CLOCK = "venue_clock"
    UNREACHABLE = "venue_unreachable"
    BUSY = "venue_busy"
    CAN_WITHDRAW = "key_can_withdraw"
    CANNOT_TRADE = "key_cannot_trade"
    CANNOT_READ = "key_cannot_read"
    ACCOUNT_CANNOT_TRADE = "account_cannot_trade"
    UNVERIFIED = "key_unverified"
    KEY_TAKEN = "key_already_linked"
    ACCOUNT_TAKEN = "venue_account_already_linked"
    OTHER_ACCOUNT = "key_of_other_account"
    UNREADABLE = "credential_unreadable"
    MISSING = "no_credential"


# What the user types where the venue cannot say what a key may do (K3); either language is taken.
UNVERIFIED_SENTENCE = "This key cannot withdraw or transfer."
UNVERIFIED_SENTENCE_KO = "이 키로는 출금이나 이체를 할 수 없습니다."

_R = KeyRefusal


def _text(english: str, korean: str) -> tuple[str, str]:
    return english, korean


_TEXTS: Mapping[KeyRefusal, tuple[str, str]] = {
    _R.KEY_WRONG: _text(
        "{venue} does not know this API key. Copy it again, or make a new one: it may have been deleted.",
        "{venue}에 없는 API 키예요. 다시 복사해 주세요. 삭제된 키라면 새로 만들어 주세요.",
    ),
    _R.SECRET_WRONG: _text(
        "The secret does not belong to this API key. {venue} shows it only once: copy it again or make a new key.",
        "이 API 키의 시크릿이 아니에요. {venue}는 시크릿을 한 번만 보여줘요. 다시 복사하거나 새 키를 만들어 주세요.",
    ),
    _R.KEY_REFUSED: _text(
        "{venue} refused this API key. It says so for three causes alike: the key is wrong or of another "
        "environment, this server is not on the key's IP list{addresses}, or the key may not read and trade.",
        "{venue}가 이 API 키를 거절했어요. 이유는 셋 중 하나예요: 키가 틀렸거나 다른 환경의 키예요, "
        "키의 IP 목록에 이 서버가 없어요{addresses}, 또는 조회·거래 권한이 없어요.",
    ),
    _R.ADDRESS_REFUSED: _text(
        "This server is not on the key's IP list at {venue}. Add it there{addresses}.",
        "{venue}의 키 IP 목록에 이 서버가 없어요. 추가해 주세요{addresses}.",
    ),
    _R.WRONG_ENVIRONMENT: _text(
        "This is a key of the {other} environment. Choose {other}, or use a key of {environment}.",
        "{other} 환경의 키예요. {other}를 선택하거나 {environment} 환경의 키를 사용해 주세요.",
    ),
    _R.CLOCK: _text(
        "The clock of this server and that of {venue} differ too much. The operator has to set the server's clock; "
        "the key itself was not judged.",
        "서버 시계와 {venue} 시계의 차이가 너무 커요. 운영자가 서버 시계를 맞춰야 해요. 키는 확인하지 못했어요.",
    ),
    _R.UNREACHABLE: _text(
        "{venue} could not be reached, so the key was not tested and nothing was stored. Try again in a moment.",
        "{venue}에 연결하지 못해 키를 시험하지 못했고 저장하지 않았어요. 잠시 후 다시 시도해 주세요.",
    ),
    _R.BUSY: _text(
        "{venue} takes no more requests from this server for the moment. Nothing was stored; try again later.",
        "{venue}의 요청 한도에 도달했어요. 저장하지 않았어요. 나중에 다시 시도해 주세요.",
    ),
    _R.CAN_WITHDRAW: _text(
        "This key can withdraw or transfer. Tradewind does not take such keys: switch withdrawals and transfers off "
        "for the key at {venue}, then add it again.",
        "출금이나 이체가 가능한 키는 받지 않아요. {venue}에서 출금·이체 권한을 끈 뒤 다시 추가해 주세요.",
    ),
    _R.CANNOT_TRADE: _text(
        "This key may not trade. Switch spot trading on for the key at {venue}, then add it again.",
        "거래 권한이 없는 키예요. {venue}에서 현물 거래 권한을 켠 뒤 다시 추가해 주세요.",
    ),
    _R.CANNOT_READ: _text(
        "This key may not read the account. Switch reading on for the key at {venue}, then add it again.",
        "조회 권한이 없는 키예요. {venue}에서 조회 권한을 켠 뒤 다시 추가해 주세요.",
    ),
    _R.ACCOUNT_CANNOT_TRADE: _text(
        "{venue} has trading switched off for this whole account. Ask {venue} why; the key is not the cause.",
        "{venue}에서 이 계정의 거래가 막혀 있어요. 키 문제가 아니니 {venue}에 문의해 주세요.",
    ),
    _R.UNVERIFIED: _text(
        "{venue} cannot say what this key may do. Make sure that it cannot withdraw or transfer, then confirm by "
        "typing: {sentence}",
        "{venue}는 키 권한을 알려주지 않아요. 출금·이체가 불가능한지 확인한 뒤 다음 문장을 입력해 주세요: {sentence}",
    ),
    _R.KEY_TAKEN: _text(
        "This key is linked already. One key belongs to one account.",
        "이미 연결된 키예요. 키 하나는 한 계정에만 연결할 수 있어요.",
    ),
    _R.ACCOUNT_TAKEN: _text(
        "This {venue} account is linked already. Two accounts here would trade against each other there.",
        "이미 연결된 {venue} 계정이에요. 같은 거래소 계정을 두 번 연결할 수 없어요.",
    ),
    _R.OTHER_ACCOUNT: _text(
        "This key belongs to another account at {venue}. Use a key of the same one, or link the other as its own.",
        "다른 {venue} 계정의 키예요. 같은 계정의 키를 사용하거나 새 계정으로 연결해 주세요.",
    ),
    _R.UNREADABLE: _text(
        "The key stored here for {venue} cannot be opened, so {venue} was not asked. Tell the operator: the "
        "key-encryption key may have been changed. Adding the exchange key again mends this account.",
        "저장된 {venue} 키를 열 수 없어 {venue}에 묻지 않았어요. 암호화 키가 바뀌었을 수 있으니 "
        "운영자에게 알려 주세요. 거래소 키를 다시 추가하면 이 계정을 다시 쓸 수 있어요.",
    ),
    _R.MISSING: _text(
        "No usable key for {venue} is stored for this account, so {venue} was not asked. Add the exchange key again.",
        "이 계정에 쓸 수 있는 {venue} 키가 저장되어 있지 않아 {venue}에 묻지 않았어요. 거래소 키를 다시 추가해 주세요.",
    ),
}

_CONFLICTS = frozenset({_R.KEY_TAKEN, _R.ACCOUNT_TAKEN, _R.OTHER_ACCOUNT, _R.UNREADABLE, _R.MISSING})
_PASSING = frozenset({_R.CLOCK, _R.UNREACHABLE, _R.BUSY})

# The adapter's own names for what the venue said; whatever is not named here is `key_refused`.
_OF_CODE: Mapping[str, KeyRefusal] = {
    "key_unknown": _R.KEY_WRONG,
    "key_malformed": _R.KEY_WRONG,
    "bad_signature": _R.SECRET_WRONG,
    "secret_unreadable": _R.SECRET_WRONG,
    "ip_not_allowed": _R.ADDRESS_REFUSED,
    # Said by our own signer, before the venue was asked.
    "credential_unreadable": _R.UNREADABLE,
    "no_credential": _R.MISSING,
}


def cause_of(error: VenueError) -> KeyRefusal:
    """Say which cause a venue's error is, as far as the venue lets it be known."""
    # -1021 at Binance, still there after the adapter has measured the offset anew.
    if error.code == "code_-1021":
        return _R.CLOCK
    if isinstance(error, RateLimited):
        return _R.BUSY
    if isinstance(error, CredentialRefused):
        return _OF_CODE.get(error.code, _R.KEY_REFUSED)
    return _R.UNREACHABLE


def refusal_text(cause: KeyRefusal, language: str, values: Mapping[str, str]) -> str:
    """Write the text of a cause in English or Korean."""
    filled = {"venue": "", "other": "", "environment": "", "addresses": "", "sentence": "", **values}
    return _TEXTS[cause][1 if language == "ko" else 0].format(**filled)


def refusal_error(cause: KeyRefusal, language: str, values: Mapping[str, str]) -> TradewindError:
    """Build the error of a cause: 409 for what is taken, 503 for what passes, 422 for what the user can mend."""
    text = refusal_text(cause, language, values)
    if cause in _CONFLICTS:
        return Conflict(cause.value, text)
    if cause in _PASSING:
        return Unavailable(cause.value, text, retry_after_s=30)
    return InvalidInput(cause.value, text)

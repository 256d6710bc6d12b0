"""The live gate: Open, or Closed with ALL reasons (product.md G2, G3; order-protocol.md section 6).

An ENTRY is closed by any reason of this table; X = concerns that environment:

    reason               paper testnet live
    trading_enabled        X      X     X     platform switch
    dry_run                X      X     X     platform or account switch
    stop                   X      X     X     emergency stop of the platform, the venue, the user or the account
    paused                 X      X     X     account switched off by the user or by an error threshold
    suspended              X      X     X
    subscription           X      X     X
    venue                  X      X     X     not healthy within 30 s
    account_disabled       X      X     X     five credential errors in a row (K7)
    credential_missing     X      X     X     no key, or none that opens
    credential_refused     X      X     X     BLIND: the venue refuses the key
    no_trade_right         X      X     X
    no_funds               X      X     X     known to be zero in the quote asset
    credential_unverified  -      X     X     rights neither read from the venue nor confirmed by the user
    allow_live             -      -     X     platform
    live_token             -      -     X     operator's live-confirm token, where one is set
    confirmation           -      -     X     the user's typed confirmation
    second_factor          -      -     X
    reconciling            X      X     X     being compared with the venue; entries WAIT, they are not denied

An EXIT or PROTECTIVE order is closed only by having no usable credential: missing, refused, or without the
right to trade. A venue that is down makes it wait, which is not the gate's business.
The gate is pure and monotone: one more reason never opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tradewind.core.gate_text import TEXTS, GateCode
from tradewind.core.instrument import Environment
from tradewind.core.money import Asset
from tradewind.core.order import GateKind
from tradewind.core.skip import Lang


class CredentialState(StrEnum):
    """What is known of an account's key. A key whose rights the user confirmed in words is VERIFIED."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    NO_TRADE_RIGHT = "no_trade_right"
    MISSING = "missing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInputs:
    """Every fact the gate looks at, already read by the caller; defaults are the closed side.

    Texts that appear in reasons (`venue_label`, dates, `stopped_by`) are ready for people.
    `has_funds` None means unknown, which is no reason.
    """

    environment: Environment
    venue_label: str
    allow_live: bool = False
    trading_enabled: bool = False
    is_dry_run: bool = False
    has_live_token: bool = False
    has_confirmed_live: bool = False
    credential: CredentialState = CredentialState.MISSING
    is_account_disabled: bool = False
    is_venue_healthy: bool = False
    venue_silent_s: int | None = None
    has_subscription: bool = False
    subscription_ended_on: str | None = None
    is_suspended: bool = False
    suspended_until: str | None = None
    suspension_reason: str | None = None
    is_stopped: bool = False
    stopped_since: str | None = None
    stopped_by: str | None = None
    has_second_factor: bool = False
    is_reconciling: bool = False
    is_paused: bool = False
    has_funds: bool | None = None
    quote: Asset | None = None


@dataclass(frozen=True, slots=True)
class GateReason:
    """One closed condition, with what its text needs."""

    code: GateCode
    values: tuple[tuple[str, str], ...] = ()

    def text(self, lang: Lang = "en") -> str:
        """Return what a user reads; it names the setting or the step."""
        english, korean = TEXTS[self.code]
        return (korean if lang == "ko" else english).format(**dict(self.values))


@dataclass(frozen=True, slots=True)
class Open:
    """Nothing speaks against the order."""


@dataclass(frozen=True, slots=True)
class Closed:
    """All reasons that speak against it, in the order of the table."""

    reasons: tuple[GateReason, ...]

    @property
    def codes(self) -> frozenset[GateCode]:
        return frozenset(reason.code for reason in self.reasons)


GateAnswer = Open | Closed

_UNUSABLE = frozenset({GateCode.CREDENTIAL_MISSING, GateCode.CREDENTIAL_REFUSED, GateCode.NO_TRADE_RIGHT})
_CREDENTIAL_CODES = {
    CredentialState.MISSING: GateCode.CREDENTIAL_MISSING,
    CredentialState.REFUSED: GateCode.CREDENTIAL_REFUSED,
    CredentialState.NO_TRADE_RIGHT: GateCode.NO_TRADE_RIGHT,
    CredentialState.UNVERIFIED: GateCode.CREDENTIAL_UNVERIFIED,
}

_ALL = frozenset(Environment)
_REAL_VENUE = frozenset({Environment.TESTNET, Environment.LIVE})
_LIVE = frozenset({Environment.LIVE})

# The table above, as the code reads it.
CONCERNS: dict[GateCode, frozenset[Environment]] = {
    GateCode.TRADING_ENABLED: _ALL,
    GateCode.DRY_RUN: _ALL,
    GateCode.STOP: _ALL,
    GateCode.PAUSED: _ALL,
    GateCode.SUSPENDED: _ALL,
    GateCode.SUBSCRIPTION: _ALL,
    GateCode.VENUE: _ALL,
    GateCode.ACCOUNT_DISABLED: _ALL,
    GateCode.CREDENTIAL_MISSING: _ALL,
    GateCode.CREDENTIAL_REFUSED: _ALL,
    GateCode.NO_TRADE_RIGHT: _ALL,
    GateCode.NO_FUNDS: _ALL,
    GateCode.CREDENTIAL_UNVERIFIED: _REAL_VENUE,
    GateCode.ALLOW_LIVE: _LIVE,
    GateCode.LIVE_TOKEN: _LIVE,
    GateCode.CONFIRMATION: _LIVE,
    GateCode.SECOND_FACTOR: _LIVE,
    GateCode.RECONCILING: _ALL,
}


def gate(kind: GateKind, inputs: GateInputs) -> GateAnswer:
    """Answer whether an order of this kind may be placed, with every reason if not."""
    codes = [code for code in _failed(inputs) if inputs.environment in CONCERNS[code]]
    if kind is not GateKind.ENTRY:
        codes = [code for code in codes if code in _UNUSABLE]
    if not codes:
        return Open()
    return Closed(tuple(GateReason(code, _values(code, inputs)) for code in codes))


def _failed(inputs: GateInputs) -> list[GateCode]:
    """Every condition that does not hold, whatever the environment, in the order of the table."""
    conditions = (
        (not inputs.trading_enabled, GateCode.TRADING_ENABLED),
        (inputs.is_dry_run, GateCode.DRY_RUN),
        (inputs.is_stopped, GateCode.STOP),
        (inputs.is_paused, GateCode.PAUSED),
        (inputs.is_suspended, GateCode.SUSPENDED),
        (not inputs.has_subscription, GateCode.SUBSCRIPTION),
        (not inputs.is_venue_healthy, GateCode.VENUE),
        (inputs.is_account_disabled, GateCode.ACCOUNT_DISABLED),
        (inputs.has_funds is False, GateCode.NO_FUNDS),
        (not inputs.allow_live, GateCode.ALLOW_LIVE),
        (not inputs.has_live_token, GateCode.LIVE_TOKEN),
        (not inputs.has_confirmed_live, GateCode.CONFIRMATION),
        (not inputs.has_second_factor, GateCode.SECOND_FACTOR),
        (inputs.is_reconciling, GateCode.RECONCILING),
    )
    failed = [code for is_failed, code in conditions if is_failed]
    credential = _CREDENTIAL_CODES.get(inputs.credential)
    return failed if credential is None else [credential, *failed]


def _values(code: GateCode, inputs: GateInputs) -> tuple[tuple[str, str], ...]:
    """What the text of one reason quotes."""
    match code:
        case GateCode.CREDENTIAL_MISSING | GateCode.CREDENTIAL_REFUSED | GateCode.ACCOUNT_DISABLED:
            return (("venue", inputs.venue_label), ("environment", inputs.environment.value))
        case GateCode.RECONCILING:
            return (("venue", inputs.venue_label),)
        case GateCode.VENUE:
            silent = "30+" if inputs.venue_silent_s is None else str(inputs.venue_silent_s)
            return (("venue", inputs.venue_label), ("s", silent))
        case GateCode.SUBSCRIPTION:
            return (("d", inputs.subscription_ended_on or "-"),)
        case GateCode.SUSPENDED:
            return (("d", inputs.suspended_until or "-"), ("reason", inputs.suspension_reason or "-"))
        case GateCode.STOP:
            return (("t", inputs.stopped_since or "-"), ("who", inputs.stopped_by or "-"))
        case GateCode.NO_FUNDS:
            return (("asset", str(inputs.quote or "quote asset")),)
        case _:
            return ()

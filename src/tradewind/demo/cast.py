"""Who takes part: 25 people on the four plans, each with a fate. Pure; the same seed gives the same people.

Three keys are refused (they never become accounts), three accounts are skipped, three orders run into a
failure of the network or the venue and must be found out about, everybody else is simply filled.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tradewind.core.mandate import RiskLevel
from tradewind.core.plan import PlanName
from tradewind.core.skip import SkipReason

PEOPLE = 25


class Fate(StrEnum):
    """What is special about a person."""

    PLAIN = "plain"
    KEY_WITHDRAWS = "key_withdraws"
    KEY_CANNOT_TRADE = "key_cannot_trade"
    SECRET_WRONG = "secret_wrong"  # noqa: S105 - a fate, no password
    TOO_POOR = "too_poor"
    PAUSED = "paused"
    WEEK_USED = "week_used"
    ANSWER_LOST = "answer_lost"
    CUT_BEFORE = "cut_before"
    ANSWERED_503 = "answered_503"

    @property
    def is_refused(self) -> bool:
        """The key is refused: no account."""
        return self in _REFUSED

    @property
    def is_failure(self) -> bool:
        """Something breaks between us and the venue."""
        return self in _FAILURES

    @property
    def skip_reason(self) -> SkipReason | None:
        """Why the open-alert skips this account, if it does."""
        return _SKIPS.get(self)

    @property
    def words(self) -> str:
        """What is special, in words."""
        return _WORDS[self]


_F = Fate
_REFUSED = frozenset({_F.KEY_WITHDRAWS, _F.KEY_CANNOT_TRADE, _F.SECRET_WRONG})
_FAILURES = frozenset({_F.ANSWER_LOST, _F.CUT_BEFORE, _F.ANSWERED_503})
_SKIPS = {
    _F.TOO_POOR: SkipReason.TOO_SMALL,
    _F.PAUSED: SkipReason.PAUSED,
    _F.WEEK_USED: SkipReason.WEEKLY_LIMIT,
}
_WORDS = {
    _F.PLAIN: "",
    _F.KEY_WITHDRAWS: "key can withdraw",
    _F.KEY_CANNOT_TRADE: "key may not trade",
    _F.SECRET_WRONG: "wrong secret",
    _F.TOO_POOR: "too little money",
    _F.PAUSED: "account paused",
    _F.WEEK_USED: "week's entries used",
    _F.ANSWER_LOST: "answer lost",
    _F.CUT_BEFORE: "connection cut",
    _F.ANSWERED_503: "answered 503",
}
_PLANS = (
    (PlanName.ENTERPRISE, 3),
    (PlanName.PRO, 8),
    (PlanName.FLEX, 8),
    (PlanName.TRIAL, 6),
)
# Distances in bps. The near ones are there so that the recording reaches some of them while one watches.
_NEAR_STOPS = (40, 60, 80, 120)
_NEAR_TARGETS = (60, 80, 120, 180)
_FAR = (600, 1_200)
# Half of those to whom nothing happens get near levels on both sides, a quarter each on one side.
_BALANCES = (1_500, 2_400, 3_800, 5_000, 8_200, 12_000, 20_000)
# A tenth of this is below the smallest order.
_POOR = 60
_NAMES = (
    "Minjun Kim",
    "Ada Okafor",
    "Seoyeon Lee",
    "Jonas Weber",
    "Jiho Park",
    "Lucía Romero",
    "Haneul Choi",
    "Noah Smith",
    "Yuna Jung",
    "Emre Yıldız",
    "Doyun Kang",
    "Chloé Martin",
    "Sua Yoon",
    "Liam Murphy",
    "Eunwoo Jang",
    "Freja Holm",
    "Siwoo Lim",
    "Rohan Mehta",
    "Jia Han",
    "Tomás Silva",
    "Yejun Oh",
    "Anna Novák",
    "Chaewon Seo",
    "Kenji Mori",
    "Arin Shin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person. Money in USDT, distances in bps of the price; `is_executed_503`: did the venue, before its 503?"""

    number: int
    name: str
    plan: PlanName
    fate: Fate
    balance: Decimal
    risk: RiskLevel
    stop_bps: int
    target_bps: int
    is_executed_503: bool = False

    @property
    def email(self) -> str:
        return f"user{self.number:02d}@demo.example"

    @property
    def has_account(self) -> bool:
        return not self.fate.is_refused

    @property
    def is_executed_unheard(self) -> bool | None:
        """Whether the venue executed the first sending although no answer came; None where nothing breaks."""
        match self.fate:
            case Fate.ANSWER_LOST:
                return True
            case Fate.CUT_BEFORE:
                return False
            case Fate.ANSWERED_503:
                return self.is_executed_503
            case _:
                return None


def build_cast(seed: int) -> tuple[Person, ...]:
    """Choose plans, fates, balances and distances by seed."""
    rng = random.Random(f"tradewind demo {seed}")  # noqa: S311 - repeatable on purpose
    plans = [name for name, count in _PLANS for _ in range(count)]
    fates = _draw_fates(rng, plans)
    levels = _draw_levels(rng, fates)
    names = list(_NAMES)
    rng.shuffle(names)
    return tuple(
        Person(
            number=index + 1,
            name=names[index],
            plan=plans[index],
            fate=fates[index],
            balance=Decimal(_POOR if fates[index] is Fate.TOO_POOR else rng.choice(_BALANCES)),
            risk=rng.choice(list(RiskLevel)),
            stop_bps=levels[index][0],
            target_bps=levels[index][1],
            # The seed's parity, not a draw: any two seeds in a row show both endings.
            is_executed_503=seed % 2 == 1,
        )
        for index in range(PEOPLE)
    )


def _draw_fates(rng: random.Random, plans: Sequence[PlanName]) -> list[Fate]:
    """Give out the fates; the week's limit needs a plan with a small one."""
    fates = [Fate.PLAIN] * PEOPLE
    trial = [index for index, plan in enumerate(plans) if plan is PlanName.TRIAL]
    fates[rng.choice(trial)] = Fate.WEEK_USED
    # The first of each plan stays plain, so that every plan has somebody to whom nothing happens.
    firsts = {plans.index(plan) for plan in PlanName}
    free = [index for index in range(PEOPLE) if fates[index] is Fate.PLAIN and index not in firsts]
    special = [fate for fate in Fate if fate not in (Fate.PLAIN, Fate.WEEK_USED)]
    for index, fate in zip(rng.sample(free, len(special)), special, strict=True):
        fates[index] = fate
    return fates


def _draw_levels(rng: random.Random, fates: Sequence[Fate]) -> list[tuple[int, int]]:
    """Give near stops and targets to most of the plain ones; whoever meets a failure stays far from both."""
    levels = [_FAR] * len(fates)
    plain = [index for index, fate in enumerate(fates) if fate is Fate.PLAIN]
    rng.shuffle(plain)
    near = plain[: len(plain) * 3 // 4]
    for position, index in enumerate(near):
        stop, target = rng.choice(_NEAR_STOPS), rng.choice(_NEAR_TARGETS)
        levels[index] = ((stop, target), (stop, target), (stop, _FAR[1]), (_FAR[0], target))[position % 4]
    return levels

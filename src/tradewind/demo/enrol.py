"""Getting everybody in: a key from the exchange, then the same calls a person's browser would make.

Key -> POST /credentials (tested at the venue, then sealed) -> PATCH limits -> POST /mandates -> pause where the
story says so. Three keys are refused there; their owners stay without account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tradewind.core.errors import Unavailable
from tradewind.demo.case import KeyOutcome
from tradewind.demo.cast import Fate, Person
from tradewind.demo.players import Players
from tradewind.demo.stage import Stage

# A handful of people at a time, as in a busy minute.
_AT_ONCE = 5
_MAX_ORDER = "400"
_MAX_DAY = "4000"
_REFUSALS = {
    Fate.KEY_WITHDRAWS: "key_can_withdraw",
    Fate.KEY_CANNOT_TRADE: "key_cannot_trade",
    Fate.SECRET_WRONG: "secret_wrong",
}


@dataclass(slots=True)
class Enrolment:
    """Enrols people one by one, several at a time."""

    players: Players
    stage: Stage

    async def enrol_all(self, cast: Sequence[Person]) -> list[KeyOutcome]:
        """Enrol everybody; return what became of each key."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(person: Person) -> KeyOutcome:
            async with slots:
                return await self._enrol(person)

        # Together, so that the first failure is raised when all have come to an end.
        return list(await asyncio.gather(*(one(person) for person in cast)))

    async def _enrol(self, person: Person) -> KeyOutcome:
        expected = _REFUSALS.get(person.fate)
        account_id, code = await self._link(person)
        if account_id is not None:
            await self._set_up(person, account_id)
        return KeyOutcome(person.number, expected, code)

    async def _link(self, person: Person) -> tuple[str | None, str | None]:
        """Link a person's key; return (account, None) or (None, code of the refusal)."""
        players, login = self.players, self.players.foundation.users[person.number]
        api_key, secret = await self._key_for(person)
        body = {
            "venue": "binance",
            "environment": "paper",
            "label": f"{person.name.split()[0]}'s exchange account",
            "api_key": api_key,
            "api_secret": secret,
        }
        answer = await players.platform.call("POST", "/api/v1/credentials", token=login.token, body=body)
        if answer.is_good:
            account_id = str(answer.body["account"]["id"])
            players.accounts[person.number] = account_id
            return account_id, None
        if answer.status >= 500 or person.fate not in _REFUSALS:
            raise Unavailable(
                "demo_key_not_added",
                f"{person.name}'s key was not added ({answer.status} {answer.code}): {answer.text}",
            )
        self.stage.see_refused(person.number, answer.code, answer.text)
        return None, answer.code

    async def _set_up(self, person: Person, account_id: str) -> None:
        players, token = self.players, self.players.foundation.users[person.number].token
        caps = {"max_order_quote": _MAX_ORDER, "max_day_quote": _MAX_DAY}
        await players.platform.demand("PATCH", f"/api/v1/accounts/{account_id}", token=token, body=caps)
        hooks = [players.foundation.main]
        if person.fate is Fate.WEEK_USED:
            hooks.append(players.foundation.earlier)
        for hook in hooks:
            terms = {**_terms(person), "account_id": account_id, "source_id": hook.source_id}
            await players.platform.demand("POST", "/api/v1/mandates", token=token, body=terms)
        if person.fate is Fate.PAUSED:
            await players.platform.demand("POST", f"/api/v1/accounts/{account_id}/pause", token=token)

    async def _key_for(self, person: Person) -> tuple[str, str]:
        key = await self.players.exchange.issue_key(
            person.balance,
            trading=person.fate is not Fate.KEY_CANNOT_TRADE,
            withdraw=person.fate is Fate.KEY_WITHDRAWS,
        )
        self.players.uids[person.number] = key.uid
        # Copied wrongly, as happens: right length, wrong text.
        secret = key.secret[::-1] if person.fate is Fate.SECRET_WRONG else key.secret
        return key.api_key, secret


def _terms(person: Person) -> Mapping[str, Any]:
    return {"risk": person.risk.value, "stop_bps": person.stop_bps, "target_bps": person.target_bps}

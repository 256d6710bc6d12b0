"""A small app around the shared doors, with two callers whom everybody knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI
from tests.support.clock import ManualClock

from tradewind.core.errors import Unauthenticated
from tradewind.core.ids import UserId
from tradewind.web.install import install_web
from tradewind.web.principal import SCOPES_OF_ROLE, Principal, Role
from tradewind.web.ratelimit import Limiter

USER_TOKEN = "tw_user"
OPERATOR_TOKEN = "tw_operator"
COOKIE = "cookie-of-u1"
CSRF = "csrf-of-u1"


@dataclass
class KnownCallers:
    """An Authenticator that knows two tokens and one cookie."""

    callers: dict[str, Principal] = field(
        default_factory=lambda: {
            USER_TOKEN: Principal(UserId("u1"), Role.USER, SCOPES_OF_ROLE[Role.USER], token_id="t1"),
            OPERATOR_TOKEN: Principal(UserId("op"), Role.OPERATOR, SCOPES_OF_ROLE[Role.OPERATOR], token_id="t2"),
            COOKIE: Principal(UserId("u1"), Role.USER, SCOPES_OF_ROLE[Role.USER], session_id="s1"),
        }
    )

    async def by_token(self, token: str) -> Principal:
        if not token.startswith("tw_"):
            raise Unauthenticated("bad_token", "unknown")
        return self._of(token)

    async def by_session(self, cookie: str) -> Principal:
        return self._of(cookie)

    def is_csrf_right(self, cookie: str, header: str) -> bool:
        return (cookie, header) == (COOKIE, CSRF)

    def _of(self, key: str) -> Principal:
        caller = self.callers.get(key)
        if caller is None:
            raise Unauthenticated("bad_token", "unknown")
        return caller


def guarded_app(clock: ManualClock | None = None) -> FastAPI:
    """An app with the shared doors installed and no routes yet."""
    app = FastAPI()
    install_web(app, authenticator=KnownCallers(), limiter=Limiter(clock or ManualClock()))
    return app

"""Who is calling, and what they may do.

A program sends `Authorization: Bearer tw_...`; a browser sends the `__Host-tw` session cookie. A cookie
travels by itself, so with it every unsafe method also needs the `X-CSRF` header (which only our own page
can know) and must come from our own origin; a bearer token needs neither. A header that is present and
wrong is refused: it never falls back to the cookie.

This file knows no users: the app puts an `Authenticator` in place (identity offers one).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from tradewind.core.errors import Forbidden, Unauthenticated
from tradewind.core.ids import UserId
from tradewind.web.ratelimit import USER_RATE, Limiter

SESSION_COOKIE = "__Host-tw"
CSRF_HEADER = "X-CSRF"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Role(StrEnum):
    """What kind of person this is (P4). Support reads masked data and acts on nothing."""

    USER = "user"
    SUPPORT = "support"
    OPERATOR = "operator"


class Scope(StrEnum):
    """What a session or an API token may be used for (P3)."""

    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"


SCOPES_OF_ROLE: dict[Role, frozenset[Scope]] = {
    Role.USER: frozenset({Scope.READ, Scope.TRADE}),
    Role.SUPPORT: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.TRADE, Scope.ADMIN}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """One authenticated caller: exactly one of `session_id` and `token_id` is set."""

    user_id: UserId
    role: Role
    scopes: frozenset[Scope]
    session_id: str | None = None
    token_id: str | None = None
    language: str = "en"

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR and Scope.ADMIN in self.scopes

    @property
    def actor(self) -> str:
        """How the audit names this caller."""
        return f"user:{self.user_id}"


class Authenticator(Protocol):
    """Turns what a request carries into a Principal; raises Unauthenticated for anything not good."""

    async def by_token(self, token: str) -> Principal:
        """Check an API token."""
        ...

    async def by_session(self, cookie: str) -> Principal:
        """Check a session cookie, and keep the session awake."""
        ...

    def is_csrf_right(self, cookie: str, header: str) -> bool:
        """Say whether the header belongs to this session (constant time)."""
        ...


def install(app: FastAPI, authenticator: Authenticator, limiter: Limiter) -> None:
    """Put authentication and the hourly limit per user in place."""
    app.state.authenticator = authenticator
    app.state.limiter = limiter


async def authenticate(connection: HTTPConnection) -> Principal:
    """Authenticate an HTTP request or a WebSocket upgrade. Raises Unauthenticated or Forbidden."""
    authenticator: Authenticator = connection.app.state.authenticator
    header = connection.headers.get("authorization")
    if header is not None:
        return await authenticator.by_token(_bearer_of(header))
    cookie = connection.cookies.get(SESSION_COOKIE)
    if not cookie:
        raise Unauthenticated("not_signed_in", "Sign in, or send an API token: Authorization: Bearer tw_...")
    is_socket = connection.scope["type"] == "websocket"
    if is_socket or connection.scope["method"] not in _SAFE_METHODS:
        demand_own_origin(connection)
    principal = await authenticator.by_session(cookie)
    if not is_socket and connection.scope["method"] not in _SAFE_METHODS:
        _demand_csrf(authenticator, connection, cookie)
    return principal


def demand_own_origin(connection: HTTPConnection) -> None:
    """Refuse what another site makes a browser send; programs send no Origin and pass.

    Raises Forbidden. A WebSocket upgrade is not covered by CORS, so it is asked here as well.
    """
    site = connection.headers.get("sec-fetch-site")
    origin = connection.headers.get("origin")
    # Host only, not scheme: behind a TLS proxy this process sees http.
    is_foreign = origin is not None and urlsplit(origin).netloc != connection.headers.get("host")
    if is_foreign or site not in (None, "same-origin", "none"):
        raise Forbidden("foreign_origin", "The request comes from another site and is refused.")


def _bearer_of(header: str) -> str:
    kind, _, token = header.partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise Unauthenticated("bad_authorization", "Send the API token as: Authorization: Bearer tw_...")
    return token


def _demand_csrf(authenticator: Authenticator, connection: HTTPConnection, cookie: str) -> None:
    header = connection.headers.get(CSRF_HEADER)
    if header is None or not authenticator.is_csrf_right(cookie, header):
        raise Forbidden("csrf", f"The {CSRF_HEADER} header is missing or wrong. Send the `csrf` of GET /api/v1/me.")


_bearer = HTTPBearer(auto_error=False, scheme_name="API token", description="`tw_...`, from POST /api/v1/tokens")


async def current_principal(request: Request, _shown: Annotated[Any, Depends(_bearer)] = None) -> Principal:
    """FastAPI dependency: the caller, after the hourly limit per user (P5)."""
    principal = await authenticate(request)
    limiter: Limiter = request.app.state.limiter
    allowance = limiter.take(USER_RATE, principal.user_id)
    request.state.allowance = allowance
    allowance.demand()
    return principal


_Dependency = Callable[[Principal], Coroutine[Any, Any, Principal]]


def require(scope: Scope) -> _Dependency:
    """Return a dependency that demands a scope. Raises Forbidden."""

    async def demand(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
        if scope not in principal.scopes:
            raise Forbidden("scope_missing", f"This needs the scope {scope.value!r}, which the caller does not have.")
        return principal

    return demand


def require_role(*roles: Role) -> _Dependency:
    """Return a dependency that demands one of these roles, with its admin scope for operators."""

    async def demand(principal: Annotated[Principal, Depends(current_principal)]) -> Principal:
        if principal.role not in roles:
            raise Forbidden("role_missing", "This is for " + " or ".join(role.value for role in roles) + "s.")
        if principal.role is Role.OPERATOR and Scope.ADMIN not in principal.scopes:
            raise Forbidden("scope_missing", "This needs a session or a token with the scope 'admin'.")
        return principal

    return demand


Caller = Annotated[Principal, Depends(current_principal)]
Reader = Annotated[Principal, Depends(require(Scope.READ))]
Trader = Annotated[Principal, Depends(require(Scope.TRADE))]
Operator = Annotated[Principal, Depends(require_role(Role.OPERATOR))]

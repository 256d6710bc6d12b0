"""HTTP of people: sign in and out, who am I, sessions, API tokens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from tradewind.core.errors import Forbidden, InvalidInput
from tradewind.identity.login import Login
from tradewind.identity.people import ApiToken, Session, User
from tradewind.identity.service import SESSION_LIFE, Identity, csrf_of
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.vault.secret import Secret
from tradewind.web.principal import (
    SCOPES_OF_ROLE,
    SESSION_COOKIE,
    Caller,
    Principal,
    Reader,
    Role,
    Scope,
    Trader,
    demand_own_origin,
)
from tradewind.web.ratelimit import address_of
from tradewind.web.typed_password import TypedPassword


@dataclass(frozen=True, slots=True)
class IdentityDeps:
    """What the routes need."""

    db: Db
    clock: Clock
    identity: Identity
    login: Login
    # The venues of this installation, by name.
    venues: Collection[str] = ()


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class LogInBody(_Strict):
    """What a person types."""

    email: Annotated[str, Field(min_length=3, max_length=254)]
    password: TypedPassword


class TokenBody(_Strict):
    """A token to issue."""

    label: Annotated[str, Field(min_length=1, max_length=80)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    days: Annotated[int, Field(ge=1, le=366)] = 90


class MeBody(_Strict):
    """What a person may change of themselves; what is left out stays."""

    preferred_venue: Annotated[
        str | None,
        Field(max_length=24, description="of several accounts that follow a source, those there trade; null: all do"),
    ] = None


class UserOut(BaseModel):
    """A person as they see themselves."""

    id: str
    email: str
    name: str
    role: Role
    language: str
    is_suspended: bool
    suspended_until: datetime | None
    suspended_reason: str | None
    preferred_venue: str | None


class MeOut(BaseModel):
    """Who is calling, and with what rights. `csrf` only for a session."""

    user: UserOut
    scopes: list[Scope]
    csrf: str | None


class SessionOut(BaseModel):
    """A signed-in browser."""

    id: str
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str
    is_this: bool


class TokenOut(BaseModel):
    """An API token without the token."""

    id: str
    label: str
    scopes: list[Scope]
    tail: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None


class IssuedTokenOut(TokenOut):
    """An API token just issued; `token` is shown this once."""

    token: str


class SessionsOut(BaseModel):
    """All living sessions of the caller."""

    items: list[SessionOut]


class TokensOut(BaseModel):
    """All API tokens of the caller."""

    items: list[TokenOut]


def build_router(deps: IdentityDeps) -> APIRouter:
    """Build the routes of this room."""
    router = APIRouter(tags=["identity"])
    _add_session_routes(router, deps)
    _add_me(router, deps)
    _add_token_routes(router, deps)
    return router


def _add_me(router: APIRouter, deps: IdentityDeps) -> None:
    @router.get("/me")
    async def me(caller: Reader, request: Request) -> MeOut:
        """Say who is calling."""
        user = await deps.db.read(lambda tx: deps.identity.load_user(tx, caller.user_id))
        cookie = request.cookies.get(SESSION_COOKIE)
        csrf = csrf_of(cookie) if caller.session_id is not None and cookie else None
        return _me(user, deps.clock.now(), csrf, caller.scopes)

    @router.patch("/me")
    async def change_me(body: MeBody, caller: Trader) -> UserOut:
        """Change what you prefer. The preferred venue decides which of your accounts trade new entries."""
        now = deps.clock.now()
        wanted = body.preferred_venue
        if wanted is not None and wanted not in deps.venues:
            known = ", ".join(sorted(deps.venues))
            raise InvalidInput("venue_unknown", f"There is no venue {wanted!r} here. There are: {known}.")

        def work(tx: Tx) -> User:
            if "preferred_venue" not in body.model_fields_set:
                return deps.identity.load_user(tx, caller.user_id)
            return deps.identity.prefer_venue(tx, caller.user_id, wanted, actor=caller.actor)

        return _user_out(await deps.db.write(work), now)


def _add_session_routes(router: APIRouter, deps: IdentityDeps) -> None:
    @router.post("/session", response_model=MeOut)
    async def sign_in(body: LogInBody, request: Request, response: Response) -> MeOut:
        """Sign in; sets the session cookie and returns the X-CSRF value for it."""
        demand_own_origin(request)
        user, issued = await deps.login.log_in(
            body.email,
            Secret(body.password.get_secret_value()),
            address=address_of(request),
            agent=request.headers.get("user-agent", ""),
        )
        _set_cookie(response, issued.token.reveal_text())
        return _me(user, deps.clock.now(), issued.csrf, SCOPES_OF_ROLE[user.role])

    @router.delete("/session", status_code=204)
    async def sign_out(caller: Caller, response: Response) -> None:
        """Sign out; ends this session."""
        session_id = caller.session_id
        if session_id is None:
            raise Forbidden("not_a_session", "A program signs out by revoking its token.")
        await deps.db.write(lambda tx: deps.identity.close_session(tx, caller.user_id, session_id))
        _set_cookie(response, "", life_s=0)
        response.headers["Clear-Site-Data"] = '"cache", "storage"'

    @router.get("/sessions")
    async def sessions(caller: Reader) -> SessionsOut:
        """List the caller's living sessions."""
        rows = await deps.db.read(lambda tx: deps.identity.list_sessions(tx, caller.user_id))
        return SessionsOut(items=[_session_out(row, caller) for row in rows])

    @router.delete("/sessions/{session_id}", status_code=204)
    async def end_session(session_id: str, caller: Caller) -> None:
        """End one of the caller's sessions."""
        _demand_person(caller)
        await deps.db.write(lambda tx: deps.identity.close_session(tx, caller.user_id, session_id))


def _add_token_routes(router: APIRouter, deps: IdentityDeps) -> None:
    @router.get("/tokens")
    async def tokens(caller: Reader) -> TokensOut:
        """List the caller's API tokens."""
        rows = await deps.db.read(lambda tx: deps.identity.list_tokens(tx, caller.user_id))
        return TokensOut(items=[TokenOut(**_token_fields(row)) for row in rows])

    @router.post("/tokens", status_code=201)
    async def issue(body: TokenBody, caller: Caller) -> IssuedTokenOut:
        """Issue an API token; it is shown in this answer and never again."""
        _demand_person(caller)
        issued = await deps.db.write(
            lambda tx: deps.identity.issue_token(
                tx,
                caller.user_id,
                label=body.label,
                scopes=frozenset(body.scopes),
                actor=caller.actor,
                life=timedelta(days=body.days),
            )
        )
        return IssuedTokenOut(**_token_fields(issued.row), token=issued.token.reveal_text())

    @router.delete("/tokens/{token_id}", status_code=204)
    async def revoke(token_id: str, caller: Caller) -> None:
        """Revoke one of the caller's API tokens; a token may always revoke itself."""
        if caller.token_id != token_id:
            _demand_person(caller)
        await deps.db.write(lambda tx: deps.identity.revoke_token(tx, caller.user_id, token_id, actor=caller.actor))


def _demand_person(caller: Principal) -> None:
    # Otherwise a stolen read token could mint itself a trading one.
    if caller.session_id is None and Scope.ADMIN not in caller.scopes:
        raise Forbidden("session_needed", "Sign in for this, or use a token with the scope 'admin'.")


def _set_cookie(response: Response, value: str, *, life_s: int | None = None) -> None:
    # __Host-: Secure, Path=/, no Domain; a sibling host can neither read nor plant it.
    response.set_cookie(
        SESSION_COOKIE,
        value,
        max_age=int(SESSION_LIFE.total_seconds()) if life_s is None else life_s,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def _me(user: User, now: datetime, csrf: str | None, scopes: frozenset[Scope]) -> MeOut:
    shown = _user_out(user, now)
    return MeOut(user=shown, scopes=[scope for scope in Scope if scope in scopes], csrf=csrf)


def _user_out(user: User, now: datetime) -> UserOut:
    is_suspended = user.is_suspended(now)
    return UserOut(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        language=user.language,
        is_suspended=is_suspended,
        suspended_until=user.suspended_until if is_suspended else None,
        suspended_reason=user.suspended_reason if is_suspended else None,
        preferred_venue=user.preferred_venue,
    )


def _session_out(row: Session, caller: Principal) -> SessionOut:
    return SessionOut(
        id=row.id,
        created_at=row.created_at,
        seen_at=row.seen_at,
        address=row.address,
        agent=row.agent,
        is_this=row.id == caller.session_id,
    )


def _token_fields(row: ApiToken) -> dict[str, Any]:
    return {
        "id": row.id,
        "label": row.label,
        "scopes": [scope for scope in Scope if scope in row.scopes],
        "tail": row.tail,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "seen_at": row.seen_at,
    }

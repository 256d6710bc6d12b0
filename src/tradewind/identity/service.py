"""The verbs about people: create, sign in and out, issue and revoke tokens, suspend.

A session or token is 256 random bits; only its SHA-256 is stored (a hash of that many random bits needs no
salt). Rights are read from the person at every request, so a changed role or a revoked token counts at
once. Suspension stops entries, not sign-in: a suspended user must still see and close what is open (P4).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from tradewind.audit.service import Audit
from tradewind.core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from tradewind.core.ids import UserId
from tradewind.identity import store
from tradewind.identity.people import ApiToken, Session, User
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.vault.secret import Secret
from tradewind.web.principal import SCOPES_OF_ROLE, Principal, Role, Scope

TOKEN_PREFIX = "tw_"  # noqa: S105 - the public prefix of our API tokens, no password
SESSION_IDLE = timedelta(hours=1)
SESSION_LIFE = timedelta(hours=24)
TOKEN_LIFE_DEFAULT = timedelta(days=90)
TOKEN_LIFE_MAX = timedelta(days=366)
_TOKENS_MAX = 50
_SESSIONS_MAX = 50
# A use is written down at most once a minute, so that reading does not become writing.
_TOUCH_EVERY = timedelta(seconds=60)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
LANGUAGES = ("en", "ko")


@dataclass(frozen=True, slots=True)
class NewUser:
    """A person to create; the password is hashed before (it takes time)."""

    email: str
    name: str
    password_hash: str
    role: Role = Role.USER
    language: str = "en"


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A fresh session; the token goes into the cookie and nowhere else."""

    session: Session
    token: Secret
    csrf: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh API token; shown once."""

    row: ApiToken
    token: Secret


class Identity:
    """People, their sessions and tokens."""

    def __init__(self, clock: Clock, ids: Ids, audit: Audit) -> None:
        self._clock = clock
        self._ids = ids
        self._audit = audit

    # --- people ---

    def create_user(self, tx: Tx, new: NewUser, *, actor: str) -> User:
        """Create a person. Raises InvalidInput or Conflict (address taken)."""
        email = normal_email(new.email)
        if store.find_user_by_email(tx, email) is not None:
            raise _email_taken()
        user = User(
            UserId(self._ids.new()),
            email,
            _clean_name(new.name),
            new.password_hash,
            new.role,
            _language(new.language),
            "active",
            None,
            None,
            self._clock.now(),
        )
        try:
            store.insert_user(tx, user)
        except IntegrityError:
            raise _email_taken() from None
        self._audit.append(
            tx, actor, "user.created", f"user:{user.id}", details={"role": user.role.value}, user_id=user.id
        )
        return user

    def load_user(self, tx: Tx, user_id: UserId) -> User:
        """Load a person. Raises NotFound."""
        user = store.find_user(tx, user_id)
        if user is None:
            raise NotFound("user_not_found", "There is no such user.")
        return user

    def find_user_by_email(self, tx: Tx, email: str) -> User | None:
        """Find a person by e-mail address, however it is written."""
        try:
            return store.find_user_by_email(tx, normal_email(email))
        except InvalidInput:
            return None

    def list_users(self, tx: Tx, *, after_id: str | None = None, limit: int = 100) -> list[User]:
        """List people in order of creation."""
        return store.list_users(tx, after_id=after_id, limit=limit)

    def load_users(self, tx: Tx, user_ids: Iterable[UserId]) -> Mapping[UserId, User]:
        """Load many people in one query; those that do not exist are missing."""
        return {user.id: user for user in store.users_with_ids(tx, sorted(set(user_ids)))}

    def suspend(self, tx: Tx, user_id: UserId, *, reason: str, until: datetime | None, actor: str) -> User:
        """Stop a person's entries until a date (None: until lifted); exits and stops go on."""
        self.load_user(tx, user_id)
        if not reason.strip():
            raise InvalidInput("reason_missing", "Say why: the user reads it.")
        if until is not None and until <= self._clock.now():
            raise InvalidInput("until_in_past", "The end of a suspension must lie in the future.")
        store.update_standing(tx, user_id, status="suspended", until=until, reason=reason.strip()[:200])
        details = {"reason": reason.strip()[:200], "until": None if until is None else until.isoformat()}
        self._audit.append(tx, actor, "user.suspended", f"user:{user_id}", details=details, user_id=user_id)
        return self.load_user(tx, user_id)

    def unsuspend(self, tx: Tx, user_id: UserId, *, actor: str) -> User:
        """Lift a suspension (idempotent)."""
        self.load_user(tx, user_id)
        store.update_standing(tx, user_id, status="active", until=None, reason=None)
        self._audit.append(tx, actor, "user.unsuspended", f"user:{user_id}", user_id=user_id)
        return self.load_user(tx, user_id)

    def prefer_venue(self, tx: Tx, user_id: UserId, venue: str | None, *, actor: str) -> User:
        """Set which of a person's accounts trade entries: those at one venue, or all (None)."""
        self.load_user(tx, user_id)
        store.update_preferred_venue(tx, user_id, venue)
        details = {"preferred_venue": venue}
        self._audit.append(tx, actor, "user.preference_set", f"user:{user_id}", details=details, user_id=user_id)
        return self.load_user(tx, user_id)

    def replace_password_hash(self, tx: Tx, user_id: UserId, password_hash: str) -> None:
        """Store the same password hashed with today's parameters."""
        store.update_password_hash(tx, user_id, password_hash)

    def set_password(self, tx: Tx, user_id: UserId, password_hash: str, *, actor: str) -> None:
        """Set a new password; every session of the person ends."""
        self.load_user(tx, user_id)
        store.update_password_hash(tx, user_id, password_hash)
        store.delete_sessions(tx, user_id)
        self._audit.append(tx, actor, "user.password_set", f"user:{user_id}", user_id=user_id)

    # --- sessions ---

    def open_session(self, tx: Tx, user: User, *, address: str, agent: str) -> IssuedSession:
        """Sign a person in whose password was checked; a fresh token every time."""
        now = self._clock.now()
        store.delete_sessions_before(tx, seen=now - SESSION_IDLE, created=now - SESSION_LIFE)
        for old in store.list_sessions(tx, user.id)[_SESSIONS_MAX - 1 :]:
            store.delete_session(tx, user.id, old.id)
        token = secrets.token_urlsafe(32)
        session = Session(self._ids.new(), user.id, now, now, address[:64], agent[:120])
        store.insert_session(tx, session, _hash(token))
        self._audit.append(
            tx, f"user:{user.id}", "session.opened", f"session:{session.id}", details={"from": address}, user_id=user.id
        )
        return IssuedSession(session, Secret(token), csrf_of(token))

    def authenticate_session(self, tx: Tx, token: str) -> tuple[Principal, bool]:
        """Return who is signed in, and whether `touch_session` is due. Raises Unauthenticated."""
        found = store.find_session(tx, _hash(token))
        now = self._clock.now()
        if found is None or not _is_alive(found[0], now):
            raise Unauthenticated("session_over", "The session is over. Sign in again.")
        session, user = found
        principal = Principal(
            user.id, user.role, SCOPES_OF_ROLE[user.role], session_id=session.id, language=user.language
        )
        return principal, now - session.seen_at >= _TOUCH_EVERY

    def touch_session(self, tx: Tx, session_id: str) -> None:
        """Keep a session awake."""
        store.touch_session(tx, session_id, self._clock.now())

    def list_sessions(self, tx: Tx, user_id: UserId) -> list[Session]:
        """List a person's living sessions, latest used first."""
        now = self._clock.now()
        return [session for session in store.list_sessions(tx, user_id) if _is_alive(session, now)]

    def close_session(self, tx: Tx, user_id: UserId, session_id: str) -> None:
        """End one session of a person. Raises NotFound (also for another person's)."""
        if not store.delete_session(tx, user_id, session_id):
            raise NotFound("session_not_found", "There is no such session.")
        self._audit.append(tx, f"user:{user_id}", "session.closed", f"session:{session_id}", user_id=user_id)

    # --- API tokens ---

    def issue_token(
        self,
        tx: Tx,
        user_id: UserId,
        *,
        label: str,
        scopes: frozenset[Scope],
        actor: str,
        life: timedelta | None = TOKEN_LIFE_DEFAULT,
    ) -> IssuedToken:
        """Issue an API token, shown once. `life` None: until revoked (operator's command line only).

        Raises InvalidInput, Forbidden (a scope the person does not have) or Conflict (too many tokens).
        """
        user = self.load_user(tx, user_id)
        _demand_scopes(user, scopes)
        if life is not None and not timedelta(0) < life <= TOKEN_LIFE_MAX:
            raise InvalidInput("token_life", f"A token lives for at most {TOKEN_LIFE_MAX.days} days.")
        if len(store.list_tokens(tx, user_id)) >= _TOKENS_MAX:
            raise Conflict("too_many_tokens", f"At most {_TOKENS_MAX} tokens per user. Revoke one first.")
        now = self._clock.now()
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = ApiToken(
            self._ids.new(),
            user_id,
            _clean_name(label),
            scopes,
            token[-4:],
            now,
            None if life is None else now + life,
            None,
        )
        store.insert_token(tx, row, _hash(token))
        details = {"scopes": " ".join(sorted(scopes)), "label": row.label}
        self._audit.append(tx, actor, "token.issued", f"token:{row.id}", details=details, user_id=user_id)
        return IssuedToken(row, Secret(token))

    def authenticate_token(self, tx: Tx, token: str) -> tuple[Principal, bool]:
        """Return whose token it is, and whether `touch_token` is due. Raises Unauthenticated.

        A scope that the person's role no longer has is no longer given.
        """
        wrong = Unauthenticated(
            "bad_token", "The API token is not valid (any more). Make a new one: tradewind users token."
        )
        if not token.startswith(TOKEN_PREFIX) or len(token) > 100:
            raise wrong
        found = store.find_token(tx, _hash(token))
        now = self._clock.now()
        if found is None or (found[0].expires_at is not None and found[0].expires_at <= now):
            raise wrong
        row, user = found
        scopes = row.scopes & SCOPES_OF_ROLE[user.role]
        principal = Principal(user.id, user.role, scopes, token_id=row.id, language=user.language)
        return principal, row.seen_at is None or now - row.seen_at >= _TOUCH_EVERY

    def touch_token(self, tx: Tx, token_id: str) -> None:
        """Remember that a token was used."""
        store.touch_token(tx, token_id, self._clock.now())

    def list_tokens(self, tx: Tx, user_id: UserId) -> list[ApiToken]:
        """List a person's API tokens, oldest first."""
        return store.list_tokens(tx, user_id)

    def revoke_token(self, tx: Tx, user_id: UserId, token_id: str, *, actor: str) -> None:
        """Revoke one token of a person. Raises NotFound (also for another person's)."""
        if not store.delete_token(tx, user_id, token_id):
            raise NotFound("token_not_found", "There is no such token.")
        self._audit.append(tx, actor, "token.revoked", f"token:{token_id}", user_id=user_id)


def normal_email(text: str) -> str:
    """Return the one form of an e-mail address. Raises InvalidInput."""
    email = unicodedata.normalize("NFKC", text).strip().casefold()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise InvalidInput("email_malformed", "This is not an e-mail address.", fields={"email": "not an address"})
    return email


def csrf_of(token: str) -> str:
    """Derive the X-CSRF header of a session: only who holds the token can."""
    return hmac.digest(token.encode("utf-8"), b"tradewind csrf v1", "sha256").hex()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _is_alive(session: Session, now: datetime) -> bool:
    return now - session.seen_at < SESSION_IDLE and now - session.created_at < SESSION_LIFE


def _demand_scopes(user: User, scopes: frozenset[Scope]) -> None:
    if not scopes:
        raise InvalidInput("scopes_missing", "Name at least one scope: read, trade or admin.")
    beyond = scopes - SCOPES_OF_ROLE[user.role]
    if beyond:
        raise Forbidden("scope_beyond_role", f"A {user.role.value} cannot have the scope {min(beyond).value!r}.")


def _clean_name(text: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise InvalidInput("name_malformed", "A name has 1 to 80 visible characters.", fields={"name": "1 to 80"})
    return name


def _language(text: str) -> str:
    if text not in LANGUAGES:
        raise InvalidInput("language_unknown", "The languages are en and ko.", fields={"language": "en or ko"})
    return text


def _email_taken() -> Conflict:
    return Conflict("email_taken", "A user with this e-mail address exists.", fields={"email": "taken"})

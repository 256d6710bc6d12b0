"""Signing in, and who is calling: the edge where time-consuming checks stand between two transactions.

One answer for a wrong address and a wrong password, after the same work, so that nobody learns who has an
account here. Limits count per address typed and per address of the network (reliability.md 2.8).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from tradewind.core.errors import Forbidden, InvalidInput, Unauthenticated
from tradewind.core.ids import UserId
from tradewind.identity.passwords import Passwords
from tradewind.identity.people import User
from tradewind.identity.service import Identity, IssuedSession, csrf_of, normal_email
from tradewind.infra.db import Db, Tx
from tradewind.infra.log import logger
from tradewind.vault.secret import Secret
from tradewind.web.principal import Principal
from tradewind.web.ratelimit import LOGIN_ACCOUNT_RATE, LOGIN_ADDRESS_RATE, Limiter

_log = logger("identity.login")


class Login:
    """Checks passwords and opens sessions."""

    def __init__(self, db: Db, identity: Identity, passwords: Passwords, limiter: Limiter) -> None:
        self._db = db
        self._identity = identity
        self._passwords = passwords
        self._limiter = limiter

    async def check_password(self, email: str, password: Secret) -> User | None:
        """Return the person if the password is theirs; the same work is done where nobody is found."""
        user = await self._db.read(lambda tx: self._identity.find_user_by_email(tx, email))
        is_right = await self._passwords.verify(None if user is None else user.password_hash, password)
        if user is None or not is_right:
            return None
        if self._passwords.is_outdated(user.password_hash):
            fresh = await self._passwords.rehash(password)
            await self._db.write(lambda tx: self._identity.replace_password_hash(tx, user.id, fresh))
        return user

    async def log_in(self, email: str, password: Secret, *, address: str, agent: str) -> tuple[User, IssuedSession]:
        """Open a session. Raises Unauthenticated, or TooMany before anything is checked."""
        self._limiter.demand(LOGIN_ADDRESS_RATE, address)
        self._limiter.demand(LOGIN_ACCOUNT_RATE, _account_key(email))
        user = await self.check_password(email, password)
        if user is None:
            _log.info("identity.login.refused", address=address)
            raise Unauthenticated("wrong_login", "The e-mail address or the password is wrong.")
        issued = await self._db.write(lambda tx: self._identity.open_session(tx, user, address=address, agent=agent))
        return user, issued

    async def step_up(self, user_id: UserId, password: Secret) -> None:
        """Demand the password of somebody who is signed in already. Raises Forbidden, or TooMany before a check."""
        self._limiter.demand(LOGIN_ACCOUNT_RATE, f"step up {user_id}")
        user = await self._db.read(lambda tx: self._identity.load_user(tx, user_id))
        if not await self._passwords.verify(user.password_hash, password):
            _log.info("identity.login.step_up_refused", user_id=user_id)
            raise Forbidden("wrong_password", "This needs your password, and it is not this one.")


def _account_key(email: str) -> str:
    # The address as it is looked up: other spellings of it are no further attempts.
    try:
        return normal_email(email)
    except InvalidInput:
        return "not an address"


class DbAuthenticator:
    """The Authenticator of web.principal: every request is checked against the database."""

    def __init__(self, db: Db, identity: Identity) -> None:
        self._db = db
        self._identity = identity

    async def by_token(self, token: str) -> Principal:
        """Check an API token. Raises Unauthenticated."""
        principal, is_due = await self._db.read(lambda tx: self._identity.authenticate_token(tx, token))
        token_id = principal.token_id
        if is_due and token_id is not None:
            await self._keep_awake(lambda tx: self._identity.touch_token(tx, token_id))
        return principal

    async def by_session(self, cookie: str) -> Principal:
        """Check a session cookie, and keep the session awake. Raises Unauthenticated."""
        principal, is_due = await self._db.read(lambda tx: self._identity.authenticate_session(tx, cookie))
        session_id = principal.session_id
        if is_due and session_id is not None:
            await self._keep_awake(lambda tx: self._identity.touch_session(tx, session_id))
        return principal

    async def _keep_awake(self, work: Callable[[Tx], None]) -> None:
        try:
            await self._db.write(work)
        except OperationalError as error:
            # A database that cannot be written for a moment must not keep anybody from the stop button.
            _log.warning("identity.login.not_kept_awake", error=str(error.orig))

    def is_csrf_right(self, cookie: str, header: str) -> bool:
        """Say whether the header belongs to this session (constant time)."""
        return hmac.compare_digest(csrf_of(cookie).encode("ascii"), header.encode("utf-8", "surrogateescape"))

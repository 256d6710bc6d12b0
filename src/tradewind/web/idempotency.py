"""`Idempotency-Key`: a repeated POST is one act and gets the first answer again, for 72 hours.

Two ways, and the first is the one to want:

- `once_in_tx`: key, effect and answer are committed in ONE transaction. Exactly once, whatever dies when.
- `run_once`: for an act that must speak to the network first. The key is claimed before and answered after;
  a repeat in between is told to wait. If the process dies in between, the claim lapses after a minute and
  the request may be carried out again, so such an act must itself be refused twice by a unique constraint.

Refusals (4xx of ours) are not kept: after correcting nothing but the world (a venue that was down) the
same request may be sent again. The same key with another body is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import Depends, Header, Request
from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from tradewind.core.errors import Conflict, InvalidInput, TradewindError
from tradewind.core.ids import UserId
from tradewind.infra.clock import Clock
from tradewind.infra.db import Db, Tx
from tradewind.web import store

KEEP = timedelta(hours=72)
# Longer than any act that waits for a venue (test before store: three calls of at most 5 s).
CLAIM_LAPSES = timedelta(seconds=60)
_KEY_FORM = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of one request and the hash of everything that makes it that request."""

    key: str
    request_hash: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: status and JSON body. Never put a secret into one: it is kept."""

    status: int
    body: bytes
    is_repeat: bool = False

    @classmethod
    def of(cls, status: int, content: object) -> Answer:
        """Encode JSON-able content."""
        return cls(status, msgspec.json.encode(content))

    def response(self) -> Response:
        """Build the HTTP answer; a repeat says so in `Idempotency-Replayed`."""
        headers = {"Idempotency-Replayed": "true"} if self.is_repeat else None
        return Response(self.body, self.status, headers, "application/json")


async def request_key(
    request: Request, idempotency_key: Annotated[str | None, Header(max_length=300)] = None
) -> RequestKey:
    """FastAPI dependency: demand the header. Raises InvalidInput where it is missing or malformed."""
    if idempotency_key is None or not _KEY_FORM.fullmatch(idempotency_key):
        raise InvalidInput(
            "idempotency_key_missing",
            "Send an Idempotency-Key header of 1 to 255 visible characters, a fresh one for each new act.",
        )
    parts = (request.method.encode(), request.url.path.encode(), await request.body())
    return RequestKey(idempotency_key, hashlib.sha256(b"\x1f".join(parts)).hexdigest())


async def maybe_request_key(
    request: Request, idempotency_key: Annotated[str | None, Header(max_length=300)] = None
) -> RequestKey | None:
    """FastAPI dependency for acts that a unique constraint guards anyway: the header may be missing."""
    return None if idempotency_key is None else await request_key(request, idempotency_key)


OnceKey = Annotated[RequestKey, Depends(request_key)]
MaybeOnceKey = Annotated[RequestKey | None, Depends(maybe_request_key)]


def once_in_tx(
    tx: Tx, user_id: UserId, request: RequestKey | None, now: datetime, work: Callable[[Tx], Answer]
) -> Answer:
    """Carry out `work` and keep its answer in this transaction, or give the answer kept before.

    Raises Conflict for the same key with another body; whatever `work` raises rolls everything back.
    """
    if request is None:
        return work(tx)
    kept = _claim(tx, user_id, request, now)
    if kept is not None:
        return kept
    answer = work(tx)
    store.finish_request(tx, user_id, request.key, answer.status, answer.body)
    return answer


async def run_once(
    db: Db, clock: Clock, user_id: UserId, request: RequestKey | None, act: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Carry out an act that waits for the network, or give the answer kept before.

    Raises Conflict for the same key with another body, or while the first request is under way.
    """
    if request is None:
        return await act()
    kept = await db.write(lambda tx: _claim(tx, user_id, request, clock.now()))
    if kept is not None:
        return kept
    try:
        answer = await act()
    except TradewindError:
        await db.write(lambda tx: store.delete_request(tx, user_id, request.key))
        raise
    await db.write(lambda tx: store.finish_request(tx, user_id, request.key, answer.status, answer.body))
    return answer


def kept_answer(tx: Tx, user_id: UserId, request: RequestKey, now: datetime) -> Answer | None:
    """Return the answer kept for this request, None if it is a new one; claims nothing.

    For acts whose preparation may fail differently the second time: look here before it. Raises Conflict for
    the same key with another body, or while the first request is under way.
    """
    kept = store.find_request(tx, user_id, request.key)
    if kept is None or kept.created_at <= now - KEEP:
        return None
    if kept.request_hash != request.request_hash:
        raise Conflict(
            "idempotency_key_reused",
            "This Idempotency-Key was used for another request. Use a fresh key for each new act.",
        )
    if kept.status is not None and kept.body is not None:
        return Answer(kept.status, kept.body, is_repeat=True)
    if kept.created_at > now - CLAIM_LAPSES:
        raise _under_way()
    return None


def forget_old(tx: Tx, now: datetime) -> int:
    """Forget keys older than 72 hours; return how many."""
    return store.delete_requests_before(tx, now - KEEP)


def _claim(tx: Tx, user_id: UserId, request: RequestKey, now: datetime) -> Answer | None:
    answer = kept_answer(tx, user_id, request, now)
    if answer is None:
        # What is left under the key is too old to be kept, or a claim that has lapsed.
        store.delete_request(tx, user_id, request.key)
        _insert(tx, user_id, request, now)
    return answer


def _insert(tx: Tx, user_id: UserId, request: RequestKey, now: datetime) -> None:
    try:
        store.insert_request(tx, user_id, request.key, request.request_hash, now)
    except IntegrityError:
        # Another writer (PostgreSQL) was faster between our look and our insert.
        raise _under_way() from None


def _under_way() -> Conflict:
    return Conflict("request_under_way", "The same request is being carried out. Ask again.", retry_after_s=2)

"""Who sends signals: sources, and the secret URL of each.

A source's token is 256 random bits, shown once, kept as SHA-256 only: whoever reads the database cannot send.
Looking a hash up is not a comparison of secrets, so its timing tells nothing.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, replace
from datetime import datetime

from tradewind.audit.service import Audit
from tradewind.core.errors import Conflict, InvalidInput, NotFound
from tradewind.core.ids import SourceId
from tradewind.infra.db import Tx
from tradewind.infra.ids import Ids
from tradewind.signals import store
from tradewind.signals.tables import Source

# `twh_` names what it is; log.py masks everything that begins so.
TOKEN_PREFIX = "twh_"  # noqa: S105 - a public prefix, not a token
_TOKEN_BYTES = 32
_TOKEN_CHARS = len(TOKEN_PREFIX) + 43
_NAME_CHARS_MAX = 80


@dataclass(frozen=True, slots=True)
class SourceWithToken:
    """A source and its token, in the one moment in which the token is known."""

    source: Source
    token: str

    def __repr__(self) -> str:
        return f"SourceWithToken(source={self.source!r}, token=***)"


class Sources:
    """Creates, changes and finds sources; every change is audited in its transaction."""

    def __init__(self, ids: Ids, audit: Audit) -> None:
        self._ids = ids
        self._audit = audit

    def create(
        self, tx: Tx, *, owner_id: str, name: str, actor: str, now: datetime, is_exchange_bound: bool = False
    ) -> SourceWithToken:
        """Add a source. Raises InvalidInput for an empty name, Conflict for one the owner has used."""
        source = Source(SourceId(self._ids.new()), owner_id, _name(name), True, is_exchange_bound, now)
        self._demand_free(tx, source)
        token = _new_token()
        store.insert_source(tx, source, token_hash(token))
        self._record(tx, actor, "source.created", source, name=source.name)
        return SourceWithToken(source, token)

    def rotate(self, tx: Tx, source_id: SourceId, *, actor: str, now: datetime) -> SourceWithToken:
        """Give a source a new token; the old URL answers 404 from the commit on. Raises NotFound."""
        source = self.load(tx, source_id)
        token = _new_token()
        store.update_source(tx, source.id, token_hash=token_hash(token), rotated_at=now)
        self._record(tx, actor, "source.rotated", source)
        return SourceWithToken(source, token)

    def change(
        self,
        tx: Tx,
        source_id: SourceId,
        *,
        actor: str,
        name: str | None = None,
        is_enabled: bool | None = None,
        is_exchange_bound: bool | None = None,
    ) -> Source:
        """Change what is given and leave the rest. Raises NotFound, InvalidInput or Conflict."""
        source = self.load(tx, source_id)
        changed = replace(
            source,
            name=source.name if name is None else _name(name),
            is_enabled=source.is_enabled if is_enabled is None else is_enabled,
            is_exchange_bound=source.is_exchange_bound if is_exchange_bound is None else is_exchange_bound,
        )
        if changed == source:
            return source
        self._demand_free(tx, changed)
        store.update_source(
            tx,
            source.id,
            name=changed.name,
            is_enabled=changed.is_enabled,
            is_exchange_bound=changed.is_exchange_bound,
        )
        self._record(
            tx,
            actor,
            "source.changed",
            changed,
            name=changed.name,
            is_enabled=changed.is_enabled,
            is_exchange_bound=changed.is_exchange_bound,
        )
        return changed

    def load(self, tx: Tx, source_id: SourceId) -> Source:
        """Read a source and keep other writers of it out until the end. Raises NotFound."""
        source = store.find_source(tx, source_id, locked=True)
        if source is None:
            raise NotFound("source_not_found", "This source does not exist or is not yours.")
        return source

    def list_all(self, tx: Tx) -> list[Source]:
        """All sources of the installation, oldest first."""
        return store.list_sources(tx)

    def _demand_free(self, tx: Tx, source: Source) -> None:
        known = store.find_source_by_name(tx, source.owner_id, source.name)
        if known is not None and known.id != source.id:
            raise Conflict("source_name_taken", f"There is a source {source.name!r} already. Choose another name.")

    def _record(self, tx: Tx, actor: str, action: str, source: Source, **details: str | bool) -> None:
        self._audit.append(tx, actor, action, f"source:{source.id}", details=details, user_id=source.owner_id)


def find_by_token(tx: Tx, token: str) -> Source | None:
    """Find the source whose URL holds this token."""
    return store.find_source_by_token(tx, token_hash(token))


def is_token_shaped(text: str) -> bool:
    """Say whether a text can be a token of ours; what cannot is not looked up."""
    return len(text) == _TOKEN_CHARS and text.isascii() and text.startswith(TOKEN_PREFIX)


def token_hash(token: str) -> str:
    """SHA-256 of a token, as kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _new_token() -> str:
    return TOKEN_PREFIX + base64.urlsafe_b64encode(os.urandom(_TOKEN_BYTES)).decode("ascii").rstrip("=")


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not 0 < len(name) <= _NAME_CHARS_MAX or not name.isprintable():
        raise InvalidInput("source_name", f"A source needs a name of 1 to {_NAME_CHARS_MAX} characters.")
    return name

"""The audit chain: each entry's hash covers the one before, so none can be changed, moved or taken out.

    h(n) = HMAC-SHA256(audit key, h(n-1) || canonical JSON of entry n)          (reliability.md 2.4)

Entries are written in the transaction of the change they tell of: both or neither. A chain alone does not
show that its end was cut off together with the head row; for that, keep an `Anchor` somewhere else and
verify against it. Entries hold ids and plain facts, never secrets; texts pass the log's redaction anyway.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from tradewind.audit import store
from tradewind.audit.entry import AuditRow
from tradewind.infra.clock import Clock
from tradewind.infra.db import Tx
from tradewind.infra.log import redact
from tradewind.vault.secret import Secret
from tradewind.vault.service import Vault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GENESIS = b"\x00" * 32
_KEY_NAME = "audit"
Detail = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Anchor:
    """The end of the chain at one moment, to be kept outside the database."""

    seq: int
    hash_hex: str


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """The first entry at which the chain does not hold, and how."""

    seq: int
    text: str


class Audit:
    """Appends and verifies; the chain's key is sealed in the vault."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def append(
        self,
        tx: Tx,
        actor: str,
        action: str,
        subject: str,
        *,
        details: Mapping[str, Detail] | None = None,
        user_id: str | None = None,
    ) -> int:
        """Record an act in the transaction of its change; return the entry's number.

        Who (`user:<id>`, `cli`, `engine`) did what (`account.linked`) to what (`account:<id>`), and whose
        it is (`user_id`).
        """
        head = store.lock_head(tx)
        seq, previous = head if head is not None else (0, _GENESIS)
        facts = {name: redact(value) if isinstance(value, str) else value for name, value in (details or {}).items()}
        text = msgspec.json.encode(facts, order="sorted").decode("utf-8")
        row = AuditRow(seq + 1, self._clock.now(), actor, action, subject, user_id, text, b"")
        row = replace(row, hash=_hash(self._vault.platform_key(tx, _KEY_NAME), previous, row))
        store.insert_entry(tx, row, is_first=head is None)
        return row.seq

    def verify(self, tx: Tx, anchor: Anchor | None = None) -> AuditProblem | None:
        """Walk the whole chain; return the first problem, None if it holds.

        With an anchor kept elsewhere, also shows an end that was cut off or a chain written anew.
        """
        key = self._vault.find_platform_key(tx, _KEY_NAME)
        seq, previous = 0, _GENESIS
        anchored = anchor is None or anchor.seq == 0
        for row in store.all_entries(tx):
            if row.seq != seq + 1:
                return AuditProblem(seq + 1, f"entry {seq + 1} is missing")
            if key is None or not hmac.compare_digest(_hash(key, previous, row), row.hash):
                return AuditProblem(row.seq, f"entry {row.seq} was changed, or an entry before it was")
            seq, previous = row.seq, row.hash
            if anchor is not None and anchor.seq == seq:
                if anchor.hash_hex != previous.hex():
                    return AuditProblem(seq, f"entry {seq} is not the one that was anchored")
                anchored = True
        return _problem_at_end(store.find_head(tx), seq, previous, anchored=anchored)

    def anchor(self, tx: Tx) -> Anchor:
        """Return the end of the chain, to be kept outside the database."""
        head = store.find_head(tx)
        return Anchor(0, _GENESIS.hex()) if head is None else Anchor(head[0], head[1].hex())

    def entries_of_user(
        self, tx: Tx, user_id: str, *, before_seq: int | None = None, limit: int = 100
    ) -> Sequence[AuditRow]:
        """Read what was done by or to a user, newest first."""
        return store.entries_of_user(tx, user_id, before_seq=before_seq, limit=limit)


def _hash(key: Secret, previous: bytes, row: AuditRow) -> bytes:
    # A JSON list keeps the parts apart, so no two entries share one text.
    parts = [row.seq, _micros(row.at), row.actor, row.action, row.subject, row.user_id, row.details]
    return hmac.digest(key.reveal(), previous + msgspec.json.encode(parts), "sha256")


def _micros(moment: datetime) -> int:
    # The resolution that both databases keep, in whole numbers.
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _problem_at_end(head: tuple[int, bytes] | None, seq: int, last: bytes, *, anchored: bool) -> AuditProblem | None:
    expected = (0, _GENESIS) if head is None else head
    if expected != (seq, last):
        return AuditProblem(seq + 1, f"the chain ends at entry {seq}, its head names entry {expected[0]}")
    if not anchored:
        return AuditProblem(seq + 1, f"the chain ends at entry {seq}, before the anchored one")
    return None

"""One entry of the audit as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry as stored; `details` is canonical JSON."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    user_id: str | None
    details: str
    hash: bytes

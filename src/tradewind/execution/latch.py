"""The latch: the last look before a byte leaves this process.

It closes for good when this process can no longer trust its own record (a COMMIT in doubt) and when it
shuts down. Whatever was claimed and not yet written becomes NotSent. The emergency stop of a user, a venue
or the platform will close it by scope; the claim in the database is what proves a stop (section 6).
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Latch:
    """Whether this process may send. Read on the event loop only."""

    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """True while nothing has closed it."""
        return self.reason is None

    def close(self, reason: str) -> None:
        """Send nothing more; the first reason stays."""
        if self.reason is None:
            self.reason = reason

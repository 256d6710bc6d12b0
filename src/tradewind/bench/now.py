"""The bench's own clock."""

from tradewind.infra.clock import SystemClock, to_ms

__all__ = ["CLOCK", "to_ms"]

CLOCK = SystemClock()

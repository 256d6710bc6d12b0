"""The referee's record of every request the venue received, and what became of it.

It is what a real venue never shows: requests whose answer was dropped, cut or falsified are written down
with the orders they made. Rows are numbered from 1 and kept up to a bound; orders and fills themselves are
durable in the exchange's own store, this record lives as long as the process.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice


@dataclass(slots=True)
class RequestRow:
    """One request; `executed` tells whether it changed or read the exchange, `heard` what the client got."""

    sequence: int
    received_ms: int
    transport: str
    call: str
    route: str
    address: str
    uid: int | None = None
    api_key: str | None = None
    symbol: str | None = None
    client_ids: tuple[str, ...] = ()
    order_ids: list[int] = field(default_factory=list)
    executed: bool = False
    status: int = 0
    code: int | None = None
    heard: str = "answer"
    faults: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Give the row for the control API; a key is shown by its first characters."""
        return {
            "seq": self.sequence,
            "received_ms": self.received_ms,
            "transport": self.transport,
            "call": self.call,
            "route": self.route,
            "uid": self.uid,
            "api_key": None if self.api_key is None else self.api_key[:8],
            "symbol": self.symbol,
            "client_ids": list(self.client_ids),
            "order_ids": list(self.order_ids),
            "executed": self.executed,
            "status": self.status,
            "code": self.code,
            "heard": self.heard,
            "faults": list(self.faults),
        }


class RequestLog:
    """Numbered rows, oldest first; the oldest are forgotten when the bound is reached."""

    def __init__(self, most: int) -> None:
        self._rows: deque[RequestRow] = deque(maxlen=most)
        self._last = 0

    def open(self, received_ms: int, transport: str, call: str, route: str, address: str) -> RequestRow:
        """Write a row for a request that has just arrived; it is filled in as it is worked on."""
        self._last += 1
        row = RequestRow(self._last, received_ms, transport, call, route, address)
        self._rows.append(row)
        return row

    def page(self, after: int, limit: int, uid: int | None = None) -> list[RequestRow]:
        """Give rows numbered above `after`, oldest first."""
        if not self._rows:
            return []
        skip = max(0, after - self._rows[0].sequence + 1)
        rows = islice(self._rows, skip, None)
        wanted = rows if uid is None else (row for row in rows if row.uid == uid)
        return list(islice(wanted, limit))

    @property
    def last_sequence(self) -> int:
        """Number of the newest row, 0 when there is none."""
        return self._last

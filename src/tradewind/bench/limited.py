"""The responder with Binance's request weights: counted by the minute of its own clock, refused with 429 beyond them.

`python -m tradewind.bench.limited` serves without a limit until `/bench/weight?6000` sets one; the next platform that
reads the venue's rules finds it there. What was used in the fullest minute since is told with the counts.
"""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import parse_qsl

from tradewind.bench.now import CLOCK, to_ms
from tradewind.bench.responder import Venue, main
from tradewind.bench.rules import EXCHANGE_INFO

# developers.binance.com, Spot REST API, weights as of 2026-11-20; a stream subscription 2. Orders that succeed cost
# nothing, and nobody here is refused one.
_WEIGHTS = {b"/api/v3/account": 20, b"/api/v3/order": 4, b"/api/v3/allOrders": 20, b"/api/v3/exchangeInfo": 20}
_OPEN_ORDERS, _OPEN_ORDERS_ALL = 6, 80
_TRADES, _TRADES_OF_ORDER = 20, 5
_TICKERS_SOME, _TICKERS_ALL = 2, 80
_SUBSCRIPTION = 2
_MINUTE_MS = 60_000
_REFUSED = b'{"code":-1003,"msg":"Too many requests; current limit of IP is exceeded."}'


class LimitedVenue(Venue):
    """A venue whose request weight is limited."""

    def __init__(self, latency_s: float) -> None:
        super().__init__(latency_s)
        self.limit: int | None = None
        self.used_at_most = 0
        self.used_in_all = 0
        self.by_question: Counter[str] = Counter()
        self._minute = 0
        self._used = 0

    def answer(self, method: bytes, url: bytes, api_key: bytes, body: bytes) -> bytes:
        """Count a request and answer it, or refuse it where the minute's weight is used up."""
        path, _, query = url.partition(b"?")
        if path == b"/bench/weight":
            self.limit, self.used_at_most, self.used_in_all, self._used = int(query), 0, 0, 0
            self.by_question.clear()
            return self._reply(200, b"{}")
        if path == b"/bench/used":
            totals = {"at_most": self.used_at_most, "in_all": self.used_in_all, "refused": self.refused}
            figures = {**totals, "by_question": dict(self.by_question)}
            return self._reply(200, json.dumps(figures).encode("ascii"))
        self._count(_weight_of(method, path, query), path.decode("ascii").rpartition("/")[2])
        if self.limit is not None and self._used > self.limit:
            self.refused += 1
            return b"HTTP/1.1 429 Too Many\r\nRetry-After: 10\r\nContent-Length: %d\r\n\r\n%b" % (
                len(_REFUSED),
                _REFUSED,
            )
        if path == b"/api/v3/exchangeInfo" and self.limit is not None:
            return self._reply(200, _rules(self.limit))
        return super().answer(method, url, api_key, body)

    def subscribed(self) -> None:
        """An account's stream was asked for."""
        self._count(_SUBSCRIPTION, "subscription")

    def used_weight(self) -> int:
        """What was used in this minute."""
        return self._used

    def _count(self, weight: int, question: str) -> None:
        self.by_question[question] += weight
        minute = to_ms(CLOCK.now()) // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        self.used_in_all += weight
        self.used_at_most = max(self.used_at_most, self._used)


def _rules(limit: int) -> bytes:
    limits = [
        {**each, "limit": limit} if each["rateLimitType"] == "REQUEST_WEIGHT" else each
        for each in EXCHANGE_INFO["rateLimits"]
    ]
    return json.dumps({**EXCHANGE_INFO, "rateLimits": limits}).encode("ascii")


def _weight_of(method: bytes, path: bytes, query: bytes) -> int:
    if method != b"GET":
        return 0
    params = dict(parse_qsl(query.decode("ascii")))
    if path == b"/api/v3/openOrders":
        return _OPEN_ORDERS if "symbol" in params else _OPEN_ORDERS_ALL
    if path == b"/api/v3/myTrades":
        return _TRADES_OF_ORDER if "orderId" in params else _TRADES
    if path == b"/api/v3/ticker/24hr":
        return _TICKERS_SOME if "symbols" in params or "symbol" in params else _TICKERS_ALL
    return _WEIGHTS.get(path, 1)


if __name__ == "__main__":
    main(LimitedVenue)

"""What a running demo works with: both addresses, everybody's tokens, who has which account."""

from __future__ import annotations

from dataclasses import dataclass, field

import aiohttp

from tradewind.demo.calls import Door, Exchange
from tradewind.demo.foundation import Foundation
from tradewind.demo.processes import Child


@dataclass(slots=True)
class Players:
    """The two processes as seen through their doors.

    `accounts`: person's number to account id; `uids`: to the exchange's own user id.
    """

    session: aiohttp.ClientSession
    platform: Door
    exchange: Exchange
    foundation: Foundation
    # The address of the platform's database; it may hold a password.
    journal: str = field(repr=False)
    children: tuple[Child, ...] = ()
    accounts: dict[int, str] = field(default_factory=dict)
    uids: dict[int, int] = field(default_factory=dict)

    @property
    def stream_url(self) -> str:
        return self.platform.base_url.replace("http", "ws", 1) + "/api/v1/stream"

    def number_of(self, account_id: str) -> int | None:
        """Whose account this is."""
        return next((number for number, known in self.accounts.items() if known == account_id), None)

    def token(self, number: int) -> str:
        """The token of a person."""
        return self.foundation.users[number].token

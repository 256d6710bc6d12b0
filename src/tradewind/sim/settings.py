"""What a simulated Binance is started with; read once, passed as one value.

Times that the venue fixes (ping, processing timeout, connection lifetime) are settings so that a rehearsal
may shorten them all together with the client's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path


class Profile(StrEnum):
    """Which environment of the venue is played."""

    PRODUCTION = "production"
    PAPER = "paper"
    TESTNET = "testnet"

    @property
    def has_sapi(self) -> bool:
        """Testnet serves only /api, so key rights cannot be read there (testnet/general-info.md)."""
        return self is not Profile.TESTNET


@dataclass(frozen=True, slots=True)
class SimSettings:
    """Start values. `store` None keeps everything in memory; otherwise it is the exchange's SQLite file."""

    host: str = "127.0.0.1"
    port: int = 0
    store: Path | None = None
    profile: Profile = Profile.PRODUCTION
    tape: str = "upbit-2026-05-12"
    speed: Decimal = Decimal(1)
    tape_offset_s: Decimal = Decimal(0)
    loop_tape: bool = True
    paused: bool = False
    seed: int = 1
    # Chance of a request fault on every order, drawn by seed; faults by name come over the control API.
    storm: float = 0.0
    tick_ms: int = 50
    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    weight_per_minute: int = 6000
    orders_per_10s: int = 100
    orders_per_day: int = 200_000
    ban_s: int = 120
    processing_timeout_ms: int = 10_000
    ping_every_s: float = 20.0
    pong_within_s: float = 60.0
    connection_lifetime_s: float = 86_400.0
    requests_logged: int = 200_000

    @property
    def key_file(self) -> Path | None:
        """The key ring's own file beside the exchange's."""
        return None if self.store is None else self.store.with_name(self.store.name + ".keys")


@dataclass(frozen=True, slots=True)
class SimAddresses:
    """Where a started simulator answers."""

    rest_url: str
    ws_api_url: str
    stream_url: str
    control_url: str

    def as_dict(self) -> dict[str, str]:
        """Give the addresses by name, as `run_forever` prints them."""
        return {
            "rest_url": self.rest_url,
            "ws_api_url": self.ws_api_url,
            "stream_url": self.stream_url,
            "control_url": self.control_url,
        }

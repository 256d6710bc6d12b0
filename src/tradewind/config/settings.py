"""Every setting, with its default, its bounds and one sentence for people.

Rules of this file:
1. Sources, the later wins: defaults, then tradewind.toml, then TRADEWIND_* in the environment. A section is
   a TOML table, and two underscores in the environment: `orders.max_age_s`, TRADEWIND_ORDERS__MAX_AGE_S.
2. A secret is never written in the file: a setting names an environment variable or a file that holds it.
3. Only app, cli and demo import this package (the import contract says so); rooms get plain values.
"""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tradewind.core.instrument import BINANCE, Environment, VenueName


def _setting(default: Any, about: str, **rules: Any) -> Any:
    """One setting: its default, one sentence for people, and rules (least, most, choices, is_secret)."""
    return field(default=default, metadata={"about": about, **rules})


def _home(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable, "")
    return (Path(base) if base else Path.home() / fallback) / "tradewind"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSettings:
    """The numbers of order-protocol.md section 10."""

    min_order_quote: Decimal = field(
        default=Decimal(10),
        metadata={"about": "Smallest order the platform sends, in US dollars or a USD stablecoin.", "least": 2},
    )
    max_age_s: int = _setting(60, "An entry alert older than this is not carried out. Exits never age.", least=1)
    send_by_ms: int = _setting(2_000, "A claimed order is signed within this time or not at all.", least=100)
    request_timeout_ms: int = _setting(5_000, "Longest wait for a venue's answer.", least=100)
    recv_window_ms: int = _setting(3_000, "How long a signed request stays valid at the venue.", least=100, most=60_000)
    venue_processing_ms: int = _setting(
        10_000, "Longest time a venue works on a request; the fence counts it.", least=0
    )
    stop_escalation_s: int = _setting(5, "A stop triggered and not filled goes to market after this.", least=1)
    watch_price_age_s: int = _setting(5, "A watched stop counts as protection only with a price this fresh.", least=1)
    trailing_step_bps: int = _setting(
        10, "A trailing stop goes up in steps of at least this, in hundredths of a percent.", least=1, most=1_000
    )
    trailing_native_step_bps: int = _setting(
        50,
        "The stop resting at the venue is replaced when the trailing one lies this much above it.",
        least=1,
        most=1_000,
    )
    external_confirm_s: int = _setting(
        10, "Coins that are missing in two readings this far apart were taken by the user's own hand.", least=1
    )
    doubt_alarm_s: int = _setting(15, "Doubt about an order that lasts longer is alarmed.", least=1)
    reconcile_quiet_s: int = _setting(900, "How often a quiet account is compared with its venue.", least=1)
    reconcile_doubtful_s: int = _setting(30, "The same for an account with a position and no live stream.", least=1)
    lease_s: int = _setting(10, "How long a worker holds a signal before another may take it.", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSettings:
    """The comparison of a large fan-out's entries with the order book. Exits are never compared."""

    enabled: bool = _setting(True, "Compare large fan-outs with the book; off: every entry leaves at its plan's time.")
    allowance_orders: int = _setting(
        2_000, "Entries worth this many smallest orders of the venue pass without a look at the book.", least=0
    )
    within_bps: int = _setting(50, "Asks this near the best one count, in hundredths of a percent.", least=1)
    slice_pct: int = _setting(25, "One slice of entries takes at most this share of those asks.", least=1)
    refuse_pct: int = _setting(200, "All slices together take at most this share; the rest is skipped.", least=1)
    slice_every_ms: int = _setting(1_000, "Time between two slices, in which the book fills again.", least=1)
    timeout_ms: int = _setting(500, "A book that takes longer counts as unknown.", least=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is written to standard error."""

    level: str = _setting("INFO", "Least important level written.", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    json: bool = _setting(False, "One JSON object per line instead of text for people.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSettings:
    """The built-in simulated venue: what paper accounts trade on, and what `tradewind sim` serves."""

    tape: str = _setting("upbit-2026-05-12", "Packaged tape by name, or a candle file.")
    speed: Decimal = field(
        default=Decimal(1),
        metadata={"about": "Tape seconds per real second.", "least": Decimal("0.01"), "most": 10_000},
    )
    seed: int = _setting(1, "Seed of everything random in the simulator.", least=0)
    host: str = _setting("127.0.0.1", "Address the simulator listens on.")
    port: int = _setting(0, "Port of the simulator; 0 takes a free one.", least=0, most=65_535)
    loop: bool = _setting(True, "Start the tape over at its end.")
    database: Path | None = field(
        default=None, metadata={"about": "The simulator's own file; DATA_DIR/paper-venue.db when not set."}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSection:
    """One venue in one environment. An address that is not set is the venue's own (paper: built in)."""

    enabled: bool | None = _setting(None, "Paper is on, live follows allow_live, testnet is off, when not set.")
    profile: str | None = _setting(None, "Which of several places: demo, at Binance's testnet.")
    rest_url: str | None = _setting(None, "Address of the REST API.")
    ws_api_url: str | None = _setting(None, "Address of the WebSocket API (private events).")
    stream_url: str | None = _setting(None, "Address of the market streams.")


VENUES: tuple[tuple[VenueName, Environment], ...] = tuple((BINANCE, environment) for environment in Environment)


def _default_venues() -> Mapping[tuple[VenueName, Environment], VenueSection]:
    return types.MappingProxyType({key: VenueSection() for key in VENUES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Build it with `load_settings` or, in tests, by keywords."""

    data_dir: Path = field(
        default_factory=lambda: _home("XDG_DATA_HOME", ".local/share"),
        metadata={"about": "Folder of the database and of the paper venue."},
    )
    database: str = _setting("", "Database address; sqlite:///DATA_DIR/tradewind.db when not set.")
    disk_reserve_mb: int = _setting(
        32, "Room kept for exits beside an SQLite database, used when the disk is full. 0: none.", least=0, most=4_096
    )
    host: str = _setting("127.0.0.1", "Address the API listens on.")
    port: int = _setting(8_000, "Port of the API; 0 takes a free one.", least=0, most=65_535)
    public_url: str | None = _setting(None, "How the outside world reaches us; stands in webhook addresses.")
    egress_addresses: str = _setting(
        "", "Addresses, comma separated, from which venues see this server; shown for their IP lists."
    )
    price_venue: str = _setting(
        BINANCE,
        "Prices are shown from this venue where an account's own has none. Stops and orders never use it.",
        choices=tuple(sorted({venue for venue, _ in VENUES})),
    )
    trading_enabled: bool = _setting(True, "Off: no entry is carried out in any environment. Exits and stops go on.")
    allow_live: bool = _setting(False, "The platform's switch for live accounts.")
    dry_run: bool = _setting(False, "Everything happens up to the signature; orders end DENIED(dry_run).")
    live_confirm: str | None = field(
        default=None,
        repr=False,
        metadata={"about": "The operator's live-confirm token, if one is wanted.", "is_secret": True},
    )
    kek_file: Path = field(
        default_factory=lambda: _home("XDG_CONFIG_HOME", ".config") / "kek",
        metadata={"about": "File with the key-encryption key, mode 0400 or 0600, outside data_dir."},
    )
    kek_env: str | None = _setting(None, "Environment variable with the key-encryption key, instead of the file.")
    kek_passphrase_env: str | None = _setting(None, "Environment variable with a passphrase, instead of the file.")
    mark_dir: Path | None = field(
        default=None,
        metadata={"about": "Folder outside data_dir for a second high-water mark; left out: the folder of kek_file."},
    )
    orders: OrderSettings = field(default_factory=OrderSettings)
    depth: DepthSettings = field(default_factory=DepthSettings)
    log: LogSettings = field(default_factory=LogSettings)
    sim: SimSettings = field(default_factory=SimSettings)
    venues: Mapping[tuple[VenueName, Environment], VenueSection] = field(default_factory=_default_venues)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def egress(self) -> tuple[str, ...]:
        """The addresses to put on a venue's IP list."""
        return tuple(text.strip() for text in self.egress_addresses.split(",") if text.strip())

    @property
    def database_url(self) -> str:
        """The database in effect."""
        return self.database or f"sqlite:///{self.data_dir / 'tradewind.db'}"

    @property
    def mark_folder(self) -> Path:
        """Where the second copy of the high-water mark is kept, if that folder is there."""
        return self.mark_dir or self.kek_file.parent

    @property
    def sim_database(self) -> Path:
        """The simulated venue's file in effect."""
        return self.sim.database or self.data_dir / "paper-venue.db"

    def is_enabled(self, venue: VenueName, environment: Environment) -> bool:
        """Say whether accounts of this venue and environment are served."""
        section = self.venues[venue, environment]
        if section.enabled is not None:
            return section.enabled
        return environment is Environment.PAPER or (environment is Environment.LIVE and self.allow_live)

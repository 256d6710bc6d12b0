"""Settings: one frozen value, read once, passed on as small values."""

from tradewind.config.printing import Line, describe, example_toml
from tradewind.config.reading import known_settings, load_settings
from tradewind.config.settings import (
    VENUES,
    DepthSettings,
    LogSettings,
    OrderSettings,
    Settings,
    SimSettings,
    VenueSection,
)

__all__ = [
    "VENUES",
    "DepthSettings",
    "Line",
    "LogSettings",
    "OrderSettings",
    "Settings",
    "SimSettings",
    "VenueSection",
    "describe",
    "example_toml",
    "known_settings",
    "load_settings",
]

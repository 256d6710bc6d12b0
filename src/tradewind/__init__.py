"""Tradewind: one signal, every account, exactly once."""

__version__ = "0.1.0"

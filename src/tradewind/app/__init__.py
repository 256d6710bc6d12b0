"""Builds the platform; the only place that knows every room."""

from tradewind.app.platform import App, build

__all__ = ["App", "build"]

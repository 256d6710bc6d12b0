"""Bugs planted on purpose; none yet."""

from __future__ import annotations


def apply(name: str) -> None:
    """Plant a bug."""
    raise ValueError(f"there is no plant {name!r}")

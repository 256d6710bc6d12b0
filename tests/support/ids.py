"""Ids that can be read in a failing test: UUID-shaped, counted, never repeated within one test."""

from __future__ import annotations


class CountedIds:
    """Ids in order: 00000000-0000-7000-8000-000000000001, ...2, ..."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"00000000-0000-7000-8000-{self._count:012d}"

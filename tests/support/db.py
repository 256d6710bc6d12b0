"""A fresh database with every table of the rooms asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.database import address, databases

import tradewind
from tradewind.infra.db import Db, metadata


def load_tables(rooms: Sequence[str] | None = None) -> None:
    """Import the stores of these rooms (None: of all), so that their tables are known."""
    importlib.import_module("tradewind.infra.outbox")
    root = Path(tradewind.__path__[0])
    for store in sorted(root.glob("*/store.py")):
        if rooms is None or store.parent.name in rooms:
            importlib.import_module(f"tradewind.{store.parent.name}.store")


@contextmanager
def fresh_db(folder: Path, rooms: Sequence[str] | None = None) -> Iterator[Db]:
    """Open a new database in `folder` with its tables made from the metadata; closed at the end."""
    load_tables(rooms)
    db = Db.open(address(folder / "tradewind.db", is_migrated=True))
    try:
        metadata.create_all(db.engine)
        yield db
    finally:
        db.close()


def bytes_of(folder: Path) -> bytes:
    """Everything the database has on disk: file, WAL and what else lies beside them."""
    return b"".join(path.read_bytes() for path in sorted(databases.files(folder)) if path.is_file())

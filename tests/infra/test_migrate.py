"""Migrations: they give exactly the tables of the code, all or nothing, and never touch what is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from scripts.new_migration import all_tables, write_migration
from sqlalchemy import text
from tests.support.database import address
from tests.support.migrations import copied_scripts, scripts_with_one_more, shape

from tradewind.core.errors import Conflict
from tradewind.infra.db import Db
from tradewind.infra.migrate import (
    SchemaState,
    head_revision,
    require_current_schema,
    schema_status,
    upgrade_schema,
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    opened = Db.open(address(tmp_path / "tradewind.db"))
    yield opened
    opened.close()


def _indexes_of(table: object) -> list[str]:
    assert isinstance(table, tuple)
    return [str(index) for index in table[4]]


def test_upgrade_when_database_is_empty_gives_the_tables_of_the_code(db: Db, tmp_path: Path) -> None:
    upgrade_schema(db)
    direct = Db.open(address(tmp_path / "direct.db"))
    direct.write_now(lambda tx: all_tables().create_all(tx))
    expected = shape(direct)
    direct.close()
    assert len(expected) > 10
    assert any("WHERE" in index for table in expected.values() for index in _indexes_of(table))
    assert shape(db) == expected, "run: python scripts/new_migration.py"


def test_upgrade_when_done_leaves_nothing_to_autogenerate(db: Db) -> None:
    upgrade_schema(db)
    assert db.read_now(lambda tx: compare_metadata(MigrationContext.configure(tx), all_tables())) == []


def test_schema_status_when_empty_then_upgraded_is_empty_then_current(db: Db) -> None:
    assert schema_status(db).state is SchemaState.EMPTY
    status = upgrade_schema(db)
    assert (status.state, status.revision) == (SchemaState.CURRENT, head_revision())
    assert upgrade_schema(db) == status
    require_current_schema(db)


def test_require_current_schema_when_newer_refuses_to_go_back(db: Db, tmp_path: Path) -> None:
    upgrade_schema(db)
    later = scripts_with_one_more(tmp_path, "op.create_table('later', sa.Column('id', sa.Integer()))")
    status = schema_status(db, later)
    assert (status.state, status.revision) == (SchemaState.OLDER, head_revision())
    assert upgrade_schema(db, later).state is SchemaState.CURRENT
    # Now the database is newer than the release in the code.
    assert schema_status(db).state is SchemaState.NEWER
    with pytest.raises(Conflict, match="written by a newer Tradewind"):
        require_current_schema(db)
    with pytest.raises(Conflict, match="written by a newer Tradewind"):
        upgrade_schema(db)


def test_require_current_schema_when_older_names_the_command(db: Db, tmp_path: Path) -> None:
    upgrade_schema(db)
    later = scripts_with_one_more(tmp_path, "pass")
    with pytest.raises(Conflict, match="tradewind db upgrade"):
        require_current_schema(db, later)


def test_require_current_schema_when_database_is_empty_names_the_command(db: Db) -> None:
    with pytest.raises(Conflict, match="tradewind db upgrade"):
        require_current_schema(db)


def test_fault_09_upgrade_when_it_fails_half_way_leaves_the_old_schema(db: Db, tmp_path: Path) -> None:
    upgrade_schema(db)
    before = shape(db)
    broken = scripts_with_one_more(
        tmp_path,
        "op.create_table('later', sa.Column('id', sa.Integer()))",
        "op.drop_table('outbox')",
        "raise RuntimeError('power cut')",
    )
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade_schema(db, broken)
    assert shape(db) == before
    assert schema_status(db, broken).state is SchemaState.OLDER


def test_upgrade_when_tables_are_not_ours_refuses_and_changes_nothing(db: Db) -> None:
    db.write_now(lambda tx: tx.execute(text("CREATE TABLE recipes (id INTEGER PRIMARY KEY)")))
    assert schema_status(db).state is SchemaState.FOREIGN
    with pytest.raises(Conflict, match="not Tradewind's"):
        upgrade_schema(db)
    assert list(shape(db)) == ["recipes"]


def test_write_migration_when_nothing_is_missing_writes_an_empty_one(tmp_path: Path) -> None:
    scripts = copied_scripts(tmp_path)
    newest = max(int(path.name[:4]) for path in (scripts / "versions").glob("[0-9]*.py"))
    (written,) = write_migration("nothing new", scripts)
    assert written.name == f"{newest + 1:04d}_nothing_new.py"
    assert "op." not in written.read_text("utf-8").split("def upgrade")[1]

"""An upgrade whose process is killed in the middle: the old schema is there, and the next start completes it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.database import address
from tests.support.migrations import scripts_with_one_more, shape

from tradewind.core.errors import Unavailable
from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import SchemaState, schema_status, upgrade_schema

_STARTS_WITHIN_S = 60.0
_PROGRAM = """
import sys
from pathlib import Path
from tradewind.infra.db import Db, Tx
from tradewind.infra.migrate import upgrade_schema
upgrade_schema(Db.open(sys.argv[1]), Path(sys.argv[2]))
"""
_STEPS = (
    "op.create_table('later', sa.Column('id', sa.Integer()))",
    'op.execute("INSERT INTO later SELECT value FROM epochs")',
    "op.drop_table('outbox')",
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = address(tmp_path / "tradewind.db")
    with opened(found) as db:
        upgrade_schema(db)
    return found


@contextmanager
def opened(url: str) -> Iterator[Db]:
    db = Db.open(url)
    try:
        yield db
    finally:
        db.close()


def _whole(folder: Path) -> Path:
    (folder / "whole").mkdir()
    return scripts_with_one_more(folder / "whole", *_STEPS)


def _killed_in_the_middle(url: str, folder: Path, halt: str) -> None:
    """Upgrade in a process of its own, and kill it (SIGKILL) once it says that it is half-way, where it halts."""
    marker = folder / "marker"
    (folder / "half").mkdir()
    marked = f"import pathlib; pathlib.Path({str(marker)!r}).touch()"
    scripts = scripts_with_one_more(folder / "half", *_STEPS, marked, halt)
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, url, str(scripts)])
    try:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not marker.exists():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "it never came half-way"
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()


def test_fault_09_upgrade_when_killed_in_the_middle_then_the_old_schema_is_there_and_the_next_start_completes_it(
    url: str, tmp_path: Path
) -> None:
    """reliability.md section 3: old or new schema, never half."""
    with opened(url) as db:
        before = shape(db)
    _killed_in_the_middle(url, tmp_path, "import time; time.sleep(600)")
    whole = _whole(tmp_path)
    with opened(url) as db:
        assert shape(db) == before
        assert schema_status(db, whole).state is SchemaState.OLDER
        assert upgrade_schema(db, whole).state is SchemaState.CURRENT
        after = shape(db)
        assert (set(before) - set(after), set(after) - set(before)) == ({"outbox"}, {"later"})
        assert db.read_now(lambda tx: tx.execute(text("SELECT count(*) FROM later")).scalar_one()) > 0


@pytest.mark.database("postgresql")
def test_fault_09_upgrade_when_killed_while_the_server_works_for_it_then_the_server_lets_go_and_the_next_completes_it(
    url: str, tmp_path: Path
) -> None:
    """A server in the middle of a long statement does not see by itself that nobody waits for it any more."""
    _killed_in_the_middle(url, tmp_path, "op.execute('SELECT pg_sleep(600)')")
    with opened(url) as db:
        upgrade_schema(db, _whole(tmp_path))
        assert "later" in shape(db)


@pytest.mark.database("postgresql")
def test_fault_09_upgrade_when_another_session_holds_the_database_then_told_what_to_do_and_nothing_is_changed(
    url: str, tmp_path: Path
) -> None:
    whole = _whole(tmp_path)
    with opened(url) as holder, opened(url) as db:
        before = shape(db)

        def meanwhile(_tx: Tx) -> None:
            with pytest.raises(Unavailable, match=r"(?s)old schema.*pg_stat_activity.*tradewind db upgrade"):
                upgrade_schema(db, whole)

        holder.write_now(meanwhile)
        assert shape(db) == before
        assert upgrade_schema(db, whole).state is SchemaState.CURRENT

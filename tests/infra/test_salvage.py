"""One row that cannot be read hides no other."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Engine, MetaData, Row, Select, String, Table, event, insert, select
from tests.support.database import address

from tradewind.infra.db import Db, Exact
from tradewind.infra.salvage import Salvaged, salvage

_metadata = MetaData()
_things = Table(
    "salvage_things",
    _metadata,
    Column("id", String(8), primary_key=True),
    Column("word", String(8), nullable=False),
    Column("size", Exact, nullable=False),
)


def _read(row: Row[Any]) -> str:
    return f"{row.id} { ({'a': 'apple', 'b': 'bread'}[row.word]) } {row.size}"


def _salvaged(folder: Path, words: str, query: Select[Any]) -> Salvaged[str]:
    db = Db.open(address(folder / "things.db"))
    try:
        _metadata.create_all(db.engine)
        rows = [{"id": str(number), "word": word, "size": Decimal(number)} for number, word in enumerate(words)]
        db.write_now(lambda tx: tx.execute(insert(_things), rows))
        return db.read_now(lambda tx: salvage(tx, query, _things.c.id, _read))
    finally:
        _metadata.drop_all(db.engine)
        db.close()


def test_salvage_when_every_row_reads_then_all_in_order(tmp_path: Path) -> None:
    read = _salvaged(tmp_path, "ab", select(_things).order_by(_things.c.id.desc()))
    assert (read.found, read.broken) == (["1 bread 1", "0 apple 0"], {})


def test_salvage_when_one_row_has_a_word_nobody_knows_then_the_others_and_its_key(tmp_path: Path) -> None:
    read = _salvaged(tmp_path, "axb", select(_things).order_by(_things.c.id.desc()))
    assert (read.found, read.broken) == (["2 bread 2", "0 apple 0"], {"1": "KeyError"})


def test_salvage_when_the_query_is_limited_then_so_is_what_is_read(tmp_path: Path) -> None:
    read = _salvaged(tmp_path, "xab", select(_things).where(_things.c.word != "b").order_by(_things.c.id).limit(1))
    assert (read.found, read.broken) == ([], {"0": "KeyError"})


def test_salvage_when_one_of_many_rows_is_broken_then_the_others_are_not_read_one_by_one(tmp_path: Path) -> None:
    """One damaged row must not make every read of thousands a slow one: that holds up everybody."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    words = "a" * 300 + "x" + "b" * 211
    try:
        read_all = _salvaged(tmp_path, words, select(_things).order_by(_things.c.id))
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert (len(read_all.found), read_all.broken) == (511, {"300": "KeyError"})
    selects = [each for each in statements if each.startswith("SELECT") and "salvage_things" in each]
    assert len(selects) < 50
    assert read_all.found == sorted(read_all.found, key=lambda each: each.split()[0])

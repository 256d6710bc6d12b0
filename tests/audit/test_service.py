"""The chain shows every change, wherever it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.people import People, people

from tradewind.audit.service import Anchor, AuditProblem
from tradewind.infra.db import Tx
from tradewind.vault.secret import Secret


@pytest.fixture
def house(tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as house:
        yield house


def _append(house: People, count: int) -> None:
    def work(tx: Tx) -> None:
        for number in range(count):
            house.audit.append(
                tx, "user:u1", "account.changed", f"account:a{number}", details={"n": number}, user_id="u1"
            )

    house.db.write_now(work)


def _verify(house: People, anchor: Anchor | None = None) -> AuditProblem | None:
    return house.db.read_now(lambda tx: house.audit.verify(tx, anchor))


_MOMENT = "interval '1 microsecond'"


def _execute(house: People, statement: str) -> None:
    is_sqlite = house.db.dialect == "sqlite"
    for word, here in (("{bytes}", "BLOB" if is_sqlite else "BYTEA"), ("{moment}", "1" if is_sqlite else _MOMENT)):
        statement = statement.replace(word, here)
    house.db.write_now(lambda tx: tx.execute(text(statement)))


def test_verify_when_nothing_was_ever_recorded_then_holds(house: People) -> None:
    assert _verify(house) is None


def test_verify_when_untouched_then_holds(house: People) -> None:
    _append(house, 5)
    _append(house, 5)
    assert _verify(house) is None


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE audit_log SET actor = 'user:u2' WHERE seq = 3", 3),
        ("UPDATE audit_log SET action = 'account.linked' WHERE seq = 3", 3),
        ("UPDATE audit_log SET subject = 'account:other' WHERE seq = 3", 3),
        ("UPDATE audit_log SET details = '{}' WHERE seq = 3", 3),
        ("UPDATE audit_log SET user_id = NULL WHERE seq = 3", 3),
        ("UPDATE audit_log SET at = at + {moment} WHERE seq = 3", 3),
        ("UPDATE audit_log SET hash = CAST('00' AS {bytes}) WHERE seq = 3", 3),
        ("DELETE FROM audit_log WHERE seq = 3", 3),
        ("DELETE FROM audit_log WHERE seq = 1", 1),
        ("DELETE FROM audit_log WHERE seq = 10", 10),
        ("DELETE FROM audit_log", 1),
        ("UPDATE audit_head SET seq = 9", 11),
        ("DELETE FROM audit_head", 11),
        ("UPDATE audit_log SET hash = (SELECT hash FROM audit_log AS o WHERE o.seq = 4) WHERE seq = 3", 3),
    ],
)
def test_verify_when_somebody_changed_the_table_then_names_the_entry(house: People, statement: str, seq: int) -> None:
    _append(house, 10)
    _execute(house, statement)
    problem = _verify(house)
    assert problem is not None
    assert problem.seq == seq


def test_verify_when_the_end_was_cut_off_with_its_head_then_only_the_anchor_shows_it(house: People) -> None:
    _append(house, 10)
    anchor = house.db.read_now(house.audit.anchor)
    _execute(house, "DELETE FROM audit_log WHERE seq > 6")
    _execute(house, "UPDATE audit_head SET seq = 6, hash = (SELECT hash FROM audit_log WHERE seq = 6)")
    assert _verify(house) is None
    problem = _verify(house, anchor)
    assert problem is not None
    assert "anchored" in problem.text


def test_verify_when_the_chain_went_on_after_the_anchor_then_holds(house: People) -> None:
    assert house.db.read_now(house.audit.anchor).seq == 0
    _append(house, 3)
    anchor = house.db.read_now(house.audit.anchor)
    _append(house, 3)
    assert _verify(house, anchor) is None


def test_verify_when_the_anchor_is_of_another_chain_then_says_so(house: People) -> None:
    _append(house, 3)
    problem = _verify(house, Anchor(2, "00" * 32))
    assert problem is not None
    assert problem.seq == 2


def test_append_when_the_transaction_fails_then_neither_change_nor_entry_stays(house: People) -> None:
    _append(house, 1)

    def work(tx: Tx) -> None:
        house.audit.append(tx, "cli", "x.y", "z")
        raise KeyError

    with pytest.raises(KeyError):
        house.db.write_now(work)
    assert house.db.read_now(house.audit.anchor).seq == 1
    _append(house, 1)
    assert _verify(house) is None


def test_append_when_a_detail_looks_like_a_secret_then_it_is_masked(house: People) -> None:
    canary = "kX9vQ2mB7nL4pR8sT1wY6zA3cD5eF0gHjUiOKlMNbVcXzQaSwEdRfTgYhUjIkOlP"
    house.db.write_now(lambda tx: house.audit.append(tx, "cli", "x.y", "z", details={"note": f"key {canary}"}))
    (row,) = house.db.read_now(lambda tx: tx.execute(text("SELECT details FROM audit_log")).all())
    assert canary not in row.details
    assert "***" in row.details


def test_append_when_a_detail_is_a_secret_value_then_is_refused(house: People) -> None:
    with pytest.raises(TypeError):
        house.db.write_now(
            lambda tx: house.audit.append(tx, "cli", "x.y", "z", details={"a": Secret("x")})  # type: ignore[dict-item]
        )


def test_entries_of_user_when_read_then_newest_first_and_no_one_elses(house: People) -> None:
    _append(house, 4)
    house.db.write_now(lambda tx: house.audit.append(tx, "cli", "x.y", "z", user_id="u2"))
    rows = house.db.read_now(lambda tx: house.audit.entries_of_user(tx, "u1", limit=3))
    assert [row.seq for row in rows] == [4, 3, 2]
    rest = house.db.read_now(lambda tx: house.audit.entries_of_user(tx, "u1", before_seq=2))
    assert [row.seq for row in rest] == [1]

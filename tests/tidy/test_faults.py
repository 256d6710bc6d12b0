"""The tables of faults and holes agree with the tests, and would say so if they did not."""

from __future__ import annotations

import pytest
from scripts import faults


def test_tables_when_compared_with_the_tests_then_they_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert faults.main(["--brief"]) == 0, capsys.readouterr().err


def test_fault_rows_when_file_and_tests_disagree_then_say_where() -> None:
    table = {"01": {"what": "a", "is_covered": True}, "02": {"what": "b", "waits_for": "a room"}}
    tests = {"test_fault_02_x": faults.Test("test_fault_02_x", ""), "test_fault_99_y": faults.Test("y", "")}
    rows, wrong = faults.fault_rows(table, tests)
    assert [row.status for row in rows] == ["open", "covered"]
    assert [line.split(":")[0] for line in wrong] == [
        "no fault has the number 99",
        "fault 01 is said to be covered and no test carries fault_01",
        "fault 02 has tests (test_fault_02_x) and is said to be out of reach",
    ]


def test_hole_rows_when_a_test_is_missing_or_names_another_section_then_say_so() -> None:
    holes = [{"section": 4, "what": "a", "tests": ["test_x", "test_gone", "plant:none"]}]
    _, wrong = faults.hole_rows(holes, {"test_x": faults.Test("test_x", "order-protocol.md section 14.")}, set())
    assert wrong == [
        "section 4: test_x does not name it",
        "section 4: there is no test test_gone",
        "section 4: there is no plant:none",
    ]

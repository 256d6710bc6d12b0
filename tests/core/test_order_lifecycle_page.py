"""docs/order-lifecycle.md is what the transition table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts import order_lifecycle

from tradewind.core.order import ENDED, TRANSITIONS, OrderState


def test_page_on_disk_is_up_to_date() -> None:
    on_disk = order_lifecycle.PAGE.read_text(encoding="utf-8")
    assert on_disk == order_lifecycle.render(), "run python scripts/order_lifecycle.py"
    assert order_lifecycle.main(["--check"]) == 0


def test_diagram_has_every_edge_of_the_table_and_no_other() -> None:
    edges = set(re.findall(r"^    (\S+) --> (\S+)$", order_lifecycle.render(), flags=re.MULTILINE))
    expected = {(source.value, target.value) for source, targets in TRANSITIONS.items() for target in targets}
    ends = {(state.value, "[*]") for state in ENDED}
    assert edges == expected | ends | {("[*]", "INTENDED")}


def test_every_state_has_a_meaning() -> None:
    assert set(order_lifecycle.MEANINGS) == set(OrderState)


def test_check_when_page_differs_then_fails_and_write_repairs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "order-lifecycle.md"
    monkeypatch.setattr(order_lifecycle, "PAGE", page)
    assert order_lifecycle.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().out
    assert order_lifecycle.main([]) == 0
    assert order_lifecycle.main(["--check"]) == 0

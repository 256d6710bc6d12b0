"""The worked examples in core's docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tradewind.core

NAMES = sorted(module.name for module in pkgutil.iter_modules(tradewind.core.__path__))
WITH_WORKED_EXAMPLE = {"sizing", "position", "pnl", "plan", "money", "symbols", "ids", "working", "protection"}


@pytest.mark.parametrize("name", NAMES)
def test_doctest_of_core_module_passes(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"tradewind.core.{name}"))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_WORKED_EXAMPLE

"""Texts that users read exist in both languages, with the same places to fill in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.source_tree import Module, product_modules

_HANGUL = re.compile("[가-힣]")
_PLACE = re.compile(r"\{(\w+)[^}]*\}")


def text_pairs(module: Module) -> Iterator[tuple[int, str, str]]:
    """Yield (line, English, Korean) of every text table: mappings whose values are pairs of texts."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Dict):
            continue
        pairs = [_pair(value) for value in node.values]
        # One Korean text makes it a text table; then every row has to be a pair.
        if any(pair is not None and _HANGUL.search("".join(pair)) for pair in pairs):
            for value, pair in zip(node.values, pairs, strict=True):
                yield (value.lineno, *(pair or ("", "")))


def _pair(node: ast.expr) -> tuple[str, str] | None:
    parts = node.elts if isinstance(node, ast.Tuple) else node.values if isinstance(node, ast.Dict) else []
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return (texts[0], texts[1]) if len(texts) == len(parts) == 2 else None


def problems(module: Module) -> list[str]:
    """Say what is wrong with the text tables of a module."""
    found = []
    for line, english, korean in text_pairs(module):
        where = f"{module.path}:{line}"
        if not english or _HANGUL.search(english):
            found.append(f"{where}: the English text is missing or Korean")
        if not _HANGUL.search(korean):
            found.append(f"{where}: the Korean text is missing")
        if set(_PLACE.findall(english)) != set(_PLACE.findall(korean)):
            found.append(f"{where}: the two texts fill in different values")
    return found


def test_text_table_when_read_has_both_languages_with_the_same_values() -> None:
    assert [line for module in product_modules() for line in problems(module)] == []


def test_text_tables_when_searched_are_found() -> None:
    tables = {module.path for module in product_modules() if list(text_pairs(module))}
    assert {"src/tradewind/core/skip.py", "src/tradewind/core/gate_text.py"} <= tables


def test_text_table_when_a_text_is_missing_is_reported() -> None:
    good, bad = '("Yes.", "네.")', '("No {x}.", "아니요.")'
    assert len(problems(Module("x.py", f"T = {{1: {good}, 2: {bad}}}"))) == 1
    assert len(problems(Module("x.py", f'T = {{1: {good}, 2: "No."}}'))) == 2
    assert len(problems(Module("x.py", f'T = {{1: {good}, 2: ("No.", "No.")}}'))) == 1

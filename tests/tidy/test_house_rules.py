"""The house's rules on every file, and each rule on a planted violation."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.support import house_rules
from tests.support.house_rules import RULES, Rule, bare_function, broad_except
from tests.support.source_tree import Module, modules, product_modules

BASELINE = tomllib.loads((Path(__file__).parent / "baseline.toml").read_text("utf-8"))

_PLANTED: tuple[tuple[Rule, str, str], ...] = (
    (house_rules.long_file, "src/tradewind/web/x.py", "a = 1\n" * 601),
    (house_rules.long_function, "src/tradewind/web/x.py", "def f():\n" + "    a = 1\n" * 70),
    (house_rules.empty_name, "src/tradewind/web/utils.py", ""),
    (house_rules.empty_name, "src/tradewind/web/x.py", "class KeyManager: ..."),
    (house_rules.empty_name, "src/tradewind/web/x.py", "def order_helper(): ..."),
    (house_rules.empty_name, "src/tradewind/web/x.py", "def do_it(): ..."),
    (house_rules.empty_name, "tests/web/x.py", "def account_info(): ..."),
    (house_rules.empty_name, "src/tradewind/core/common.py", ""),
    (
        house_rules.clock_reading,
        "src/tradewind/web/x.py",
        "from datetime import datetime, UTC\nnow = datetime.now(UTC)",
    ),
    (house_rules.clock_reading, "src/tradewind/execution/x.py", "import time\nstart = time.time()"),
    (house_rules.clock_reading, "src/tradewind/sim/x.py", "import time\ndef f(now=time.time_ns): ..."),
    (house_rules.clock_reading, "src/tradewind/core/x.py", "import time"),
    (house_rules.foreign_store, "src/tradewind/web/x.py", "from tradewind.accounts.store import accounts"),
    (house_rules.foreign_store, "src/tradewind/web/x.py", "from tradewind.execution import tables"),
    (house_rules.foreign_store, "src/tradewind/app.py", "import tradewind.vault.store"),
    (house_rules.inexact_number, "src/tradewind/core/x.py", "part = float(whole) / 2"),
    (house_rules.inexact_number, "src/tradewind/portfolio/x.py", "half = 0.5"),
    (house_rules.inexact_number, "src/tradewind/execution/x.py", "price = float('1')"),
    (house_rules.inexact_number, "src/tradewind/execution/x.py", "price = base * 0.5"),
    (house_rules.silent_skip, "tests/web/x.py", "import pytest\n@pytest.mark.skip\ndef test_x(): ..."),
    (house_rules.silent_skip, "tests/web/x.py", "import pytest\n@pytest.mark.xfail(reason='')\ndef test_x(): ..."),
    (house_rules.silent_skip, "tests/web/x.py", "import pytest\ndef test_x(): pytest.skip()"),
    (house_rules.silent_skip, "tests/web/x.py", "import pytest\n@pytest.mark.skipif(True)\ndef test_x(): ..."),
    (broad_except, "src/tradewind/web/x.py", "def f():\n    try: ...\n    except Exception: ..."),
    (broad_except, "src/tradewind/web/x.py", "def f():\n    try: ...\n    except: ..."),
    (broad_except, "src/tradewind/web/x.py", "def f():\n    try: ...\n    except (ValueError, BaseException): ..."),
    (bare_function, "src/tradewind/web/x.py", '"""M."""\ndef shown(): ...'),
    (bare_function, "src/tradewind/web/x.py", '"""M."""\nclass Shown:\n    def shown(self): ...'),
    (bare_function, "src/tradewind/web/x.py", "a = 1"),
)

_HARMLESS: tuple[tuple[Rule, str, str], ...] = (
    (
        house_rules.empty_name,
        "src/tradewind/sim/x.py",
        "def exchange_info(): ...\ndef is_common(): ...",
    ),
    (house_rules.clock_reading, "src/tradewind/web/x.py", "import time\nstart = time.monotonic()"),
    (house_rules.foreign_store, "src/tradewind/vault/x.py", "from tradewind.vault.store import tenant_keys"),
    (house_rules.inexact_number, "src/tradewind/execution/x.py", "_TICK_S = 0.5\ndef f(wait_s: float = 0): ..."),
    (house_rules.inexact_number, "src/tradewind/execution/x.py", "pause = min(pause, max(0.01, due))"),
    (house_rules.inexact_number, "src/tradewind/core/x.py", "def f(x): return isinstance(x, float)"),
    (house_rules.inexact_number, "src/tradewind/venues/x.py", "offset = 0.5"),
    (house_rules.silent_skip, "tests/web/x.py", "import pytest\ndef test_x(): pytest.skip('no data folder')"),
    (broad_except, "src/tradewind/web/x.py", "def f():\n    try: ...\n    except BaseException:\n        raise"),
    (bare_function, "src/tradewind/web/x.py", '"""M."""\ndef _own():\n    def inner(): ...'),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule_on_every_file_finds_nothing(rule: Rule) -> None:
    assert [line for module in modules() for line in rule(module)] == []


@pytest.mark.parametrize(("rule", "path", "text"), _PLANTED)
def test_house_rule_on_planted_violation_finds_it(rule: Rule, path: str, text: str) -> None:
    assert rule(Module(path, text)) != []


@pytest.mark.parametrize(("rule", "path", "text"), _HARMLESS)
def test_house_rule_on_harmless_lines_finds_nothing(rule: Rule, path: str, text: str) -> None:
    assert rule(Module(path, text)) == []


def test_broad_except_outside_listed_loop_edges_is_found() -> None:
    edges = frozenset(BASELINE["loop_edges"])
    assert [line for module in product_modules() for line in broad_except(module, edges)] == []


def test_broad_except_at_listed_edge_without_log_is_found() -> None:
    quiet = Module("src/tradewind/web/x.py", "def f():\n    try: ...\n    except Exception: ...")
    assert broad_except(quiet, frozenset({"src/tradewind/web/x.py::f"})) != []


def test_loop_edges_when_listed_still_exist() -> None:
    found = {line.split(": ")[1].split(" ")[0] for module in product_modules() for line in broad_except(module)}
    assert sorted(set(BASELINE["loop_edges"]) - found) == [], "take the edges that are gone off the list"


def test_public_function_without_docstring_is_only_on_the_shrinking_list() -> None:
    missing = [line.split(": ")[0] for module in product_modules() for line in bare_function(module)]
    allowed = set(BASELINE["without_docstring"])
    assert sorted(set(missing) - allowed) == [], "write one imperative line"
    assert sorted(allowed - set(missing)) == [], "good: take these off the list"


def test_file_over_warning_length_is_only_on_the_shrinking_list() -> None:
    allowed: dict[str, int] = BASELINE["long_files"]
    lengths = {module.path: module.text.count("\n") for module in modules() if not module.is_generated}
    long = {path: lines for path, lines in lengths.items() if lines > house_rules.FILE_LINES_WARN}
    assert {path: lines for path, lines in long.items() if lines > allowed.get(path, 0)} == {}, "split the file"
    assert sorted(set(allowed) - set(long)) == [], "good: take these off the list"

"""The rules of the house as functions: a module in, the lines that break the rule out.

Each rule is tried on a planted violation too (tests/tidy/test_house_rules.py), so that none can fall asleep.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import TypeGuard

from tests.support.source_tree import Module, functions

Rule = Callable[[Module], list[str]]

FILE_LINES_MAX = 600
FILE_LINES_WARN = 400
FUNCTION_LINES_MAX = 70

# Names that say nothing (the house's naming rule). `exchange_info` is Binance's own name of an endpoint.
_EMPTY_WORDS = {"manager", "managers", "helper", "helpers", "util", "utils", "handler", "handlers"}
# As the last word they stand for "whatever is left"; `common_passwords` says what is common.
_EMPTY_ENDS = (["misc"], ["common"], ["info"])
_VENUE_WORDS = re.compile(r"exchange_?info", re.IGNORECASE)
# Money is Decimal here. Indicators and surge scores are statistics, not money.
_EXACT_ROOMS = {"core", "execution", "portfolio", "billing"}
# What a line about seconds mentions.
_SECONDS = re.compile(r"_s$|_S$|pause|sleep|monotonic|seconds|every|_at$|\bage\b|\bsince\b")
_INEXACT_FILES = {"src/tradewind/core/indicators.py", "src/tradewind/core/surge.py"}
# Wall-clock readings. The clock port is the one door; the simulator takes its time as an argument, and only
# its start-up may name the machine's clock as the default.
_CLOCK_CALLS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
}
_CLOCK_DOORS = {"src/tradewind/infra/clock.py", "src/tradewind/sim/server.py"}


def long_file(module: Module) -> list[str]:
    """No file over the hard limit; generated migrations excepted."""
    lines = module.text.count("\n")
    if lines <= FILE_LINES_MAX or module.is_generated:
        return []
    return [f"{module.path}: {lines} lines, at most {FILE_LINES_MAX}: split it"]


def long_function(module: Module) -> list[str]:
    """No function over the hard limit; generated migrations excepted."""
    if module.is_generated:
        return []
    return [
        f"{module.path}:{node.lineno}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX}: split it"
        for name, node in functions(module)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def empty_name(module: Module) -> list[str]:
    """Modules, classes and functions are named after what they are or do."""
    named = [(1, part.removesuffix(".py")) for part in module.path.split("/")]
    # What a test defines inside itself is nobody else's business.
    named += [
        (node.lineno, node.name)
        for node in (module.nodes if module.is_product else module.tree.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    return [f"{module.path}:{line}: the name {name!r} says nothing" for line, name in named if _says_nothing(name)]


def _says_nothing(name: str) -> bool:
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", _VENUE_WORDS.sub("", name)).lower()
    words = [word for word in spelled.split("_") if word]
    is_claim = words[:1] in (["is"], ["has"])
    is_empty = bool(_EMPTY_WORDS.intersection(words)) or (not is_claim and words[-1:] in _EMPTY_ENDS)
    return is_empty or words[:1] == ["do"] or words == ["process", "data"]


def clock_reading(module: Module) -> list[str]:
    """Wall time comes through the clock port; core gets it as an argument."""
    if not module.is_product or module.path in _CLOCK_DOORS:
        return []
    readings = [
        f"{module.path}:{node.lineno}: reads the wall clock; take the time as an argument or from infra.clock"
        for node in module.nodes
        if isinstance(node, ast.Attribute) and _last_two(node) in _CLOCK_CALLS
    ]
    if module.room == "core":
        readings += [
            f"{module.path}:{imported.lineno}: core never reads a clock"
            for imported in _imports(module)
            if _imported(imported) & {"time", "tradewind.infra.clock"}
        ]
    return readings


def _last_two(node: ast.Attribute) -> tuple[str, str]:
    owner = node.value
    left = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return left, node.attr


def _imports(module: Module) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in module.nodes if isinstance(node, ast.Import | ast.ImportFrom))


def _imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if node.module and not node.level:
        return {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def foreign_store(module: Module) -> list[str]:
    """A room's store (and its tables) is imported by that room alone; others call its service."""
    if not module.is_product:
        return []
    return [
        f"{module.path}:{node.lineno}: imports {name}; call the service of that room instead"
        for node in _imports(module)
        for name in sorted(_imported(node))
        if (match := re.fullmatch(r"tradewind\.(\w+)\.(store\w*|tables)", name)) and match.group(1) != module.room
    ]


def inexact_number(module: Module) -> list[str]:
    """No float where money is counted; lines about seconds are not about money."""
    if not module.is_product or module.room not in _EXACT_ROOMS or module.path in _INEXACT_FILES:
        return []
    excused = {id(part) for node in module.nodes if _is_excused(node) for part in _expressions(node)}
    return [
        f"{module.path}:{node.lineno}: float where exact numbers are required"
        for node in module.nodes
        if id(node) not in excused and _is_float(node)
    ]


def _is_float(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"


def _is_excused(node: ast.AST) -> bool:
    """Seconds are floats, and asking whether something is a float, in order to refuse it, is no float."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        return True
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Expr | ast.Return | ast.keyword | ast.arg):
        return any(_SECONDS.search(name) for name in _names(node))
    return isinstance(node, ast.If | ast.While) and any(_SECONDS.search(name) for name in _names(node.test))


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    return ast.walk(node.test if isinstance(node, ast.If | ast.While) else node)


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.arg | ast.keyword):
            yield part.arg or ""


def broad_except(module: Module, loop_edges: frozenset[str] = frozenset()) -> list[str]:
    """`except Exception` only at the listed loop edges, logged; passing it on with `raise` is no catching."""
    if not module.is_product:
        return []
    found = []
    for name, node in _catches(module):
        if not _is_broad(node) or isinstance(node.body[-1], ast.Raise):
            continue
        place = f"{module.path}::{name}"
        if place not in loop_edges:
            found.append(f"{module.path}:{node.lineno}: {place} catches everything and is not a listed loop edge")
        elif not _logs(node):
            found.append(f"{module.path}:{node.lineno}: {place} catches everything without logging it")
    return found


def _catches(module: Module) -> Iterator[tuple[str, ast.ExceptHandler]]:
    catches = [node for node in module.nodes if isinstance(node, ast.ExceptHandler)]
    owner: dict[int, str] = {}
    for name, function in functions(module) if catches else ():
        # Inner functions come later and overwrite what the outer one claimed.
        owner.update((id(part), name) for part in ast.walk(function))
    for node in catches:
        yield owner.get(id(node), "<module>"), node


def _is_broad(node: ast.ExceptHandler) -> bool:
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def _logs(node: ast.ExceptHandler) -> bool:
    """Say whether the error is logged, or handed on to a call that does something with it."""
    words = {"exception", "error", "warning", "critical"}
    parts = list(ast.walk(node))
    handed_on = {
        argument.id
        for part in parts
        if isinstance(part, ast.Call)
        for argument in part.args
        if isinstance(argument, ast.Name)
    }
    return node.name in handed_on or any(isinstance(part, ast.Attribute) and part.attr in words for part in parts)


_EXCUSES = {("pytest", "skip"), ("pytest", "xfail"), ("mark", "skipif")}


def silent_skip(module: Module) -> list[str]:
    """A test that is skipped or expected to fail says why."""
    found: list[tuple[int, ast.Call | None]] = []
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and _last_two(node) in (("mark", "skip"), ("mark", "xfail")):
            found.append((node.lineno, _call_of(module, node)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _last_two(node.func) in _EXCUSES:
            found.append((node.lineno, node))
    return [f"{module.path}:{line}: skipped without a reason" for line, call in found if not _has_reason(call)]


def _call_of(module: Module, mark: ast.Attribute) -> ast.Call | None:
    return next((n for n in module.nodes if isinstance(n, ast.Call) and n.func is mark), None)


def _has_reason(call: ast.Call | None) -> bool:
    if call is None:
        return False
    values = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
    if isinstance(call.func, ast.Attribute) and call.func.attr != "skipif":
        values += call.args[:1]
    return any(not (isinstance(value, ast.Constant) and not value.value) for value in values)


def bare_function(module: Module) -> list[str]:
    """Every module and every public function and method of the product has a docstring."""
    if not module.is_product or module.is_generated:
        return []
    found = [f"{module.path}: the module has no docstring"] if not ast.get_docstring(module.tree) else []
    names = {name for name, _ in functions(module)}
    for name, node in functions(module):
        is_public = not any(part.startswith("_") for part in name.split("."))
        if (
            is_public
            and name.rpartition(".")[0] not in names
            and not _is_property(node)
            and not ast.get_docstring(node)
        ):
            found.append(f"{module.path}::{name}: no docstring")
    return found


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A property reads as a noun; its name and type say what it is."""
    return any(
        isinstance(mark, ast.Name) and mark.id in ("property", "overload") for mark in node.decorator_list
    ) or any(
        isinstance(mark, ast.Attribute) and mark.attr in ("setter", "cached_property") for mark in node.decorator_list
    )


RULES: tuple[Rule, ...] = (
    long_file,
    long_function,
    empty_name,
    clock_reading,
    foreign_store,
    inexact_number,
    silent_skip,
)

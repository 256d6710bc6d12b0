"""The project's own files, read and parsed once per test process."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache"}


@dataclass(frozen=True)
class Module:
    """One Python file: where it is (relative, with slashes), its text and its tree."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree; read once, because every rule looks at all of them."""
        return _nodes(self.text)

    @property
    def room(self) -> str:
        """The folder under src/tradewind, or the top folder of anything else."""
        parts = self.path.split("/")
        return parts[2] if self.path.startswith("src/tradewind/") and len(parts) > 3 else parts[0]

    @property
    def is_product(self) -> bool:
        return self.path.startswith("src/tradewind/")

    @property
    def is_generated(self) -> bool:
        """Migrations are written by scripts/new_migration.py and never edited after a release."""
        return "/migrations/versions/" in self.path


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _nodes(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_parse(text)))


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the project."""
    return tuple(Module(path, (ROOT / path).read_text("utf-8")) for path in project_files() if path.endswith(".py"))


def product_modules() -> Iterator[Module]:
    """The Python files of the product itself."""
    return (module for module in modules() if module.is_product)


@cache
def project_files() -> tuple[str, ...]:
    """Every file that is or would be committed, as relative paths with slashes."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split("\0")
        files = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive, or a folder that git does not trust
        files = [file for file in ROOT.rglob("*") if not _LEFT_OUT & set(file.relative_to(ROOT).parts)]
    return tuple(sorted(file.relative_to(ROOT).as_posix() for file in files if file.is_file()))


@cache
def functions(module: Module) -> tuple[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef], ...]:
    """Every function of a module with its dotted name inside it."""
    return tuple(_functions(module.tree, ""))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)

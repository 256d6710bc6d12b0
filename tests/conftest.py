"""Every test that opens a database runs on SQLite and on PostgreSQL; the closing lines say how many, on which.

`--database=sqlite` or `--database=postgresql` runs one half. A test that is about one of them says so with
`@pytest.mark.database("sqlite")`.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import structlog
from tests.support.database import KINDS, POSTGRESQL, SQLITE, databases

# Where databases are opened in tests: whoever imports from there, and has a folder to put a file, is asked twice.
_OPENERS = frozenset(
    f"tests.support.{name}"
    for name in (
        "command",
        "database",
        "db",
        "journal",
        "linked",
        "people",
        "platform",
        "serving",
        "signal_builders",
        "signal_house",
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("both", *KINDS), default="both", help="which database tests run on")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database(kind): runs on this database only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--database")
    marker = metafunc.definition.get_closest_marker("database")
    kinds = [kind for kind in KINDS if chosen in ("both", kind)]
    if marker is not None:
        kinds = [kind for kind in kinds if kind in marker.args]
    elif not _opens_databases(metafunc):
        return
    metafunc.parametrize("database", kinds, indirect=True)


def _opens_databases(metafunc: pytest.Metafunc) -> bool:
    if not {"tmp_path", "tmp_path_factory"} & set(metafunc.fixturenames):
        return False
    return any(getattr(value, "__module__", "") in _OPENERS for value in vars(metafunc.module).values())


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of database the test runs on."""
    kind: str = getattr(request, "param", SQLITE)
    databases.begin(kind)
    try:
        yield kind
    finally:
        if databases.is_asked:
            version = sqlite3.sqlite_version if kind == SQLITE else databases.server().version
            request.node.user_properties.append(("database", f"{_NAMES[kind]} {version}"))
        databases.end()


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command that runs in this process sets up its own log; the next test has the one before it."""
    settings, root, handlers = structlog.get_config(), logging.getLogger(), list(logging.getLogger().handlers)
    yield
    structlog.configure(**settings)
    root.handlers[:] = handlers


@pytest.fixture(autouse=True)
def _forgotten_routes() -> Iterator[None]:
    """FastAPI remembers thousands of routes with the rooms behind them: a process has one app, tests have hundreds."""
    yield
    models = sys.modules.get("fastapi.dependencies.models")
    for remembered in vars(models).values() if models is not None else ():
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()


_NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL"}


def pytest_sessionfinish() -> None:
    databases.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                counts.update(value for name, value in report.user_properties if name == "database")
    told = ", ".join(f"{count} on {name}" for name, count in sorted(counts.items(), reverse=True))
    if told:
        terminalreporter.write_line(f"tests with a database: {told}")

"""`tradewind emergency`: what it reaches, what it says of what it did not, and what it leaves behind."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.command import Command
from tests.support.serving import serving

from tradewind.infra.db import Db

PASSWORD = "ferry lantern oblique mustard"


@pytest.fixture
def ready(tmp_path: Path) -> Command:
    command = Command(tmp_path)
    command.out("keys", "init")
    command.out("users", "add", "ann@example.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    return command


@contextmanager
def locked(command: Command) -> Iterator[None]:
    """Hold the database's write lock, as a disk that hangs or another process would."""
    other = Db.open(command.url)
    try:
        with other.engine.connect() as writing, writing.begin():
            yield
    finally:
        other.close()


def stop_file(command: Command) -> Path:
    return command.folder / "data" / "STOP"


def test_emergency_stop_when_no_platform_runs_then_recorded_and_the_file_is_gone(ready: Command) -> None:
    said = ready.out("emergency", "stop", "--reason", "drill")
    assert "Recorded in the database: platform is stopped" in said
    assert "it starts stopped" in said
    assert not stop_file(ready).exists()
    shown = ready.out("emergency", "status")
    assert "STOPPED" in shown
    assert "drill" in shown
    assert "Entries go again: platform" in ready.out("emergency", "resume", "--yes")
    assert "No emergency stop is on" in ready.out("emergency", "status")


def test_emergency_stop_when_a_person_is_named_then_theirs_alone(ready: Command) -> None:
    said = ready.out("emergency", "stop", "--user", "ann@example.com", "--flatten")
    assert "user:" in said
    assert "are sold by the running platform" in said
    ready.refused("emergency", "resume", "--yes")
    ready.out("emergency", "resume", "--user", "ann@example.com", "--yes")


@pytest.mark.parametrize("name", ["nobody@example.com", "01a1f8ae-4dc4-7891-a3f0-0e5119a72406"])
def test_emergency_stop_when_the_person_is_not_there_then_refused_and_no_file_stays(ready: Command, name: str) -> None:
    assert "no" in ready.refused("emergency", "stop", "--user", name).message
    assert not stop_file(ready).exists()
    assert "No emergency stop is on" in ready.out("emergency", "status")


def test_fault_61_emergency_stop_when_the_database_is_away_then_the_file_holds_it_and_the_exit_code_says_so(
    ready: Command,
) -> None:
    """order-protocol.md section 6."""
    with locked(ready):
        result = ready.run("emergency", "stop", "--user", "ann@example.com")
    assert result.exit_code == 3
    assert "The database was NOT reached" in result.output
    assert "The stop file holds the stop" in result.output
    assert stat.S_IMODE(stop_file(ready).stat().st_mode) == 0o600
    assert "ann@example.com" in ready.out("emergency", "status")
    # Nobody has merged it yet; a resume takes it in and lifts it, and the audit has both.
    ready.refused("emergency", "resume", "--yes")
    assert "Entries go again: user" in ready.out("emergency", "resume", "--user", "ann@example.com", "--yes")
    assert not stop_file(ready).exists()
    db = Db.open(ready.url)
    try:
        actions = db.read_now(
            lambda tx: (
                tx.execute(text("SELECT action FROM audit_log WHERE action LIKE 'emergency%' ORDER BY seq"))
                .scalars()
                .all()
            )
        )
    finally:
        db.close()
    assert list(actions) == ["emergency.stopped", "emergency.resumed"]


def test_emergency_stop_when_there_is_no_database_at_all_then_the_file_holds_it(tmp_path: Path) -> None:
    command = Command(tmp_path)
    assert command.run("emergency", "stop").exit_code == 3
    assert stop_file(command).exists()


@pytest.mark.database("sqlite")
def test_emergency_stop_when_neither_file_nor_database_can_be_written_then_says_that_nothing_is_stopped(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").write_text("not a folder")
    result = Command(tmp_path).run("emergency", "stop")
    assert result.exit_code == 1
    assert "NOTHING was stopped" in result.output


def test_emergency_resume_when_the_word_is_not_typed_then_nothing_changes(ready: Command) -> None:
    ready.out("emergency", "stop")
    ready.refused("emergency", "resume", stdin="yes\n")
    assert "STOPPED" in ready.out("emergency", "status")


def test_emergency_stop_when_two_scopes_are_named_then_refused(ready: Command) -> None:
    ready.refused("emergency", "stop", "--user", "ann@example.com", "--venue", "binance")


def test_emergency_stop_when_a_platform_runs_then_it_confirms_and_takes_in_a_touched_file(tmp_path: Path) -> None:
    command = Command(tmp_path)
    with serving(tmp_path):
        assert "The running platform has confirmed" in command.out("emergency", "stop")
        command.out("emergency", "resume", "--yes")
        stop_file(command).touch()
        deadline = time.monotonic() + 60
        while stop_file(command).exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not stop_file(command).exists()
        assert "The stop file is empty" in command.out("emergency", "status")

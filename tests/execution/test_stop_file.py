"""The stop file: written whole or not at all, and a stop whatever is wrong with it (reliability.md fault 61)."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tradewind.execution.emergency import StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind
from tradewind.execution.stop_file import FiledStop, StopFile, latched
from tradewind.infra.clock import SystemClock

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN = Scope(ScopeKind.USER, "01a1f8ae-4dc4-7891-a3f0-0e5119a72406")


def filed(id_: str = "one", scope: Scope = ANN) -> FiledStop:
    return FiledStop(id_, StopRequest(scope, Policy.FLATTEN, "cli", "the venue is on fire", 7), AT)


def test_stop_file_when_written_then_read_as_it_was_by_its_owner_alone(tmp_path: Path) -> None:
    file = StopFile(tmp_path)
    assert file.read() == ()
    file.put(filed())
    file.put(filed("two", PLATFORM))
    assert file.read() == (filed(), filed("two", PLATFORM))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["STOP"]
    file.remove({"one"})
    assert file.read() == (filed("two", PLATFORM),)
    file.remove({"two"})
    assert list(tmp_path.iterdir()) == []
    file.remove({"two"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{",
        "[]",
        "{}",
        '{"stops": []}',
        '{"stops": [{"scope": "user"}]}',
        '{"stops": [{"id": "1", "scope": "everything", "subject": "", "policy": "cancel"}]}',
        "please stop",
        "\x00" * 40,
        "x" * 70_000,
    ],
)
def test_fault_61_stop_file_when_empty_half_written_or_strange_then_the_platform_stops(
    tmp_path: Path, text: str
) -> None:
    """order-protocol.md section 6."""
    file = StopFile(tmp_path)
    file.path.write_text(text)
    (stop,) = file.read()
    assert latched([stop]) == {PLATFORM}
    file.put(filed())
    assert latched(file.read()) == {PLATFORM, ANN}


def test_fault_61_stop_file_when_cut_off_anywhere_then_it_never_stops_less(tmp_path: Path) -> None:
    file = StopFile(tmp_path)
    file.put(filed())
    whole = file.path.read_bytes()
    for length in range(len(whole)):
        file.path.write_bytes(whole[:length])
        assert latched(file.read()) == {PLATFORM}


def test_stop_file_when_it_is_no_file_then_the_platform_stops(tmp_path: Path) -> None:
    file = StopFile(tmp_path)
    file.path.mkdir()
    assert latched(file.read()) == {PLATFORM}


def test_stop_file_when_the_folder_is_not_there_then_nothing_is_stopped(tmp_path: Path) -> None:
    assert StopFile(tmp_path / "nowhere").read() == ()


def test_stop_file_when_touched_again_then_another_stop(tmp_path: Path) -> None:
    file = StopFile(tmp_path)
    file.path.touch()
    (first,) = file.read()
    os.utime(file.path, ns=(1, 1_700_000_000_000_000_000))
    (second,) = file.read()
    assert first.id != second.id
    file.remove({first.id})
    assert file.read() == (second,)
    file.remove({second.id})
    assert file.read() == ()


def test_latched_when_a_person_is_named_by_address_then_everybody(tmp_path: Path) -> None:
    assert latched([filed(scope=Scope(ScopeKind.USER, "ann@example.org"))]) == {PLATFORM}


def test_stop_file_when_touched_right_after_a_resume_then_counts_as_later(tmp_path: Path) -> None:
    """order-protocol.md section 6: the stop wins. A file's own time may be some milliseconds behind the clock."""
    file = StopFile(tmp_path)
    resumed_at = SystemClock().now()
    file.path.touch()
    (filed,) = file.read()
    assert filed.asked_at > resumed_at

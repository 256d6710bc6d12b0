"""`tradewind serve` as a process: first start, second start, old schema, end by signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.support.command import Command
from tests.support.database import SQLITE
from tests.support.serving import START_S, environment, serving

from tradewind.cli.serve import for_people
from tradewind.infra.db import CommitInDoubt, Db
from tradewind.sim.exchange_store import ExchangeStore

_STOP_S = 30


def get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_serve_when_first_started_makes_database_and_key_answers_and_ends_by_signal(
    tmp_path: Path, database: str
) -> None:
    with serving(tmp_path) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert get(f"{url}/api/v1/health") == 200
        assert get(f"{url}/api/v1/me") == 401
        second = subprocess.run(
            [sys.executable, "-m", "tradewind", "serve", "--port", "0"],
            env=environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        assert second.returncode == 1
        assert f"process {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert get(f"{url}/api/v1/health") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(_STOP_S) == 0
    if database == SQLITE:
        assert (tmp_path / "data" / "tradewind.db").stat().st_mode & 0o077 == 0
    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log


def test_serve_when_killed_can_be_started_again(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _):
        process.kill()
        process.wait()
    with serving(tmp_path) as (_, url):
        assert get(f"{url}/api/v1/health") == 200


def test_serve_when_the_port_is_taken_says_so_and_ends(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with serving(one) as (_, url):
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "tradewind", "serve", "--port", port],
            env=environment(two),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
    assert second.returncode == 1
    assert port in second.stderr
    assert "Traceback" not in second.stderr


def test_serve_when_the_schema_is_not_this_releases_refuses_and_changes_nothing(tmp_path: Path) -> None:
    command = Command(tmp_path)
    command.out("db", "upgrade")
    db = Db.open(command.url)
    db.write_now(lambda tx: tx.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_the_future'"))
    db.close()
    assert "written by a newer Tradewind" in command.refused("serve", "--port", "0").message


def test_serve_when_another_process_holds_the_paper_venue_says_so(tmp_path: Path) -> None:
    """order-protocol.md section 7."""
    (tmp_path / "data").mkdir()
    store = ExchangeStore(tmp_path / "data" / "paper-venue.db")
    try:
        refused = subprocess.run(
            [sys.executable, "-m", "tradewind", "serve", "--port", "0"],
            env=environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
    finally:
        store.close()
    assert refused.returncode == 1
    assert "The built-in paper venue cannot start" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_serve_when_paper_points_at_the_live_venue_refuses(tmp_path: Path) -> None:
    command = Command(tmp_path, {"TRADEWIND_VENUES__BINANCE__PAPER__REST_URL": "https://api.binance.com"})
    assert "points at the live venue" in command.refused("serve", "--port", "0").message


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_serve_when_the_port_is_no_port_is_wrong_usage(tmp_path: Path, port: str) -> None:
    assert Command(tmp_path).run("serve", "--port", port).exit_code == 2


def test_for_people_when_a_commit_was_in_doubt_somewhere_inside_says_so() -> None:
    inside = ExceptionGroup("engine", [ExceptionGroup("lane", [CommitInDoubt("COMMIT failed")]), ValueError("late")])
    assert isinstance(for_people(inside), CommitInDoubt)


def test_for_people_when_it_is_a_mistake_of_ours_changes_nothing() -> None:
    mistake = ExceptionGroup("engine", [ValueError("ours")])
    assert for_people(mistake) is mistake

"""The command line on a PostgreSQL server: what it says of it, what it refuses, and no password anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from tests.support.command import Command
from tests.support.database import databases, started_server

from tradewind.app import build
from tradewind.config import Settings
from tradewind.core.errors import Conflict

pytestmark = pytest.mark.database("postgresql")
_PASSWORD = "Hunter2-canary"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_doctor_when_on_a_server_tells_its_release_and_how_safely_it_keeps_things(command: Command) -> None:
    command.out("keys", "init")
    told = command.run("doctor").output
    assert f"PostgreSQL {databases.server().version}" in told
    for name in ("fsync on", "synchronous_commit on", "full_page_writes on"):
        assert name in told
    assert "no platform runs on this database" in told


def test_password_when_in_the_address_is_in_no_output(command: Command) -> None:
    url = make_url(command.url)
    with_password = url.set(password=_PASSWORD).update_query_dict({"sslpassword": _PASSWORD})
    address = with_password.render_as_string(hide_password=False)
    spoiled = with_password.set(database="nowhere").render_as_string(hide_password=False)
    for verb in (("db", "upgrade"), ("db", "status"), ("db", "check"), ("doctor", "--settings"), ("doctor", "--json")):
        for place in (address, spoiled):
            result = command.run("--database", place, *verb)
            assert _PASSWORD not in f"{result.output}{result.stderr}{result.exception}"
    assert "database" in command.refused("--database", spoiled, "db", "status").message


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_verbs_when_the_server_may_lose_what_it_confirms_are_refused(tmp_path: Path, setting: str) -> None:
    server = started_server(f"{setting}=off")
    try:
        command = Command(tmp_path)
        for verb in (("db", "upgrade"), ("serve", "--port", "0")):
            refusal = command.refused("--database", server.url(), *verb)
            assert f"{setting} = off" in refusal.message
    finally:
        server.remove()


def test_database_when_it_cannot_hold_every_character_is_refused(command: Command) -> None:
    databases.server().run("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'SQL_ASCII'")
    refusal = command.refused("--database", databases.server().url("narrow"), "db", "upgrade")
    assert "ENCODING 'UTF8'" in refusal.message


def test_db_upgrade_when_a_platform_runs_is_refused_though_the_platform_only_writes(command: Command) -> None:
    command.out("keys", "init")
    settings = Settings(data_dir=command.folder / "data", database=command.url, kek_file=command.kek)
    app = build(settings, is_owner=True)
    try:
        assert f"process {os.getpid()}" in command.refused("db", "upgrade").message
        assert "Another Tradewind" in command.run("doctor").output
        with pytest.raises(Conflict, match="runs on this database"):
            build(settings, is_owner=True)
        # People are looked after while it runs.
        command.out("users", "add", "ann@example.com", "--password-stdin", stdin="correct-Horse-7-battery\n")
    finally:
        app.db.close()
    assert "nothing to do" in command.out("db", "upgrade")

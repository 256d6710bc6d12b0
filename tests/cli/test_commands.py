"""The commands over a database of their own: what they say, what they refuse, what they leave behind."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command import Command
from tests.support.database import SQLITE
from tests.support.db import bytes_of

from tradewind import __version__
from tradewind.infra.db_place import owner_lock

PASSWORD = "ferry lantern oblique mustard"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def ready(command: Command) -> Command:
    command.out("keys", "init")
    return command


def add(command: Command, email: str = "ann@example.com", *more: str) -> str:
    return command.out("users", "add", email, "--password-stdin", *more, stdin=f"{PASSWORD}\n")


# --- usage ---


def test_version_when_asked_is_the_packages(command: Command) -> None:
    assert command.out("--version").strip() == f"tradewind {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["users", "add"], ["serve", "--port", "eighty"], ["users", "plan", "a@b.c", "GOLD"], ["--nonsense"]],
)
def test_wrong_usage_when_typed_gets_a_sentence_and_exit_code_two(command: Command, arguments: list[str]) -> None:
    result = command.run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "Error" in result.output


def test_main_when_settings_are_wrong_prints_the_problem_and_no_traceback(tmp_path: Path) -> None:
    environ = {**os.environ, "TRADEWIND_PROT": "8000", "TRADEWIND_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tradewind", "db", "status"], env=environ, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Did you mean TRADEWIND_PORT?" in done.stderr
    assert "Traceback" not in done.stderr


# --- db ---


def test_db_upgrade_when_there_is_no_database_makes_it_for_its_owner_alone(command: Command, database: str) -> None:
    assert "Upgraded from nothing" in command.out("db", "upgrade")
    assert "nothing to do" in command.out("db", "upgrade")
    if database == SQLITE:
        assert stat.S_IMODE(command.database.parent.stat().st_mode) == 0o700
    assert "current" in command.out("db", "status")
    assert "sound" in command.out("db", "check")


def test_db_status_when_there_is_no_database_says_how_to_make_one(command: Command) -> None:
    for verb in ("users", "sources"):
        assert "tradewind db upgrade" in command.refused(verb, "list").message
    assert command.run("db", "status").exit_code == 1


def test_db_upgrade_when_a_platform_runs_is_refused_with_its_process(command: Command) -> None:
    command.out("db", "upgrade")
    lock = owner_lock(command.url)
    lock.acquire()
    try:
        assert f"process {os.getpid()}" in command.refused("db", "upgrade").message
    finally:
        lock.release()


@pytest.mark.database("sqlite")
def test_db_check_when_the_file_is_no_database_says_so(command: Command) -> None:
    command.database.parent.mkdir(parents=True)
    command.database.write_bytes(b"not a database at all, but long enough to look at" * 100)
    refusal = command.refused("db", "check")
    assert "file is not a database" in refusal.message


def test_database_option_when_given_wins_over_the_settings(command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    command.out("--database", f"sqlite:///{other}", "db", "upgrade")
    assert other.exists()
    assert not command.database.exists()


@pytest.mark.parametrize("url", ["mysql://h/db", "nonsense", "sqlite://"])
def test_database_option_when_not_a_file_is_refused_with_the_form(command: Command, url: str) -> None:
    assert "sqlite:///path/to/file" in command.refused("--database", url, "db", "status").message


# --- keys ---


def test_keys_init_when_first_makes_a_private_file_and_never_twice(command: Command) -> None:
    command.out("keys", "init")
    assert stat.S_IMODE(command.kek.stat().st_mode) in (0o400, 0o600)
    assert "never overwritten" in command.refused("keys", "init").message
    assert "fits this database" in command.out("keys", "check")


def test_keys_check_when_the_key_was_replaced_refuses(ready: Command) -> None:
    add(ready)
    ready.kek.chmod(0o600)
    ready.kek.write_text("11" * 32 + "\n", "ascii")
    message = ready.refused("keys", "check").message
    assert "is not the one this database was made with" in message
    assert ".." not in message


def test_keys_init_when_the_key_is_gone_makes_no_new_one(ready: Command) -> None:
    add(ready)
    ready.kek.unlink()
    assert "a new one would open nothing" in ready.refused("keys", "init").message
    assert not ready.kek.exists()


def test_keys_check_when_others_may_read_the_file_refuses(ready: Command) -> None:
    ready.kek.chmod(0o644)
    assert "chmod 600" in ready.refused("keys", "check").message


def test_keys_check_when_passphrase_is_used_derives_the_same_key_again(tmp_path: Path) -> None:
    environ = {"TRADEWIND_KEK_PASSPHRASE_ENV": "MY_PASSPHRASE", "MY_PASSPHRASE": "a long enough passphrase"}
    command = Command(tmp_path, environ)
    command.out("db", "upgrade")
    add(command)
    assert "fits this database" in command.out("keys", "check")
    wrong = Command(tmp_path, {**environ, "MY_PASSPHRASE": "another long passphrase"})
    assert "is not the one" in wrong.refused("keys", "check").message


# --- users ---


def test_users_add_when_done_lists_the_person_with_plan_and_role(ready: Command) -> None:
    assert "Added ann@example.com (operator, PRO)" in add(
        ready, "Ann@Example.com", "--role", "operator", "--plan", "PRO"
    )
    listed = ready.out("users", "list")
    assert "ann@example.com" in listed
    assert "PRO" in listed
    assert "1 users" in listed


def test_users_add_when_the_address_is_taken_or_wrong_is_refused(ready: Command) -> None:
    add(ready)
    assert "exists" in ready.refused("users", "add", "ann@example.com", "--password-stdin", stdin=PASSWORD).message
    assert "not an e-mail" in ready.refused("users", "add", "ann", "--password-stdin", stdin=PASSWORD).message


def test_users_add_when_the_password_is_weak_is_refused(ready: Command) -> None:
    refusal = ready.refused("users", "add", "ann@example.com", "--password-stdin", stdin="short\n")
    assert "12" in refusal.message


def test_users_add_when_nobody_can_type_asks_for_the_flag(ready: Command) -> None:
    assert "--password-stdin" in ready.refused("users", "add", "ann@example.com").message


def test_users_add_when_the_address_is_none_says_so_before_it_asks_for_a_password(ready: Command) -> None:
    assert ready.refused("users", "add", "bad").code == "email_malformed"


def test_option_when_its_value_is_unknown_names_the_values_in_plain_words(command: Command) -> None:
    result = command.run("users", "add", "ann@example.com", "--role", "king")
    assert result.exit_code == 2
    assert "'king' is not one of" in result.output
    assert "Value error" not in result.output


@pytest.mark.parametrize("columns", ["40", "80"])
def test_lists_when_the_terminal_is_narrow_keep_ids_whole(tmp_path: Path, columns: str) -> None:
    narrow = Command(tmp_path, {"COLUMNS": columns})
    narrow.out("keys", "init")
    user_id = add(narrow, "somebody.with.a.long.address@example.com").split()[-1]
    narrow.out(
        "sources", "add", "a source [bold]with a long name", "--owner", "somebody.with.a.long.address@example.com"
    )
    listed = narrow.out("users", "list")
    assert user_id in listed
    sources = narrow.out("sources", "list")
    assert "a source [bold]with a long name" in sources
    assert re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", sources)


def test_users_plan_when_changed_is_listed(ready: Command) -> None:
    add(ready)
    ready.out("users", "plan", "ann@example.com", "ENTERPRISE")
    assert "ENTERPRISE" in ready.out("users", "list")


def test_users_suspend_when_lifted_again_is_active(ready: Command) -> None:
    add(ready)
    ready.out("users", "suspend", "ann@example.com", "--reason", "asked for it", "--until", "2099-01-31")
    assert "suspended until 2099-01-31: asked for it" in ready.out("users", "list")
    ready.out("users", "unsuspend", "ann@example.com")
    assert "suspended" not in ready.out("users", "list")


@pytest.mark.parametrize("day", ["tomorrow", "2020-01-01", "31.01.2099"])
def test_users_suspend_when_the_day_is_wrong_is_refused(ready: Command, day: str) -> None:
    add(ready)
    ready.refused("users", "suspend", "ann@example.com", "--reason", "x", "--until", day)


def test_users_token_when_issued_is_alone_on_standard_output(ready: Command) -> None:
    add(ready)
    result = ready.run("users", "token", "ann@example.com", "--scope", "read", "--scope", "trade")
    assert result.exit_code == 0
    assert result.stdout.startswith("tw_")
    assert result.stdout.count("\n") == 1
    assert result.stdout.strip().encode() not in bytes_of(ready.database.parent)


def test_users_token_when_the_scope_is_beyond_the_role_is_refused(ready: Command) -> None:
    add(ready)
    assert "cannot have the scope" in ready.refused("users", "token", "ann@example.com", "--scope", "admin").message


def test_users_command_when_the_person_is_unknown_says_where_to_look(ready: Command) -> None:
    assert "users list" in ready.refused("users", "plan", "bob@example.com", "PRO").message


def test_users_command_when_the_schema_is_missing_says_what_to_run(command: Command) -> None:
    assert "tradewind db upgrade" in command.refused("users", "list").message


# --- sources ---


def test_sources_add_when_done_shows_the_address_once(ready: Command) -> None:
    add(ready, "op@example.com", "--role", "operator")
    result = ready.run("sources", "add", "my alerts", "--owner", "op@example.com")
    assert result.exit_code == 0, result.output
    address = result.stdout.strip()
    assert address.startswith("http://127.0.0.1:8000/webhooks/")
    token = address.rpartition("/")[2]
    assert token.encode() not in bytes_of(ready.database.parent)
    listed = ready.out("sources", "list")
    assert "my alerts" in listed
    assert token not in listed


def test_sources_add_when_a_public_address_is_set_uses_it(tmp_path: Path) -> None:
    command = Command(tmp_path, {"TRADEWIND_PUBLIC_URL": "https://trade.example.com/"})
    command.out("keys", "init")
    add(command, "op@example.com", "--role", "operator")
    address = command.out("sources", "add", "alerts", "--owner", "op@example.com")
    assert address.startswith("https://trade.example.com/webhooks/")


# --- doctor ---


def test_doctor_when_nothing_is_there_fails_and_says_what_to_run(command: Command) -> None:
    result = command.run("doctor")
    assert result.exit_code == 1
    assert "tradewind db upgrade" in result.output


def test_doctor_when_all_is_well_passes_with_secrets_masked(tmp_path: Path) -> None:
    command = Command(tmp_path, {"TRADEWIND_LIVE_CONFIRM": "canary-77aa"})
    command.out("keys", "init")
    add(command)
    result = command.run("doctor", "--settings")
    assert result.exit_code == 0, result.output
    assert "canary-77aa" not in result.output
    assert "***" in result.output
    found = json.loads(command.out("doctor", "--json"))
    assert {finding["name"] for finding in found["findings"]} >= {"settings", "database", "schema", "key", "gate paper"}
    assert found["settings"]["live_confirm"] == {"value": "***", "origin": "environment"}


def test_doctor_when_trading_is_disabled_fails_with_the_setting_to_change(tmp_path: Path) -> None:
    command = Command(tmp_path, {"TRADEWIND_TRADING_ENABLED": "false"})
    command.out("keys", "init")
    result = command.run("doctor")
    assert result.exit_code == 1
    assert "Set TRADEWIND_TRADING_ENABLED=true to enable it." in result.output


def test_doctor_when_settings_are_wrong_says_so_and_stops(tmp_path: Path) -> None:
    result = Command(tmp_path, {"TRADEWIND_PROT": "1"}).run("doctor")
    assert result.exit_code == 1
    assert "Did you mean TRADEWIND_PORT?" in result.output


def test_doctor_when_a_venue_is_away_fails_and_names_it(tmp_path: Path) -> None:
    command = Command(tmp_path, {"TRADEWIND_VENUES__BINANCE__PAPER__REST_URL": "http://127.0.0.1:9"})
    command.out("keys", "init")
    result = command.run("doctor")
    assert result.exit_code == 1
    assert "binance paper" in result.output


# --- sim ---


def test_sim_describe_when_asked_says_what_is_recorded_and_what_is_modelled(command: Command) -> None:
    text = command.out("sim", "--describe")
    assert "MODELLED" in text
    assert not (command.folder / "data").exists()


def test_sim_when_the_tape_is_unknown_names_the_packaged_ones(command: Command) -> None:
    assert "upbit-2026-05-12" in command.refused("sim", "--in-memory", "--tape", "nonsense").message

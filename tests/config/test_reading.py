"""Settings: sources, unknown keys, wrong values, secrets, the example file."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.source_tree import ROOT

from tradewind.config import Settings, VenueSection, describe, example_toml, known_settings, load_settings
from tradewind.core.errors import InvalidInput
from tradewind.core.instrument import BINANCE, Environment

PAPER, LIVE, TESTNET = ((BINANCE, e) for e in (Environment.PAPER, Environment.LIVE, Environment.TESTNET))


def load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    file = tmp_path / "tradewind.toml"
    file.write_text(toml, "utf-8")
    return load_settings(file, environ)


def problems(tmp_path: Path, toml: str = "", **environ: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, toml, **environ)
    assert caught.value.code == "config_invalid"
    return caught.value.message


def test_load_settings_when_nothing_is_set_gives_safe_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert not settings.allow_live
    assert not settings.dry_run
    assert settings.live_confirm is None
    assert settings.is_enabled(*PAPER)
    assert not settings.is_enabled(*LIVE)
    assert not settings.is_enabled(*TESTNET)


def test_order_settings_when_nothing_is_set_are_the_numbers_of_the_protocol(tmp_path: Path) -> None:
    orders = load(tmp_path).orders
    assert (orders.send_by_ms, orders.request_timeout_ms, orders.recv_window_ms) == (2_000, 5_000, 3_000)
    # With the second of reserve in venues/base.py this is the fence of 14 s.
    assert orders.recv_window_ms + orders.venue_processing_ms == 13_000
    assert (orders.max_age_s, orders.lease_s, orders.doubt_alarm_s) == (60, 10, 15)


def test_load_settings_when_set_twice_takes_environment_over_file(tmp_path: Path) -> None:
    toml = "port = 9000\n[orders]\nmax_age_s = 30\nmin_order_quote = 12.5\n[venues.binance.testnet]\nenabled = true\n"
    settings = load(tmp_path, toml, TRADEWIND_PORT="9001")
    assert settings.port == 9001
    assert settings.orders.max_age_s == 30
    assert settings.orders.min_order_quote == Decimal("12.5")
    assert settings.is_enabled(*TESTNET)
    origins = {line.key: line.origin for line in describe(settings)}
    assert origins["port"] == "environment"
    assert origins["orders.max_age_s"].endswith("tradewind.toml")
    assert origins["host"] == "default"


def test_load_settings_when_live_is_allowed_serves_live_unless_switched_off(tmp_path: Path) -> None:
    assert load(tmp_path, TRADEWIND_ALLOW_LIVE="true").is_enabled(*LIVE)
    off = load(tmp_path, TRADEWIND_ALLOW_LIVE="true", TRADEWIND_VENUES__BINANCE__LIVE__ENABLED="false")
    assert not off.is_enabled(*LIVE)


@pytest.mark.parametrize(
    ("toml", "environ", "expected"),
    [
        ("prot = 1", {}, "unknown setting 'prot'. Did you mean port?"),
        ("[orders]\nmax_age = 1", {}, "Did you mean orders.max_age_s?"),
        ("max_age_s = 1", {}, "Did you mean orders.max_age_s?"),
        ("[venues.kraken.live]\nenabled = true", {}, "unknown setting 'venues.kraken.live.enabled'"),
        ("", {"TRADEWIND_TRADING_ENABELD": "true"}, "Did you mean TRADEWIND_TRADING_ENABLED?"),
        ("", {"TRADEWIND_ORDERS__MAX_AGE": "1"}, "Did you mean TRADEWIND_ORDERS__MAX_AGE_S?"),
        ("port = true", {}, "port must be a whole number"),
        ('port = "many"', {}, "must be a whole number, was 'many'"),
        ("port = 70000", {}, "at most 65535"),
        ("[orders]\nmin_order_quote = 1", {}, "at least 2"),
        ("[orders]\nmin_order_quote = nan", {}, "must be a number"),
        ('[log]\nlevel = "LOUD"', {}, "one of DEBUG, INFO, WARNING, ERROR"),
        ("", {"TRADEWIND_ALLOW_LIVE": "maybe"}, "TRADEWIND_ALLOW_LIVE must be true or false, was 'maybe'"),
        ("data_dir = [1]", {}, "data_dir must be a path"),
        ('kek_env = "A"\nkek_passphrase_env = "B"', {}, "choose one place"),
        ('data_dir = "/d"\nkek_file = "/d/kek"', {}, "lies inside data_dir"),
        ('live_confirm = "token"', {}, "set TRADEWIND_LIVE_CONFIRM in the environment instead"),
    ],
)
def test_load_settings_when_wrong_names_the_setting_and_the_remedy(
    tmp_path: Path, toml: str, environ: dict[str, str], expected: str
) -> None:
    assert expected in problems(tmp_path, toml, **environ)


def test_load_settings_when_several_are_wrong_tells_all_at_once(tmp_path: Path) -> None:
    said = problems(tmp_path, "prot = 1\nport = -1", TRADEWIND_DRY_RUN="perhaps")
    assert said.count("\n  - ") == 3


def test_load_settings_when_file_is_no_toml_says_where(tmp_path: Path) -> None:
    assert "is not valid TOML" in problems(tmp_path, "port = = 1")


def test_load_settings_when_named_file_is_missing_refuses(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(InvalidInput, match="does not exist"):
        load_settings(None, {"TRADEWIND_CONFIG": str(tmp_path / "none.toml")})


def test_load_settings_when_variable_is_empty_takes_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, 'public_url = ""', TRADEWIND_PUBLIC_URL="", TRADEWIND_PORT="").port == 8000


def test_load_settings_when_variable_is_pointed_to_accepts_its_name(tmp_path: Path) -> None:
    settings = load(tmp_path, 'kek_env = "TRADEWIND_MY_KEK"', TRADEWIND_MY_KEK="c2VjcmV0")
    assert settings.kek_env == "TRADEWIND_MY_KEK"


def test_load_settings_when_path_is_relative_in_file_starts_at_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, 'data_dir = "state"').data_dir == tmp_path / "state"


def test_describe_when_secret_is_set_shows_a_mask_only(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        'database = "postgresql://trader:hunter2@db/tradewind"',
        TRADEWIND_LIVE_CONFIRM="canary-5f1c",
    )
    shown = " ".join(f"{line.key}={line.value}" for line in describe(settings))
    assert "live_confirm=***" in shown
    assert "trader:***@db" in shown
    assert "canary-5f1c" not in shown + repr(settings)
    assert "hunter2" not in shown


def test_problem_when_value_of_a_secret_is_wrong_does_not_quote_it(tmp_path: Path) -> None:
    said = problems(tmp_path, 'live_confirm = "canary-5f1c"')
    assert "canary-5f1c" not in said


def test_known_settings_when_listed_all_have_a_sentence() -> None:
    assert [key for key, known in known_settings().items() if len(known.declared.metadata.get("about", "")) < 10] == []


def test_example_file_when_compared_is_up_to_date() -> None:
    written = (ROOT / "tradewind.example.toml").read_text("utf-8")
    assert written == example_toml(), "write it anew: make docs"


def test_example_file_when_uncommented_is_accepted_and_changes_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path, re.sub(r"^#(?! )", "", example_toml(), flags=re.MULTILINE))
    plain = load(tmp_path)
    changed = {
        after.key
        for before, after in zip(describe(plain), describe(settings), strict=True)
        if before.value != after.value
    }
    # The home folder of the example stands for the folder of this machine.
    assert changed <= {"data_dir", "kek_file"}


def test_settings_when_built_by_keywords_needs_no_file() -> None:
    settings = Settings(data_dir=Path("d"), venues={PAPER: VenueSection(rest_url="http://127.0.0.1:1")})
    assert settings.database_url == "sqlite:///d/tradewind.db"
    assert settings.venues[PAPER].rest_url == "http://127.0.0.1:1"

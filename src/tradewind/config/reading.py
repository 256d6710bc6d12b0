"""Reading the settings: file, then environment, with every problem told at once.

An unknown key is an error that names the nearest known one: a switch misspelt must not silently stay off.
Values are read by the types of settings.py, so a new setting is one line there and nothing here.
"""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from tradewind.config.settings import (
    VENUES,
    DepthSettings,
    LogSettings,
    OrderSettings,
    Settings,
    SimSettings,
    VenueSection,
)
from tradewind.core.errors import InvalidInput

PREFIX = "TRADEWIND_"
CONFIG_ENV = "TRADEWIND_CONFIG"
FILE_NAME = "tradewind.toml"
MASK = "***"


@dataclass(frozen=True, slots=True)
class Known:
    """One known key: its declaration and the type its text is read as."""

    key: str
    declared: Field[Any]
    type: Any
    is_optional: bool

    @property
    def env(self) -> str:
        """The environment variable of this key."""
        return PREFIX + self.key.replace(".", "__").upper()

    @property
    def is_secret(self) -> bool:
        """Say whether the value is masked and kept out of files."""
        return bool(self.declared.metadata.get("is_secret"))

    @property
    def default(self) -> Any:
        """The default in effect on this machine."""
        if self.declared.default_factory is not MISSING:
            return self.declared.default_factory()
        return self.declared.default


def known_settings() -> Mapping[str, Known]:
    """List every key that can be set, in the order of the classes."""
    return {known.key: known for known in _walk(Settings, "")}


def _walk(section: type[Any], prefix: str) -> Iterator[Known]:
    hints = typing.get_type_hints(section)
    for declared in fields(section):
        key, hint = prefix + declared.name, hints[declared.name]
        if declared.name == "origins":
            continue
        if declared.name == "venues":
            for venue, environment in VENUES:
                yield from _walk(VenueSection, f"venues.{venue}.{environment}.")
        elif is_dataclass(hint):
            yield from _walk(typing.cast("type[Any]", hint), f"{key}.")
        else:
            choices = [part for part in typing.get_args(hint) if part is not type(None)]
            yield Known(key, declared, choices[0] if choices else hint, is_optional=bool(choices))


def load_settings(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings once.

    `file` None: TRADEWIND_CONFIG, else tradewind.toml in the current folder if there is one. Raises
    InvalidInput(config_invalid) with every problem found; no value of a secret is quoted.
    """
    environ = os.environ if environ is None else environ
    known = known_settings()
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    path = _config_file(file, environ)
    if path is not None:
        _take_file(path, known, values, origins, problems)
    _take_environment(environ, known, values, origins, problems)
    settings = None if problems else _build(values, origins)
    if settings is not None:
        problems.extend(_contradictions(settings))
    if settings is None or problems:
        raise InvalidInput(
            "config_invalid", "The configuration has problems:\n" + "\n".join(f"  - {p}" for p in problems)
        )
    return settings


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    if settings.kek_env and settings.kek_passphrase_env:
        problems.append("kek_env and kek_passphrase_env are both set: choose one place for the key-encryption key.")
    uses_file = not (settings.kek_env or settings.kek_passphrase_env)
    if settings.mark_dir is not None and settings.mark_dir.resolve().is_relative_to(settings.data_dir.resolve()):
        problems.append(f"mark_dir {settings.mark_dir} lies inside data_dir: it would be put back with it.")
    if uses_file and settings.kek_file.resolve().is_relative_to(settings.data_dir.resolve()):
        # Whoever copies the data folder must not get the key with it.
        problems.append(f"kek_file {settings.kek_file} lies inside data_dir: keep the key apart from what it protects.")
    if settings.depth.refuse_pct < settings.depth.slice_pct:
        problems.append("depth.refuse_pct is below depth.slice_pct: all slices together must hold at least one.")
    return problems


def _config_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = file or (Path(environ[CONFIG_ENV]) if environ.get(CONFIG_ENV) else None)
    if named is not None:
        if not named.is_file():
            raise InvalidInput("config_missing", f"The configuration file {named} does not exist.")
        return named
    default = Path(FILE_NAME)
    return default if default.is_file() else None


def _take_file(
    path: Path, known: Mapping[str, Known], values: dict[str, Any], origins: dict[str, str], problems: list[str]
) -> None:
    try:
        tree = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("config_invalid", f"{path} is not valid TOML: {error}") from None
    for key, value in _flatten(tree, ""):
        if key not in known:
            problems.append(f"{path.name}: unknown setting {key!r}.{_nearest(key, known)}")
        elif value == "":
            continue
        elif known[key].is_secret:
            problems.append(f"{path.name}: {key} is a secret; set {known[key].env} in the environment instead.")
        else:
            _take(known[key], value, f"{path.name}: {key}", values, problems, base=path.parent)
            origins[key] = str(path)


def _take_environment(
    environ: Mapping[str, str],
    known: Mapping[str, Known],
    values: dict[str, Any],
    origins: dict[str, str],
    problems: list[str],
) -> None:
    by_env = {entry.env: entry for entry in known.values()}
    pointed_to = {str(value) for key, value in values.items() if key.endswith("_env")}
    pointed_to |= {environ[env] for env in by_env if env.endswith("_ENV") and env in environ}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_ENV or name in pointed_to:
            continue
        if name not in by_env:
            problems.append(f"environment: unknown setting {name}.{_nearest(name, by_env)}")
        elif environ[name] != "":  # empty means "not set": compose files pass such variables on
            _take(by_env[name], environ[name], f"environment: {name}", values, problems, base=Path())
            origins[by_env[name].key] = "environment"


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if not found:
        last = key.rpartition(".")[2]
        found = [entry for entry in known if entry.rpartition(".")[2] == last][:1]
    return f" Did you mean {found[0]}?" if found else ""


def _take(known: Known, value: Any, where: str, values: dict[str, Any], problems: list[str], *, base: Path) -> None:
    text = str(value).strip()
    shown = MASK if known.is_secret else repr(text)
    try:
        if isinstance(value, list):
            raise ValueError("a list")
        parsed = _parse(known.type, text, base)
    except (ValueError, InvalidOperation):
        problems.append(f"{where} must be {_WORDS[known.type]}, was {shown}.")
        return
    complaint = _broken_rule(known, parsed)
    if complaint:
        problems.append(f"{where} must be {complaint}, was {shown}.")
    values[known.key] = parsed


_WORDS = {
    bool: "true or false",
    int: "a whole number",
    Decimal: "a number",
    str: "a text",
    Path: "a path",
}
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _parse(kind: Any, text: str, base: Path) -> Any:
    if kind is bool:
        if text.lower() not in _TRUTHS:
            raise ValueError(text)
        return _TRUTHS[text.lower()]
    if kind is Decimal:
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError(text)
        return number
    if kind is Path:
        return base / Path(text).expanduser()
    return kind(text)


def _broken_rule(known: Known, value: Any) -> str | None:
    rules = known.declared.metadata
    if "choices" in rules and value not in rules["choices"]:
        return "one of " + ", ".join(rules["choices"])
    if "least" in rules and value < rules["least"]:
        return f"at least {rules['least']}"
    if "most" in rules and value > rules["most"]:
        return f"at most {rules['most']}"
    return None


def _build(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    def section(prefix: str) -> dict[str, Any]:
        start = f"{prefix}."
        return {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}

    venues = {
        (venue, environment): VenueSection(**section(f"venues.{venue}.{environment}")) for venue, environment in VENUES
    }
    return Settings(
        **{key: value for key, value in values.items() if "." not in key},
        orders=OrderSettings(**section("orders")),
        depth=DepthSettings(**section("depth")),
        log=LogSettings(**section("log")),
        sim=SimSettings(**section("sim")),
        venues=types.MappingProxyType(venues),
        origins=types.MappingProxyType(dict(origins)),
    )

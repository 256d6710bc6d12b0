"""Structured logs: one dotted event name and ids as fields; secrets are cut out at the sink.

The second layer of reliability.md 2.3: whatever slips past the `Secret` type is masked here by pattern.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, TextIO, cast

import structlog

from tradewind.infra.log_sink import LogSink

# Names under which a secret travels, as a parameter, a header, a JSON or a Python key.
_NAMES = r"signature|x-mbx-apikey|authorization|cookie|api_?key|secret|password|passphrase|token|x-csrf"
_SECRET_NAME = re.compile(rf"(?i)({_NAMES})$")
_SECRETS = (
    # The rest of the line: a cookie header has many parts.
    re.compile(r"(?i)((?:set-)?cookie)([\"']?\s*:\s*)[^\r\n]+"),
    re.compile(
        rf"(?i)({_NAMES})([\"']?\s*[=:]\s*)"
        r"(?:\"[^\"]*\"?|'[^']*'?|(?:(?:bearer|basic)\s+)?[^\s,;&\"']+)"
    ),
    # Our own tokens, webhook tokens in paths, key and digest forms, signatures in base64, private keys.
    re.compile(r"\btw[a-z]?_[A-Za-z0-9_\-]{16,}"),
    re.compile(r"(?<=/webhooks/)[A-Za-z0-9_\-]{16,}"),
    re.compile(r"\b[A-Za-z0-9]{64}\b"),
    # 80 and not fewer: an Ed25519 signature has 86, and shorter runs are often paths.
    re.compile(r"[A-Za-z0-9+/]{80,}={0,2}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.S),
)
_MASK = "***"
# What `configure` was given last.
_sinks: list[LogSink] = []
# Deeper than anything we log; below it a value is written as text, and redacted as such.
_DEPTH_MAX = 6


def redact(text: str) -> str:
    """Mask everything in a text that looks like a secret."""
    for pattern in _SECRETS:
        if pattern.groups >= 2:
            text = pattern.sub(lambda match: f"{match.group(1)}{match.group(2)}{_MASK}", text)
        else:
            text = pattern.sub(_MASK, text)
    return text


def _redact_value(name: str, value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name):
        return _MASK
    if isinstance(value, str):
        return redact(value)
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return {redact(str(key)): _redact_value(str(key), each, depth + 1) for key, each in value.items()}
    if depth < _DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        return [_redact_value("", each, depth + 1) for each in value]
    return redact(str(value))


def _redact_event(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: _redact_value(key, value) for key, value in event.items()}


class RedactingFormatter(logging.Formatter):
    """For the logs of libraries: whole lines, tracebacks and access-log paths included."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record with everything masked that looks like a secret."""
        return redact(super().format(record))


def configure(*, level: str = "INFO", as_json: bool = False, sink: LogSink | None = None) -> None:
    """Send logs to standard error, as lines for people or as JSON.

    Whoever trades gives a `sink` in front of it, so that one that is full or slow holds nobody up.
    """
    _configure_structlog(level, as_json=as_json, sink=sink)
    _sinks[:] = [] if sink is None else [sink]
    lines = logging.StreamHandler(sys.stderr if sink is None else sink)
    lines.setFormatter(RedactingFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])


def _configure_structlog(level: str, *, as_json: bool, sink: LogSink | None = None) -> None:
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=_to_standard_error if sink is None else partial(_to_sink, sink),
        cache_logger_on_first_use=False,
    )


def _to_standard_error(*_names: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)


def _to_sink(sink: LogSink, *_names: object) -> structlog.PrintLogger:
    return structlog.PrintLogger(cast("TextIO", sink))


# Before anybody has configured anything: structlog's own default prints tracebacks with the values of local
# variables, unmasked, to standard output.
_configure_structlog("INFO", as_json=False)


def drain() -> None:
    """Wait a moment until what was logged is written: for a process that is about to end without its exit calls."""
    for sink in _sinks:
        sink.drain()


def logger(name: str) -> Any:
    """Return the logger of a module."""
    return structlog.get_logger(name)

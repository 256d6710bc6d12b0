"""What slips past the Secret type is masked at the sink."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tradewind.infra.log import RedactingFormatter, configure, logger, redact

_CANARY = "kX9vQ2mB7nL4pR8sT1wY6zA3cD5eF0gHjUiOKlMNbVcXzQaSwEdRfTgYhUjIkOlP"
_SHORT = "hunter2correct"


@pytest.mark.parametrize(
    "text",
    [
        f"key {_CANARY} refused",
        f"GET /api/v3/account?timestamp=1&signature={_SHORT}",
        f"X-MBX-APIKEY: {_SHORT}",
        f"Authorization: Bearer {_SHORT}",
        f"authorization={_SHORT}",
        f"Cookie: __Host-tw={_SHORT}; other={_SHORT}",
        f"POST /api/v1/webhooks/{_SHORT}{_SHORT} 202",
        f"token tw_{_SHORT}{_SHORT} issued",
        f'{{"password": "{_SHORT}"}}',
        f'{{"password": "{_SHORT} and {_SHORT}"}}',
        f"{{'api_secret': '{_SHORT}'}}",
        f"-----BEGIN PRIVATE KEY-----\n{_SHORT}\n-----END PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{_SHORT}",
        "signature " + "Ab3+" * 22 + "==",
    ],
)
def test_redact_when_a_secret_is_in_the_text_then_it_is_masked(text: str) -> None:
    masked = redact(text)
    assert _CANARY not in masked
    assert _SHORT not in masked
    assert "Ab3+Ab3+" not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "execution.submit.unknown",
        "order 0194d3c8-7a51-7cc2-9a7e-3b1f5a0c2d11 at 67123.45 USDT",
        "/usr/lib/python3.11/site-packages/tradewind/venues/binance/client.py line 12",
        "BTCUSDT twyudrgrdctj6eouohibzwrb4dlc filled",
    ],
)
def test_redact_when_nothing_is_secret_then_the_text_stays(text: str) -> None:
    assert redact(text) == text


@contextmanager
def _configured() -> Iterator[None]:
    """Logs as JSON on what is standard error now; the process's own logging is put back."""
    handlers = list(logging.getLogger().handlers)
    configure(level="INFO", as_json=True)
    try:
        yield
    finally:
        configure()
        logging.getLogger().handlers[:] = handlers


def test_logger_when_secrets_are_in_fields_then_the_line_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    with _configured():
        logger("x").info(
            "web.request",
            password=_SHORT,
            headers={"Authorization": f"Bearer {_SHORT}", "cookie": _SHORT, "accept": "text/plain"},
            parts=[f"signature={_SHORT}", 7],
            raw=f"secret={_SHORT}".encode(),
            account_id="a1",
            count=3,
        )
    line = capsys.readouterr().err
    assert _SHORT not in line
    shown = json.loads(line)
    assert shown["account_id"] == "a1"
    assert shown["count"] == 3
    assert shown["headers"]["accept"] == "text/plain"


def test_logger_when_an_exception_quotes_a_secret_then_the_line_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    with _configured():
        try:
            raise ValueError(f"GET https://x/?signature={_SHORT}")
        except ValueError:
            logger("x").exception("web.failed")
    line = capsys.readouterr().err
    assert "ValueError" in line
    assert _SHORT not in line


def test_formatter_when_a_library_logs_a_secret_then_the_line_has_none() -> None:
    record = logging.LogRecord("uvicorn.access", logging.INFO, "x.py", 1, "GET %s", (f"/webhooks/{_CANARY}",), None)
    assert RedactingFormatter("%(message)s").format(record) == "GET /webhooks/***"


def test_logger_when_nothing_was_configured_then_local_values_are_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    local_value = _CANARY[:30]
    try:
        raise ValueError("without the value")
    except ValueError:
        logger("x").exception("web.failed", length=len(local_value))
    printed = capsys.readouterr()
    assert "ValueError: without the value" in printed.err
    assert local_value not in printed.err + printed.out
    assert printed.out == ""

"""`tradewind signals preview`: asks the running platform what a signal would do; nothing is stored or sent."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from tradewind.cli.start import settings_of
from tradewind.cli.tables import print_table
from tradewind.core.errors import Conflict, InvalidInput, Unavailable

# An API token of whoever asks; `tradewind users token` issues one.
TOKEN_VARIABLE = "TW_API_TOKEN"  # noqa: S105 - the name of a variable
_TIMEOUT_S = 30.0


def preview(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The source's id.")],
    action: Annotated[str, typer.Argument(help="open or close")],
    symbol: Annotated[str, typer.Argument(help="For example BTC/USDT.")],
    stop: Annotated[str | None, typer.Option(help="A stop price, as the source would send it.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of the platform; the configured one when left out.")] = None,
) -> None:
    """Say what a signal would do now, account by account. The API token is read from TW_API_TOKEN."""
    settings = settings_of(context)
    base = url or f"http://{settings.host}:{settings.port}"
    body = {"source_id": source, "action": action, "symbol": symbol, **({"stop": stop} if stop else {})}
    answer = _ask(f"{base.rstrip('/')}/api/v1/signals/preview", body)
    print_table(
        ["account", "environment", "verdict", "size", "stop", "target", "release (UTC)", "why not"],
        [_row(each) for each in answer["accounts"]],
    )
    counts = answer["counts"]
    typer.echo(f"{counts['accounts']} accounts: {counts['placed']} would trade, {counts['skipped']} would not")


def _row(each: dict[str, Any]) -> list[str]:
    size = f"{each['spend']} {each['quote']}" if each["spend"] else each["quantity"] or ""
    shown = [each["label"], each["environment"], each["verdict"], size]
    return [*shown, each["stop"] or "", each["target"] or "", each["release_at"] or "", each["reason_text"] or ""]


def _ask(address: str, body: dict[str, str]) -> dict[str, Any]:
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise InvalidInput(
            "token_missing", f"Put an API token into {TOKEN_VARIABLE}: `tradewind users token` makes one."
        )
    if not address.startswith(("http://", "https://")):
        raise InvalidInput("address_unclear", f"{address} is no web address.")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - checked above
            found: dict[str, Any] = json.load(reply)
            return found
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        raise Conflict(problem.get("code", "refused"), problem.get("detail", str(refused))) from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise Unavailable(
            "platform_away", f"No platform answers at {address}: {error}. Start it: tradewind serve"
        ) from None

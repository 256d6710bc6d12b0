"""`tradewind recovery`: what comparing the accounts with their venues has found; the platform need not run."""

from __future__ import annotations

from typing import Annotated

import typer

from tradewind.cli.start import ready_db, settings_of
from tradewind.cli.tables import print_table
from tradewind.core.errors import NotFound
from tradewind.core.ids import AccountId
from tradewind.execution import service


def recovery(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(help="Only this account (its id), with every difference.")] = None,
    limit: Annotated[int, typer.Option(help="Reports to show, newest first.", min=1, max=1_000)] = 30,
) -> None:
    """Show the recovery reports: orders, fills and positions compared, differences, what was done."""
    with ready_db(settings_of(context)) as db:
        ids = None if account is None else [AccountId(account)]
        reports = db.read_now(lambda tx: service.recovery_reports(tx, ids, limit))
    if account is not None and not reports:
        raise NotFound(
            "no_reports",
            f"There is no recovery report of an account {account}. `tradewind recovery` shows whose there are.",
        )
    print_table(
        ["started (UTC)", "account", "why", "in order", "orders", "fills", "positions", "differ", "not ours"],
        [
            [
                f"{each.started_at:%Y-%m-%d %H:%M:%S}",
                each.account_id,
                each.cause,
                f"after {each.took_s:.1f} s" if each.took_s is not None else f"waits for {each.waits_for or 'a look'}",
                *map(str, (each.orders, each.fills, each.positions, each.differences, each.not_ours)),
            ]
            for each in reports
        ],
    )
    if account is not None:
        rows = [
            [difference["kind"], difference["symbol"], difference["ours"], difference["venue"], difference["done"]]
            for each in reports
            for difference in each.detail
        ]
        if rows:
            print_table(["difference", "market", "ours", "venue", "done"], rows)
    waiting = sum(1 for each in reports if each.took_s is None)
    typer.echo(f"{len(reports)} reports, {waiting} of them of accounts whose entries wait")

"""`tradewind demo`: one alert, 25 people, a simulated exchange on recorded prices, and a check at its end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from tradewind.core.errors import InvalidInput
from tradewind.demo.play import Options, run
from tradewind.sim.tape_files import WHOLE, packaged_tapes


def demo(
    seed: Annotated[int, typer.Option(help="Who takes part and which stretch of the tape is played.", min=0)] = 1,
    tape: Annotated[str, typer.Option(help=f"Packaged tape ({', '.join(packaged_tapes())}) or a candle file.")] = WHOLE,
    speed: Annotated[
        Decimal | None, typer.Option(help="Tape seconds per real second; 8 when not given.", parser=Decimal)
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep it running with the API on 127.0.0.1:8000 until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on the last line; everything else goes to stderr.")
    ] = False,
    database: Annotated[
        str,
        typer.Option(help="sqlite, postgresql (a server of its own), or an empty database's address."),
    ] = "sqlite",
    keep: Annotated[Path | None, typer.Option(help="Keep database, logs and journal in this new folder.")] = None,
    capture: Annotated[Path | None, typer.Option(help="Write the closing picture to this .svg or .txt file.")] = None,
) -> None:
    """Show everything: alert in, orders out, failures found out, stops and targets hit; then check it all.

    Exit code 0 only if the simulator's log and the journal agree.
    """
    if speed is not None and not Decimal("0.1") <= speed <= 100:
        raise InvalidInput("speed_out_of_bounds", "The speed must lie between 0.1 and 100.")
    options = Options(
        seed=seed,
        tape=tape,
        speed=speed,
        serves=serve,
        as_json=as_json,
        keep=keep,
        capture=capture,
        database=database,
    )
    code = run(options)
    raise typer.Exit(code)

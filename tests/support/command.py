"""Running the command line in a test: a private folder, no settings of this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.support.database import address
from typer.testing import CliRunner, Result

from tradewind.cli import app
from tradewind.core.errors import TradewindError


@dataclass(frozen=True)
class Command:
    """`tradewind` with its data in one folder."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "data" / "tradewind.db"

    @property
    def url(self) -> str:
        """The address of its database: that file, or one at the server the test runs on."""
        return address(self.database)

    @property
    def kek(self) -> Path:
        return self.folder / "keys" / "kek"

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command; an error for users is turned into its text, as `main` does."""
        environ = {
            "TRADEWIND_DATA_DIR": str(self.folder / "data"),
            "TRADEWIND_KEK_FILE": str(self.kek),
            "TRADEWIND_DATABASE": self.url,
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.environ,
        }
        return CliRunner(env=environ).invoke(app, list(arguments), input=stdin)

    def out(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed; return what it wrote to standard output."""
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, f"{result.output}{result.exception!r}"
        return result.stdout

    def refused(self, *arguments: str, stdin: str | None = None) -> TradewindError:
        """Run a command that must be refused with a message for people."""
        result = self.run(*arguments, stdin=stdin)
        assert isinstance(result.exception, TradewindError), f"{result.output}{result.exception!r}"
        return result.exception

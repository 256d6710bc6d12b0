"""Where the demo is shown: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live

from tradewind.core.errors import InvalidInput
from tradewind.demo.stage import Stage
from tradewind.demo.view import log_texts, picture

# Fast enough to see orders move, slow enough not to flicker over a remote line.
_FRAMES_A_SECOND = 6
PLAIN_WIDTH = 132
# A terminal window without the fonts that rich fetches from elsewhere: the reader's own monospace will do.
_SVG = """<svg class="rich-terminal" viewBox="0 0 {terminal_width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Screen:
    """A context that shows a stage; `paint` whenever something may have changed."""

    def __init__(self, stage: Stage, *, to_stderr: bool) -> None:
        stream = sys.stderr if to_stderr else sys.stdout
        with suppress(AttributeError, ValueError):
            # An old terminal shows a question mark rather than a traceback.
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        self._stage = stage
        # A pipe has no width; tables are written in full there.
        width = None if stream.isatty() else PLAIN_WIDTH
        self.console = Console(stderr=to_stderr, highlight=False, width=width)
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def __enter__(self) -> Self:
        if self.is_live:
            self._live = Live(
                get_renderable=self._picture,
                console=self.console,
                refresh_per_second=_FRAMES_A_SECOND,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        was_live = self._live is not None
        self.close()
        if was_live and error is not None:
            # The picture is gone; what had happened until then is not.
            for text in log_texts(self._stage):
                self.console.print(text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the live picture away (idempotent)."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def paint(self) -> None:
        """Show what is new; the live picture paints itself."""
        lines = self._stage.take_fresh()
        if self._live is None:
            for line in lines:
                self.console.print(line, soft_wrap=True, markup=False)

    def _picture(self) -> RenderableType:
        size = self.console.size
        return picture(self._stage, size.width, size.height)


def save_capture(parts: list[RenderableType], file: Path) -> None:
    """Write a picture to an .svg or .txt file. Raises InvalidInput for another ending or an unwritable place."""
    console = Console(
        record=True,
        width=PLAIN_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        highlight=False,
        color_system="truecolor",
    )
    for part in parts:
        console.print(part)
    try:
        if file.suffix == ".svg":
            console.save_svg(str(file), title="tradewind demo", code_format=_SVG)
        else:
            console.save_text(str(file))
    except OSError as error:
        raise InvalidInput("capture_not_written", f"{file} cannot be written: {error.strerror}.") from None


def demand_capturable(file: Path | None) -> None:
    """Raise InvalidInput at once for a capture that could not be written at the end."""
    if file is None:
        return
    if file.suffix not in (".svg", ".txt"):
        raise InvalidInput("capture_kind", "The capture must be an .svg or a .txt file.")
    if not file.absolute().parent.is_dir():
        raise InvalidInput("capture_folder", f"The folder {file.absolute().parent} does not exist.")

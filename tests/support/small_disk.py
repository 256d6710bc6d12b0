"""A real file system of a few megabytes, for what happens when a disk is full."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """The folder it is mounted at."""

    place: Path

    @property
    def ballast(self) -> Path:
        return self.place / "ballast"

    def fill(self) -> None:
        """Use up all the room that is left."""
        with contextlib.suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            # Down to the last byte: a large write that does not fit is cut, a small one is refused.
            while file.write(b"x" * 65_536):
                pass

    def free(self) -> None:
        """Give everything back that `fill` took."""
        self.ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a file system of `size` (such as 1m) in a folder; skips the test where that is not allowed."""
    place = folder / "small"
    place.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not allowed here; the flow test covers the refusal itself")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["/bin/umount", "-l", str(place)], check=True)

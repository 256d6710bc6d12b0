"""Room kept on the disk for exits: a file beside an SQLite database, given back when the disk is full.

Nothing is sent without a record, so a full disk holds up exits too. The reserve is what is left for them: the write
that is refused gives it back and is done again, entries and new alerts to open are refused from then on, and when
the disk has room again the file is made anew (reliability.md section 3, fault 67; ADR 0021). At a server the disk
is the server's own business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tradewind.core.errors import Unavailable
from tradewind.infra.clock import Clock
from tradewind.infra.db_place import parsed_address
from tradewind.infra.log import logger

_log = logger("infra.db.reserve")

_LOOK_EVERY_S = 5.0
# Whoever is turned away may ask again after about this long: somebody has to make room first.
_ROOM_AFTER_S = 30
# It is made where the disk has this many times as much, so that making it does not fill the disk.
_ROOM_FACTOR = 2


class DiskShort(Unavailable):
    """The disk is full, and what room is left is for what ends positions."""

    def __init__(self) -> None:
        super().__init__(
            "disk_full",
            "The platform's disk is full; the room that is left is kept for closing positions. Nothing was opened. "
            "It goes on by itself when there is room again.",
            retry_after_s=_ROOM_AFTER_S,
        )


@dataclass(slots=True)
class Reserve:
    """The file; any thread may use it."""

    path: Path
    size_bytes: int
    _is_lacking: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_lacking(self) -> bool:
        """Whether it was given back, or never found room: only what ends positions should be written."""
        return self._is_lacking

    def keep(self) -> bool:
        """Make the file whole where the disk has the room; say whether it is."""
        with self._lock:
            was_lacking, self._is_lacking = self._is_lacking, not (self._is_whole() or self._was_made())
            if was_lacking is not self._is_lacking:
                _log.warning(
                    "infra.db.reserve.kept" if was_lacking else "infra.db.reserve.no_room", file=str(self.path)
                )
            return not self._is_lacking

    def give(self) -> bool:
        """Give the room back to the disk; False where there is none left to give."""
        with self._lock:
            self._is_lacking = True
            try:
                self.path.unlink()
            except OSError:
                return False
            _log.error("infra.db.reserve.given", bytes=self.size_bytes, reason="the disk is full")
            return True

    def _is_whole(self) -> bool:
        try:
            found = self.path.stat()
        except OSError:
            return False
        # A sparse file would hold no room at all.
        return found.st_size >= self.size_bytes and found.st_blocks * 512 >= self.size_bytes

    def _was_made(self) -> bool:
        try:
            disk = os.statvfs(self.path.parent)
            if disk.f_bavail * disk.f_frsize < _ROOM_FACTOR * self.size_bytes:
                return False
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size_bytes)
            finally:
                os.close(handle)
        except OSError:
            with contextlib.suppress(OSError):
                self.path.unlink()
            return False
        return True


def reserve_of(url: str, size_mb: int) -> Reserve | None:
    """Return the reserve of a database; None at a server, and where none is wanted."""
    parsed = parsed_address(url)
    if parsed.get_backend_name() != "sqlite" or size_mb == 0:
        return None
    file = Path(parsed.database or "")
    return Reserve(file.with_name(file.name + ".reserve"), size_mb * 1_000_000)


async def keep_reserve(reserve: Reserve | None, clock: Clock) -> None:
    """Make it anew whenever there is room, until cancelled."""
    while reserve is not None:
        await clock.sleep(_LOOK_EVERY_S)
        if reserve.is_lacking:
            await asyncio.to_thread(reserve.keep)

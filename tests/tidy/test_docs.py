"""The documents agree with the code and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tests.support.source_tree import ROOT, project_files

from tradewind.core.order import OrderState
from tradewind.core.plan import PlanName
from tradewind.core.protection import PositionState

_PAGES = [name for name in project_files() if name.endswith(".md")]
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
_RULE = re.compile(r"[-_.]+")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("page", _PAGES)
def test_link_in_a_page_when_followed_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert [link for link in _LINK.findall(read(page)) if not (folder / link).exists()] == []


def test_direct_dependency_when_declared_has_a_line_with_its_locked_version() -> None:
    declared = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = list(declared["dependencies"])
    for extra in declared["optional-dependencies"].values():
        wanted += extra
    names = {_RULE.sub("-", re.split(r"[<>=!~;\s\[]", line)[0]).lower() for line in wanted}
    page = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([0-9][^ ]*) \|", read("docs/dependencies.md"), re.MULTILINE))
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", read("requirements/dev.lock"), re.MULTILINE))
    assert page == {name: locked[name] for name in names}


def test_lock_files_when_compared_hold_the_same_versions() -> None:
    pins = {
        name: dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", read(f"requirements/{name}.lock"), re.MULTILINE))
        for name in ("dev", "base", "build")
    }
    for name in ("base", "build"):
        assert {package: pins["dev"].get(package) for package in pins[name]} == pins[name]


def test_lock_files_when_read_have_a_hash_for_every_package() -> None:
    for name in ("dev", "base", "build"):
        entries = re.split(r"\n(?=[a-z0-9])", read(f"requirements/{name}.lock"))
        assert [entry.split()[0] for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


def test_decision_page_when_written_is_listed_and_complete() -> None:
    pages = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    listed = re.findall(r"\((0\d{3}-[a-z0-9-]+\.md)\)", read("docs/adr/README.md"))
    assert sorted(listed) == pages
    for page in pages:
        text = read(f"docs/adr/{page}")
        assert re.match(rf"# {page[:4]} ", text), page
        assert [
            word for word in ("Status:", "**Decision.**", "**Why", "**Cost.**", "**Think again") if word not in text
        ] == []


@pytest.mark.parametrize("states", [OrderState, PositionState, PlanName])
def test_state_when_in_the_code_is_in_the_glossary(states: type[OrderState]) -> None:
    assert [state.name for state in states if not re.search(rf"\b{state.name}\b", read("docs/glossary.md"))] == []


def test_glossary_row_when_written_has_korean_beside_the_word() -> None:
    rows = re.findall(r"^\| (?!word|state|verb|---)([^|]+) \| ([^|]+) \| ", read("docs/glossary.md"), re.MULTILINE)
    assert len(rows) > 50
    assert [word for word, korean in rows if not re.search("[가-힣]", korean)] == []


def test_room_when_in_the_code_is_in_the_architecture_and_in_the_contract() -> None:
    rooms = {path.parts[2] for name in project_files() if (path := Path(name)).match("src/tradewind/*/*.py")}
    page, contract = read("docs/architecture.md"), read(".importlinter")
    assert sorted(room for room in rooms if f"| `{room}` |" not in page) == []
    assert sorted(room for room in rooms if not re.search(rf"^[ |()a-z]*\b{room}\b", contract, re.MULTILINE)) == []


def test_command_when_built_is_in_the_changelog_and_the_architecture() -> None:
    verbs = [path.stem for path in (ROOT / "src/tradewind/cli").glob("*.py") if f"{path.stem}." in _entry_point()]
    assert {"serve", "doctor", "db"} <= set(verbs)
    for page in ("CHANGELOG.md", "docs/architecture.md"):
        assert [verb for verb in verbs if verb not in read(page)] == []


def _entry_point() -> str:
    return read("src/tradewind/cli/__init__.py")

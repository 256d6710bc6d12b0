"""The folder of recorded market data and payloads that tests may use where it is present."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# TRADEWIND_SHARED_DATA names the folder; else it is looked for beside the project.
_PLACES = (_ROOT / "shared" / "data", _ROOT.parent / "shared" / "data")


def shared_folder() -> Path | None:
    """Return the folder, or None where it is absent."""
    named = os.environ.get("TRADEWIND_SHARED_DATA")
    places = (Path(named),) if named else _PLACES
    return next((place for place in places if place.is_dir()), None)


def shared_data(name: str) -> Path:
    """Return the path of a shared file; skips the test with a clear message where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("no shared data folder; set TRADEWIND_SHARED_DATA to run this test")
    path = folder / name
    if not path.exists():
        pytest.skip(f"the shared data folder has no {name}")
    return path


def shared_json(name: str) -> Any:
    """Load a shared JSON file; skips as `shared_data`."""
    return json.loads(shared_data(name).read_text(encoding="utf-8"))


def shared_cases(name: str) -> list[dict[str, Any]]:
    """Load the cases of a payload file; skips as `shared_data`."""
    cases = shared_json(name)["cases"]
    assert isinstance(cases, list)
    return cases

"""A database file that cannot be read is not traded on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradewind.cli.serve import prepare
from tradewind.config import Settings
from tradewind.core.errors import Unavailable

_PAGE = 4_096


def test_fault_69_database_when_bits_have_flipped_then_nothing_is_started(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", kek_file=tmp_path / "keys" / "kek")
    prepare(settings)
    file = tmp_path / "data" / "tradewind.db"
    pages = file.stat().st_size // _PAGE
    with file.open("r+b") as raw:
        for page in range(pages // 2, pages // 2 + 3):
            raw.seek(page * _PAGE)
            raw.write(bytes(byte ^ 0xFF for byte in range(64)))
    with pytest.raises(Unavailable) as refused:
        prepare(settings)
    assert refused.value.code == "database_damaged"
    assert "Restore a backup" in refused.value.message

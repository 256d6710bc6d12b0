"""Write tradewind.example.toml from the settings in the code (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from tradewind.config import example_toml

if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "tradewind.example.toml").write_text(example_toml(), "utf-8")

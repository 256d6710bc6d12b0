"""What operators do not see of other people: fields that identify a person or a key (product.md P4, P6).

Money, states and reasons stay readable, because an operator has to help; who it is, is looked up elsewhere
and audited there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "•••"
_PERSONAL = frozenset(
    {"email", "phone", "user_name", "label", "api_key", "api_key_masked", "venue_user_id", "ip", "address", "chat_id"}
)


def masked(data: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an event's data with every personal field covered, at any depth."""
    return {key: MASK if key in _PERSONAL and value is not None else _inside(value) for key, value in data.items()}


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return masked(value)
    if isinstance(value, list | tuple):
        return [_inside(item) for item in value]
    return value

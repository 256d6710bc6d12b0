"""How this room says no: what is wrong, what to send instead, and that nothing was kept."""

from tradewind.core.errors import InvalidInput


def refused(code: str, message: str) -> InvalidInput:
    """Build the refusal of an alert; its text is for the person who wrote the alert."""
    return InvalidInput(code, f"{message} Nothing was stored.")

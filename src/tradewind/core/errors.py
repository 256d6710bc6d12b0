"""What can go wrong in words a user can act on.

    TradewindError(code, kind, message)
    |- InvalidInput       the request cannot be understood or is out of bounds
    |- Unauthenticated    we do not know who is asking
    |- Forbidden          known, and not allowed
    |- NotFound           not there, or not yours: the same answer
    |- Conflict           true for another request: repeated id with other content, illegal step
    |- TooLarge           more than we read
    |- TooMany            a limit of ours; say when to come back
    |- Unavailable        passing: venue or database away
    |- NotBuilt           promised, not there yet (501)

`code` is stable and for programs, `message` says what happened, why and what to do. Errors never carry
secrets: whoever raises one writes the message himself and quotes only what the user typed in clear.
Expected refusals inside the engine are values (Skip, Denied), not exceptions.
"""

from collections.abc import Mapping
from enum import StrEnum


class ErrorKind(StrEnum):
    """The class of an error; web/problem.py alone turns it into an HTTP status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"
    NOT_BUILT = "not_built"


class TradewindError(Exception):
    """Base of every error that may reach a user."""

    kind: ErrorKind = ErrorKind.INVALID

    def __init__(
        self, code: str, message: str, *, fields: Mapping[str, str] | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields: Mapping[str, str] = dict(fields or {})
        self.retry_after_s = retry_after_s


class InvalidInput(TradewindError):
    """The input cannot be understood or is out of bounds."""


class Unauthenticated(TradewindError):
    """Nobody we know is asking."""

    kind = ErrorKind.UNAUTHENTICATED


class Forbidden(TradewindError):
    """Known, and not allowed."""

    kind = ErrorKind.FORBIDDEN


class NotFound(TradewindError):
    """Not there, or not yours."""

    kind = ErrorKind.NOT_FOUND


class Conflict(TradewindError):
    """The request contradicts what is already recorded."""

    kind = ErrorKind.CONFLICT


class TooLarge(TradewindError):
    """More bytes than we read."""

    kind = ErrorKind.TOO_LARGE


class TooMany(TradewindError):
    """A limit of ours was reached."""

    kind = ErrorKind.TOO_MANY


class Unavailable(TradewindError):
    """Away for now; the same request may work later."""

    kind = ErrorKind.UNAVAILABLE


class NotBuilt(TradewindError):
    """Named in the plan, not built yet."""

    kind = ErrorKind.NOT_BUILT


class IllegalTransition(TradewindError):
    """A step of ours that the table of order states does not have; nothing was changed."""

    kind = ErrorKind.CONFLICT

"""How a call to a venue can end badly, told apart by what is KNOWN of the order.

VenueError(code, message)            `signed_at_ms`: the timestamp in the request, where one was signed
|- OrderRefused       positive evidence: the venue refused it (allow-list of codes)
|- NotSent            proof that no byte of the request was written: connect, proxy, TLS, latch, late
|- NotExecuted        an answer that proves the venue did not take it (its own allow-list); `retry_at_ms`
|- CredentialRefused  key, permission or IP list refused; the order was not executed
|- RateLimited        our budget or the venue's limit; for reads. `retry_at_ms` is venue time
|- VenueDown          reads only: unreachable, 5xx, breaker open
|- SymbolUnknown      the venue does not list it
|- OutcomeUnknown     everything else, and the default for anything unforeseen
"""


class VenueError(Exception):
    """Base of everything a venue call raises; its text never holds a key, signature or URL query."""

    def __init__(
        self, code: str, message: str, *, signed_at_ms: int | None = None, retry_at_ms: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.signed_at_ms = signed_at_ms
        self.retry_at_ms = retry_at_ms


class OrderRefused(VenueError):
    """The venue said no, in words from its allow-list."""


class NotSent(VenueError):
    """No byte of the request was written."""


class NotExecuted(VenueError):
    """The answer proves that the venue did not take the order."""


class CredentialRefused(VenueError):
    """Key, permission or IP list refused."""


class RateLimited(VenueError):
    """A budget is used up; nothing before `retry_at_ms`."""


class VenueDown(VenueError):
    """A read could not be answered."""


class SymbolUnknown(VenueError):
    """The venue does not list the symbol."""


class OutcomeUnknown(VenueError):
    """Nobody has said what became of the order."""

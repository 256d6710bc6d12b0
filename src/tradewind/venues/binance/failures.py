"""What error answers mean for reads, for the limits of our IP address, and in words for users. Pure."""

from __future__ import annotations

from tradewind.venues.binance.codec import count_header
from tradewind.venues.binance.codes import ApiError, ban_end_ms, credential_name
from tradewind.venues.breaker import ReadRefused
from tradewind.venues.errors import CredentialRefused, RateLimited, SymbolUnknown, VenueDown, VenueError
from tradewind.venues.transport import HttpReply

# A 403 page names no end; asking again within half a minute is how a WAF block becomes a longer one.
_FORBIDDEN_MS = 30_000
# "IP bans ... scale in duration from 2 minutes to 3 days."
_BAN_MS_MIN = 120_000
BLOCK_MS_MAX = 3 * 86_400_000
BUSY_MS = 1_000
_MINUTE_MS = 60_000


class Answered(ReadRefused):
    """A read was answered with an error that asking again will not change."""

    def __init__(self, error: ApiError) -> None:
        name = f"code_{error.code}" if error.code is not None else f"http_{error.status}"
        super().__init__(name, "The venue refused to answer this question.")
        self.error = error


class ClockRefused(ReadRefused):
    """The venue refused a read for its timestamp; measured anew, it may be asked again."""


def blocked_until_ms(error: ApiError, now_ms: int, stated_s: int | None) -> int | None:
    """Until when the whole IP address must be silent; None where the answer says nothing of the kind."""
    if error.status == 403 and error.code is None:
        wait_ms = _FORBIDDEN_MS
    elif error.status == 418:
        wait_ms = _BAN_MS_MIN
    elif error.status == 429 or error.code == -1003:
        wait_ms = _MINUTE_MS - now_ms % _MINUTE_MS
    else:
        return None
    if stated_s is not None:
        wait_ms = stated_s * 1_000
    ban_ends = ban_end_ms(error)
    if ban_ends is not None:
        wait_ms = max(ban_ends - now_ms, wait_ms if stated_s is not None else 0)
    return now_ms + min(max(wait_ms, BUSY_MS), BLOCK_MS_MAX)


def read_failure(error: ApiError, retry_at_ms: int | None) -> VenueError:
    """The exception for a read that was answered with an error."""
    credential = credential_name(error)
    if credential is not None:
        return CredentialRefused(credential, credential_words(credential))
    if error.status in (418, 429) or (error.status == 403 and error.code is None):
        return RateLimited("rate_limited", "The venue told us to wait.", retry_at_ms=retry_at_ms)
    if error.code == -1121:
        return SymbolUnknown("symbol_unknown", "The venue does not list this symbol.")
    if error.code == -1021:
        return ClockRefused("code_-1021", "The venue says our timestamp is outside its window.")
    # Passing troubles of the venue; the rest of the 4xx would be answered the same again.
    if error.status >= 500 or error.code in (-1000, -1001, -1006, -1007, -1008):
        name = f"code_{error.code}" if error.code is not None else f"http_{error.status}"
        return VenueDown(name, "The venue cannot answer at the moment.")
    return Answered(error)


def credential_words(name: str) -> str:
    """What a user can do about a refused key."""
    words = {
        "bad_signature": "The venue says the signature is wrong: the secret does not belong to this API key.",
        "key_unknown": "The venue does not know this API key: it was deleted, or it belongs to another venue.",
        "key_malformed": "The venue says the API key has not the form of a key.",
        "key_refused": "The venue refused the key: wrong key, an IP list without this server, or a missing right.",
    }
    return words.get(name, "The venue refused the key.")


def is_usable(reply: HttpReply) -> bool:
    """Whether an answer shows a venue we can work with: not in trouble, and not turning us away at the door."""
    return reply.status < 500 and reply.status not in (403, 418, 429, 451)


def used_weight(reply: HttpReply) -> int | None:
    """The weight our IP has used this minute, as the venue states it."""
    return count_header(reply.headers.get("x-mbx-used-weight-1m"))

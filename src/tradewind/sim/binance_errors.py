"""The refusals Binance gives: code, message and HTTP status.

Every answer that is not a success leaves the simulator as a `VenueError`. The wire layer turns it into
`{"code": <negative int>, "msg": "<text>"}` and nothing else, because clients match on both.
Texts and codes: binance-spot-api-docs errors.md, 2026-07-21; HTTP 401 for -2014/-2015 as seen in
binance-connector-python#155.
"""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = -1000
TOO_MANY_REQUESTS = -1003
TIMEOUT = -1007
SERVER_BUSY = -1008
INVALID_MESSAGE = -1013
TOO_MANY_ORDERS = -1015
UNSUPPORTED_OPERATION = -1020
INVALID_TIMESTAMP = -1021
INVALID_SIGNATURE = -1022
ILLEGAL_CHARS = -1100
TOO_MANY_PARAMETERS = -1101
MANDATORY_PARAM = -1102
UNREAD_PARAMETERS = -1104
PARAM_EMPTY = -1105
PARAM_NOT_REQUIRED = -1106
TOO_MUCH_PRECISION = -1111
TIF_NOT_REQUIRED = -1114
INVALID_TIF = -1115
INVALID_ORDER_TYPE = -1116
INVALID_SIDE = -1117
EMPTY_NEW_CLIENT_ID = -1118
BAD_INTERVAL = -1120
BAD_SYMBOL = -1121
BAD_TIME_RANGE = -1127
OPTIONAL_PARAMS_BAD_COMBO = -1128
INVALID_PARAMETER = -1130
BAD_RECV_WINDOW = -1131
INVALID_JSON = -1135
INVALID_CANCEL_RESTRICTIONS = -1145
SYMBOL_STATUS_MISMATCH = -1220
NEW_ORDER_REJECTED = -2010
CANCEL_REJECTED = -2011
NO_SUCH_ORDER = -2013
BAD_API_KEY_FORMAT = -2014
REJECTED_KEY = -2015
CANCEL_REPLACE_PARTIAL = -2021
CANCEL_REPLACE_FAILED = -2022
SUBSCRIPTION_ACTIVE = -2035
SUBSCRIPTION_INACTIVE = -2036
AMEND_REJECTED = -2038
ID_MISMATCH = -2039

# HTTP status where it is not 400.
_STATUS: Mapping[int, int] = {
    TOO_MANY_REQUESTS: 429,
    TOO_MANY_ORDERS: 429,
    REJECTED_KEY: 401,
    BAD_API_KEY_FORMAT: 401,
    UNKNOWN: 500,
    TIMEOUT: 504,
    SERVER_BUSY: 503,
    CANCEL_REPLACE_PARTIAL: 409,
}


class VenueError(Exception):
    """A refusal as the venue words it; `status` is the HTTP status, also used as the WebSocket API's."""

    def __init__(
        self, code: int, msg: str, *, status: int | None = None, data: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status if status is not None else _STATUS.get(code, 400)
        self.data = data

    def body(self) -> dict[str, object]:
        """Give the JSON error object."""
        shape: dict[str, object] = {"code": self.code, "msg": self.msg}
        if self.data is not None:
            shape["data"] = dict(self.data)
        return shape


def missing(name: str) -> VenueError:
    """Build the -1102 of a mandatory parameter that was not sent."""
    return VenueError(MANDATORY_PARAM, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal_characters(name: str, legal: str) -> VenueError:
    """Build the -1100 that names the parameter and the legal range."""
    return VenueError(ILLEGAL_CHARS, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def not_required(name: str) -> VenueError:
    """Build the -1106 of a parameter that this order type does not take."""
    return VenueError(PARAM_NOT_REQUIRED, f"Parameter '{name}' sent when not required.")


def bad_symbol() -> VenueError:
    """Build the -1121 of an unknown symbol."""
    return VenueError(BAD_SYMBOL, "Invalid symbol.")


def no_such_order() -> VenueError:
    """Build the -2013 of a query that found nothing."""
    return VenueError(NO_SUCH_ORDER, "Order does not exist.")


def rejected_key() -> VenueError:
    """Build the -2015 that covers an unknown key, a wrong address and a missing right alike."""
    return VenueError(REJECTED_KEY, "Invalid API-key, IP, or permissions for action.")


def bad_signature() -> VenueError:
    """Build the -1022 of a signature that does not match the bytes received."""
    return VenueError(INVALID_SIGNATURE, "Signature for this request is not valid.")


def unknown_error(status: int = 500) -> VenueError:
    """Build the -1000 behind which anything may have happened."""
    return VenueError(UNKNOWN, "An unknown error occurred while processing the request.", status=status)

"""Text out of venues' answers, made fit to be kept and shown before anything reads it. Pure.

A venue's words end up in our database, logs and terminals. JSON can carry a NUL, which PostgreSQL takes in no text at
all, and control sequences, which a terminal would obey; both stand in it as escapes only (a decoder refuses them raw).
"""

from __future__ import annotations

import re

# Every escape is matched, so that the second half of an escaped backslash is not taken for one.
_ESCAPE = re.compile(rb"\\(u00(?:[01][0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])|.)", re.DOTALL)
_REPLACED = rb"\ufffd"


def without_controls(body: bytes) -> bytes:
    r"""Return a JSON text with every escaped control character replaced by U+FFFD; what has none is returned as it is.

    >>> without_controls(rb'{"msg": "a\u0000b\\u0000 \u00e9\n"}')
    b'{"msg": "a\\ufffdb\\\\u0000 \\u00e9\\n"}'
    """
    return _ESCAPE.sub(_clean, body) if b"\\u00" in body else body


def _clean(found: re.Match[bytes]) -> bytes:
    return _REPLACED if found[1].startswith(b"u") and len(found[1]) > 1 else found[0]

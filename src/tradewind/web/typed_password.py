"""A password as it comes in a body: masked, bounded, and text."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr


def _is_text(password: SecretStr) -> SecretStr:
    try:
        password.get_secret_value().encode("utf-8")
    except UnicodeEncodeError:
        # The cause would quote the password.
        raise ValueError("a password is text; this one holds half a surrogate pair") from None
    return password


TypedPassword = Annotated[SecretStr, Field(min_length=1, max_length=1_024), AfterValidator(_is_text)]

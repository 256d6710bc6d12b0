"""A secret is in no text and in no serialised form."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import msgspec
import pytest
from fastapi.encoders import jsonable_encoder

from tradewind.vault.secret import Secret, mask_public

_CANARY = "canary-4f9d1c77aa"


@dataclass(frozen=True)
class _Holder:
    name: str
    secret: Secret


def test_secret_when_written_in_any_way_then_is_masked() -> None:
    secret = Secret(_CANARY)
    holder = _Holder("x", secret)
    texts = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret:>40}",
        "%s" % secret,  # noqa: UP031 - the old way has to be safe too
        repr([secret]),
        repr({"a": secret}),
        repr(holder),
        str(asdict(holder)),
        repr(ValueError(secret)),
        repr(copy.copy(secret)),
        repr(copy.deepcopy(secret)),
    ]
    assert not [text for text in texts if _CANARY in text]


@pytest.mark.parametrize("encode", [json.dumps, pickle.dumps, msgspec.json.encode, msgspec.msgpack.encode])
def test_secret_when_serialised_then_is_refused(encode: object) -> None:
    assert callable(encode)
    with pytest.raises(TypeError) as caught:
        encode({"a": Secret(_CANARY)})
    assert _CANARY not in str(caught.value)


def test_secret_when_fastapi_would_answer_with_it_then_is_refused() -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        jsonable_encoder({"a": Secret(_CANARY)})
    assert _CANARY not in repr(caught.value)


def test_secret_when_looked_into_then_has_no_open_attribute() -> None:
    secret = Secret(_CANARY)
    with pytest.raises(TypeError):
        vars(secret)
    assert not [name for name in dir(secret) if not name.startswith("_") and name not in ("reveal", "reveal_text")]


def test_secret_when_compared_then_only_the_same_value_is_equal() -> None:
    assert Secret("a") == Secret(b"a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_secret_when_revealed_then_is_what_was_given() -> None:
    assert Secret("한글").reveal_text() == "한글"
    assert Secret(b"\x00\xff").reveal() == b"\x00\xff"


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", "vmP…h8A"),
        ("abcdefghijkl", "abc…jkl"),
        ("abcdefghijk", "***"),
        ("", "***"),
    ],
)
def test_mask_when_shown_then_has_three_characters_at_each_end(text: str, mask: str) -> None:
    assert mask_public(text) == mask

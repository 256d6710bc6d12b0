"""Signatures over raw bytes and the time window; vectors as published by the venue (V6, V7 derived)."""

import base64
import hashlib
import hmac
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tradewind.sim.binance_auth import (
    HmacSecret,
    TimeWindow,
    is_signed_by,
    read_window,
    signed_payload,
    without_signature,
    ws_payload,
)
from tradewind.sim.binance_errors import VenueError
from tradewind.sim.binance_params import Params, from_json

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = HmacSecret(b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j")
ORDER = (
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
WIDE = ORDER.replace(b"LTCBTC", b"%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96")

REST_VECTORS = {
    "V1": (ORDER, b"", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
    "V2": (WIDE, b"", "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
    "V3": (
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
        b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
    ),
    "V6": (
        b"timestamp=1499827319559&recvWindow=5000",
        b"",
        "6cd35332399b004466463b9ad65a112a14f31fb9ddfd5e19bd7298fbd491dbc7",
    ),
}
WS_VECTORS: dict[str, tuple[dict[str, object], str]] = {
    "V4": (
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01000000",
            "price": "52000.00",
            "recvWindow": 100,
            "timestamp": 1645423376532,
        },
        "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
    ),
    "V5": (
        {
            "symbol": "１２３４５６",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "1.00000000",
            "price": "0.10000000",
            "recvWindow": 5000,
            "timestamp": 1645423376532,
        },
        "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
    ),
    "V7": ({"timestamp": 1747385641636}, "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e"),
}


@pytest.mark.parametrize("name", REST_VECTORS)
def test_rest_signature_of_a_published_vector_is_accepted(name: str) -> None:
    query, body, signature = REST_VECTORS[name]
    assert is_signed_by(SECRET, signed_payload(query, body), signature)


@pytest.mark.parametrize("name", REST_VECTORS)
def test_rest_signature_with_one_byte_changed_is_refused(name: str) -> None:
    query, body, signature = REST_VECTORS[name]
    assert not is_signed_by(SECRET, signed_payload(query + b"0", body), signature)


@pytest.mark.parametrize("name", WS_VECTORS)
def test_ws_signature_of_a_published_vector_is_accepted(name: str) -> None:
    params, signature = WS_VECTORS[name]
    sent = from_json({**params, "apiKey": API_KEY, "signature": signature})
    assert is_signed_by(SECRET, ws_payload(sent), signature)


def test_hmac_signature_in_upper_case_is_accepted() -> None:
    query, body, signature = REST_VECTORS["V1"]
    assert is_signed_by(SECRET, signed_payload(query, body), signature.upper())


def test_payload_signed_before_percent_encoding_is_refused() -> None:
    raw = ORDER.replace(b"LTCBTC", "１２３４５６".encode())
    signature = hmac.new(SECRET.secret, raw, hashlib.sha256).hexdigest()
    assert not is_signed_by(SECRET, signed_payload(WIDE, b""), signature)


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (b"a=1&signature=ff", b"a=1"),
        (b"signature=ff&a=1", b"a=1"),
        (b"a=1&signature=ff&b=2", b"a=1&b=2"),
        (b"signature=ff", b""),
        (b"mysignature=ff", b"mysignature=ff"),
        (b"", b""),
    ],
)
def test_signature_pair_is_cut_out_and_every_other_byte_stays(raw: bytes, left: bytes) -> None:
    assert without_signature(raw) == left


def test_ed25519_signature_is_case_sensitive_base64() -> None:
    private = Ed25519PrivateKey.generate()
    signature = base64.b64encode(private.sign(ORDER)).decode()
    assert is_signed_by(private.public_key(), ORDER, signature)
    assert not is_signed_by(private.public_key(), ORDER, signature.swapcase())
    assert not is_signed_by(private.public_key(), ORDER, "not base64 at all")


def test_rsa_signature_is_pkcs1_with_sha256() -> None:
    private = rsa.generate_private_key(65537, 2048)
    signed = private.sign(ORDER, padding.PKCS1v15(), hashes.SHA256())
    assert is_signed_by(private.public_key(), ORDER, base64.b64encode(signed).decode())
    assert not is_signed_by(private.public_key(), ORDER + b"0", base64.b64encode(signed).decode())


NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("timestamp", "window", "code"),
    [
        (NOW, 5000, None),
        (NOW - 5000, 5000, None),
        (NOW - 5001, 5000, -1021),
        (NOW + 999, 5000, None),
        (NOW + 1000, 5000, -1021),
        (NOW - 100, 99, -1021),
    ],
)
def test_time_window_at_its_edges(timestamp: int, window: int, code: int | None) -> None:
    frame = TimeWindow(Decimal(timestamp), Decimal(window))
    if code is None:
        frame.check(NOW)
        return
    with pytest.raises(VenueError) as refused:
        frame.check(NOW)
    assert refused.value.code == code


def test_timestamp_in_microseconds_means_the_same_moment() -> None:
    assert read_window(Params(timestamp=str(NOW * 1000 + 500)), NOW).timestamp_ms == NOW + Decimal("0.5")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -1102),
        ({"timestamp": "soon"}, -1100),
        ({"timestamp": "1000"}, -1130),
        ({"timestamp": str(NOW + 10_001)}, -1130),
        ({"timestamp": str(NOW), "recvWindow": "60001"}, -1131),
        ({"timestamp": str(NOW), "recvWindow": "6000.3461"}, -1100),
    ],
)
def test_malformed_window_is_refused_with_its_code(params: dict[str, str], code: int) -> None:
    with pytest.raises(VenueError) as refused:
        read_window(Params(params), NOW)
    assert refused.value.code == code


def test_receive_window_takes_three_decimals() -> None:
    assert read_window(Params(timestamp=str(NOW), recvWindow="6000.346"), NOW).recv_window_ms == Decimal("6000.346")


def test_secret_is_not_shown_in_its_repr() -> None:
    assert "Nhq" not in repr(SECRET)

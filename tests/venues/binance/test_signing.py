"""The venue's published vectors (and two derived ones) for its three kinds of signature."""

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tradewind.venues.base import SignPurpose
from tradewind.venues.binance.codec import query_of, signed, timed
from tradewind.venues.binance.signing import (
    PATHS,
    SignatureKind,
    kind_of,
    load_private_key,
    sign,
    sign_ed25519,
    sign_hmac,
    sign_rsa,
    ws_payload,
)

API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

LIMIT_LTC = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
LIMIT_WIDE = LIMIT_LTC.replace("LTCBTC", "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96")
MIXED = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC" + "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (LIMIT_LTC, "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (LIMIT_WIDE, "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
        (MIXED, "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"),
        ("timestamp=1499827319559&recvWindow=5000", "6cd35332399b004466463b9ad65a112a14f31fb9ddfd5e19bd7298fbd491dbc7"),
    ],
    ids=["V1", "V2", "V3", "V6"],
)
def test_sign_hmac_when_rest_vector_then_signature_of_the_venue(payload: str, signature: str) -> None:
    assert sign_hmac(SECRET, payload.encode("ascii")) == signature
    assert sign(SECRET, payload.encode("ascii")) == signature


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        (
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "0.01000000",
                "price": "52000.00",
                "recvWindow": 100,
                "timestamp": 1645423376532,
                "apiKey": API_KEY,
            },
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            {
                "symbol": "１２３４５６",
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "quantity": "1.00000000",
                "price": "0.10000000",
                "recvWindow": 5000,
                "timestamp": 1645423376532,
                "apiKey": API_KEY,
                "signature": "not part of what is signed",
            },
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
        (
            {"timestamp": 1747385641636, "apiKey": API_KEY},
            "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e",
        ),
    ],
    ids=["V4", "V5", "V7"],
)
def test_ws_payload_when_websocket_vector_then_signature_of_the_venue(
    params: dict[str, str | int], signature: str
) -> None:
    assert sign_hmac(SECRET, ws_payload(params)) == signature


def test_query_when_symbol_is_not_ascii_then_signed_as_the_venue_signs_it() -> None:
    query = query_of(
        [
            ("symbol", "１２３４５６"),
            ("side", "BUY"),
            ("type", "LIMIT"),
            ("timeInForce", "GTC"),
            ("quantity", "1"),
            ("price", "0.1"),
        ]
    )
    assert timed(query, 1499827319559, 5000) == LIMIT_WIDE


def test_query_when_signed_before_encoding_then_signature_differs() -> None:
    raw = LIMIT_LTC.replace("LTCBTC", "１２３４５６").encode("utf-8")
    assert sign_hmac(SECRET, raw) != "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"


def pem_of(key: Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_sign_ed25519_when_verified_with_the_public_key_then_holds() -> None:
    key = Ed25519PrivateKey.generate()
    signature = sign_ed25519(key, b"timestamp=1")
    assert len(signature) == 88
    key.public_key().verify(base64.b64decode(signature), b"timestamp=1")
    assert sign(pem_of(key), b"timestamp=1") == signature


def test_sign_rsa_when_verified_with_the_public_key_then_holds() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature = sign_rsa(key, b"timestamp=1")
    key.public_key().verify(base64.b64decode(signature), b"timestamp=1", padding.PKCS1v15(), hashes.SHA256())
    assert sign(pem_of(key), b"timestamp=1") == signature


def test_kind_of_when_given_each_kind_then_tells_them_apart() -> None:
    assert kind_of(SECRET) is SignatureKind.HMAC
    assert kind_of(pem_of(Ed25519PrivateKey.generate())) is SignatureKind.ED25519
    assert kind_of(pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))) is SignatureKind.RSA


def test_load_private_key_when_line_breaks_were_pasted_as_text_then_reads_it() -> None:
    pem = pem_of(Ed25519PrivateKey.generate())
    assert isinstance(load_private_key(pem.replace(b"\n", b"\\n")), Ed25519PrivateKey)


@pytest.mark.parametrize(
    "secret",
    [
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        b"-----BEGIN PRIVATE KEY-----\nabcSECRETabc\n-----END PRIVATE KEY-----\n",
    ],
    ids=["another curve", "broken"],
)
def test_kind_of_when_key_is_none_of_the_venue_then_value_error_without_the_key(secret: bytes) -> None:
    with pytest.raises(ValueError, match="private key") as caught:
        kind_of(secret)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_signed_when_signature_is_base64_then_it_is_percent_encoded() -> None:
    assert signed("timestamp=1", "a+b/c==") == "timestamp=1&signature=a%2Bb%2Fc%3D%3D"


def test_paths_when_read_then_no_purpose_shares_a_path_and_nothing_moves_money() -> None:
    pairs = [pair for paths in PATHS.values() for pair in paths]
    assert len(pairs) == len(set(pairs))
    assert set(PATHS) == set(SignPurpose)
    assert not any("withdraw" in path or "transfer" in path.lower() for _, path in pairs)

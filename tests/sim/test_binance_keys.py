"""API keys: issue, rights, addresses, and what survives a restart."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tradewind.sim.binance_auth import HmacSecret, is_signed_by
from tradewind.sim.keys import KeyKind, KeyRing, Permissions, looks_like_key

NOW = 1_795_000_000_000


def test_hmac_key_and_secret_have_64_letters_and_digits() -> None:
    issued = KeyRing(None).issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW)
    assert looks_like_key(issued.key.api_key)
    assert looks_like_key(issued.secret)
    assert issued.key.verifier == HmacSecret(issued.secret.encode())


def test_ed25519_key_pair_made_here_signs() -> None:
    issued = KeyRing(None).issue(7, KeyKind.ED25519, Permissions(), created_ms=NOW)
    private = serialization.load_pem_private_key(issued.secret.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    assert is_signed_by(issued.key.verifier, b"x", base64.b64encode(private.sign(b"x")).decode())


def test_key_of_another_kind_than_its_public_key_is_refused() -> None:
    public = Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    ring = KeyRing(None)
    assert ring.issue(7, KeyKind.ED25519, Permissions(), created_ms=NOW, public_key_pem=pem).secret == ""
    with pytest.raises(ValueError, match="not a public key of kind rsa"):
        ring.issue(7, KeyKind.RSA, Permissions(), created_ms=NOW, public_key_pem=pem)


def test_withdrawal_right_needs_an_address_list() -> None:
    with pytest.raises(ValueError, match="IP list"):
        KeyRing(None).issue(7, KeyKind.HMAC, Permissions(withdraw=True), created_ms=NOW)


@pytest.mark.parametrize(
    ("ip_list", "caller", "allowed"),
    [
        ((), "203.0.113.9", True),
        (("203.0.113.9",), "203.0.113.9", True),
        (("203.0.113.9",), "203.0.113.10", False),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("203.0.113.9",), "nonsense", False),
    ],
)
def test_address_list_decides_who_may_call(ip_list: tuple[str, ...], caller: str, allowed: bool) -> None:
    issued = KeyRing(None).issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW, ip_list=ip_list)
    assert issued.key.allows_address(caller) is allowed


def test_keys_survive_a_restart_with_their_changes(tmp_path: Path) -> None:
    path = tmp_path / "venue.keys"
    ring = KeyRing(path)
    kept = ring.issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW, ip_list=("127.0.0.1",), expires_ms=NOW + 5)
    gone = ring.issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW)
    changed = ring.change(kept.key.api_key, Permissions(trading=False))
    ring.revoke(gone.key.api_key)
    ring.close()

    again = KeyRing(path)
    assert again.find(kept.key.api_key) == changed
    assert again.find(gone.key.api_key) is None
    assert [key.api_key for key in again.of_uid(7)] == [kept.key.api_key]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again.close()


def test_secret_is_shown_in_no_repr() -> None:
    issued = KeyRing(None).issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW)
    assert issued.secret not in repr(issued)


def test_trading_right_lapses_at_its_time() -> None:
    key = KeyRing(None).issue(7, KeyKind.HMAC, Permissions(), created_ms=NOW, expires_ms=NOW + 1000).key
    assert not key.has_lapsed(NOW + 999)
    assert key.has_lapsed(NOW + 1000)

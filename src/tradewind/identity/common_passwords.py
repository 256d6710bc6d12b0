"""Passwords that are tried first: what twelve characters look like when nobody wants to choose any.

Leaked lists are mostly shorter than the twelve characters asked for here, so a list of the usual is small;
what remains is mostly construction (a common stem filled up, one pattern repeated, a walk over the keys),
and that is recognised by construction.
"""

from __future__ import annotations

import re

# Stems that are common by themselves or with digits and marks around them, 2024-2026 lists, Korean ones too.
_WORDS = """
    password passw0rd p4ssword p4ssw0rd passwort contrasena motdepasse wachtwoord senha parola haslo qwerty
    qwertyuiop qwertz azerty asdfgh asdfghjkl zxcvbn zxcvbnm qazwsx qazwsxedc 1q2w3e4r 1q2w3e4r5t 1qaz2wsx
    1qaz2wsx3edc zaq12wsx qweasd qweasdzxc q1w2e3r4 q1w2e3r4t5 qwer asdf zxcv letmein letmeinnow welcome welcomehome
    iloveyou iloveyousomuch loveyou sunshine princess princesses football baseball basketball superman batman
    spiderman starwars pokemon dragon monkey shadow master michael jennifer jessica ashley daniel jordan charlie
    thomas andrew joshua matthew anthony nicole hello helloworld whatever trustno1 freedom secret topsecret mysecret
    changeme changemenow default admin administrator root superuser guest test testtest tester testing temp
    temporary login access computer internet samsung google facebook youtube twitter apple microsoft windows linux
    liverpool chelsea arsenal barcelona manchester madrid juventus corinthians flamengo abc abcd abcde abcdef
    abcdefg abcdefgh abc123 a1b2c3 a1b2c3d4 aa123456 aaa111 correcthorsebatterystaple correcthorse batterystaple
    opensesame sesame summer winter spring autumn january february march april june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday tradewind trading trader bitcoin
    ethereum crypto cryptocurrency binance upbit bybit coinbase kraken satoshi satoshinakamoto blockchain tothemoon
    hodl lambo moon wallet exchange tradingview korea seoul dkssudgktpdy tkfkdgo tkfkd dkssud qlalfqjsgh qhdks
    gkrtod wjdqh
"""
_STEMS = frozenset(_WORDS.split())
_FILLING = re.compile(r"[\W\d_]+")
_ENDS = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_WALKS = (
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
)
_LOOKALIKES = str.maketrans("0134578@$!", "oieastbasi")


def is_common(password: str, *personal: str) -> bool:
    """Say whether a password is among the first that would be tried.

    `personal`: words about this person (e-mail name, display name) that count as common too.
    """
    text = password.casefold()
    if _is_repetition(text) or _is_walk(text):
        return True
    own = {part for word in personal for part in re.split(r"[\W_]+", word.casefold()) if len(part) >= 4}
    # The filling goes first: in P@ssw0rd1234 only the digit inside stands for a letter.
    inside = _ENDS.sub("", text).translate(_LOOKALIKES)
    return _is_only(text, _STEMS | own) or _is_only(inside, _STEMS | own)


def _is_repetition(text: str) -> bool:
    """One pattern over and over: aaaaaaaaaaaa, abcabcabcabc, 121212121212."""
    return len(set(text)) < 5 or any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)] for size in range(1, len(text) // 2 + 1)
    )


def _is_walk(text: str) -> bool:
    """A way over the keyboard or the alphabet, forth or back, perhaps twice."""
    for walk in _WALKS:
        for path in (walk * 3, walk[::-1] * 3):
            if text in path or (
                len(text) % 2 == 0 and text[: len(text) // 2] in path and text[len(text) // 2 :] in path
            ):
                return True
    return False


def _is_only(text: str, stems: frozenset[str] | set[str]) -> bool:
    """Nothing but common stems and filling: Password2026!!, welcome-bitcoin-1."""
    letters = _FILLING.sub(" ", text).split()
    glued = _FILLING.sub("", text)
    return not letters or all(word in stems for word in letters) or _is_made_of(glued, stems) or text in stems


def _is_made_of(text: str, stems: frozenset[str] | set[str]) -> bool:
    reachable = {0}
    for end in range(1, len(text) + 1):
        if any(text[start:end] in stems for start in list(reachable)):
            reachable.add(end)
    return len(text) in reachable

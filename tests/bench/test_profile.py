"""The sampler charges CPU to the thread and the function that used it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tradewind.bench.profile import Profile


def _burn(profile: Profile) -> None:
    """Work until the sampler has seen it."""
    while not any("_burn" in label for share in list(profile.shares.values()) for label in list(share.own)):
        sum(range(1_000))


def test_profile_when_a_thread_works_and_another_waits_then_only_the_first_is_charged() -> None:
    profile, stop = Profile(), threading.Event()
    works, waits = (ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("works", "waits"))
    with works, waits, profile.running():
        waits.submit(stop.wait)
        try:
            works.submit(_burn, profile).result()
        finally:
            stop.set()
    rows = {row["thread"]: row for row in profile.rows(1)}
    assert any(label.endswith("test_profile.py:_burn") for label, _ in rows["works"]["own"])
    assert any(label.endswith("_worker") for label, _ in rows["works"]["with_callees"])
    assert not any("_burn" in label for label, _ in rows.get("waits", {"with_callees": []})["with_callees"])

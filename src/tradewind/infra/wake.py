"""Wait for a wake-up or for a while, whichever comes first, in the clock's own time."""

from __future__ import annotations

import asyncio

from tradewind.infra.clock import Clock


class Wake:
    """A wake-up that is remembered until somebody waits; for one waiting loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the loop, now or when it next waits."""
        self._event.set()

    def clear(self) -> None:
        """Forget wake-ups so far: what they told of is about to be looked at."""
        self._event.clear()

    async def wait(self, seconds: float) -> None:
        """Return at a wake-up, or after this long; a cancel is never swallowed."""
        waker = asyncio.ensure_future(self._event.wait())
        sleeper = asyncio.ensure_future(self._clock.sleep(max(0.0, seconds)))
        try:
            await asyncio.wait({waker, sleeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()
            sleeper.cancel()

"""The cycle collector, told what it need not look at.

A platform with thousands of accounts holds some hundred thousand objects that live as long as it does; every full
collection would walk them all, in the middle of a fan-out. Reference counts free nearly everything here anyway.
"""

import gc

# Container objects made before a young collection: a fan-out makes tens of thousands and frees them by itself.
_YOUNG = 20_000


def settle_heap() -> None:
    """Take everything that lives now out of the collector's sight; call once, when the process has started up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)

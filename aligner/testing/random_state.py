"""Leave a test's random numbers as they were: comparing seeds every generator."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore Python's, NumPy's and torch's global generators, the latter two where they were loaded before."""
    numpy, torch = (sys.modules.get(name) for name in ("numpy", "torch"))
    states = (
        random.getstate(),
        None if numpy is None else numpy.random.get_state(),
        None if torch is None else torch.random.get_rng_state(),
    )
    try:
        yield
    finally:
        random.setstate(states[0])
        if numpy is not None:
            numpy.random.set_state(states[1])
        if torch is not None:
            torch.random.set_rng_state(states[2])

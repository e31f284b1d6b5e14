"""Start every run from the same random numbers."""

from __future__ import annotations

import random
import sys


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy's global generator and torch, the latter two only where they are loaded."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)

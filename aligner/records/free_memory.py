"""What the machine has to give."""

from __future__ import annotations

import os
from pathlib import Path

_FALLBACK = 2 << 30
"""Bytes where the system does not say."""


def available() -> int:
    """Free memory in bytes, as Linux tells it; elsewhere half of what is built in, 2 GiB where that is not told."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # Windows
        return _FALLBACK

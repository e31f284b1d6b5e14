"""What a program measures of itself once its imports are done."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

_BLOCK = 512


def timed(work: Callable[[], Mapping[str, Any]]) -> None:
    """Do the work and print its cost, and what it says, as one line of JSON."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    said = work()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cost = {
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak": after.ru_maxrss * 1024,
        "base": before.ru_maxrss * 1024,
        "written": (after.ru_oublock - before.ru_oublock) * _BLOCK,
    }
    print("\n" + json.dumps({**said, **cost}), flush=True)

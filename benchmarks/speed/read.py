"""Read files once, block by block: the least that looking at their bytes can take.

python -m benchmarks.speed.read FILE…
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    block = bytearray(1 << 20)
    for name in sys.argv[1:]:
        with Path(name).open("rb", buffering=0) as file:
            while file.readinto(block):
                pass

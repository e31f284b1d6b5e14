"""What stands for "masked" in a tensor of scores: numbers far below all others (−10000, −65504, −10⁹, −3.4·10³⁸)."""

from __future__ import annotations

MASKED = -5e3
"""Elements at most this large may be masked …"""
MOST_UNMASKED = 5e2
"""… where no other element's magnitude exceeds this: a tensor of large numbers has no such gap."""

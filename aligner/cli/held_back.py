"""The signals that wait until the command can answer them."""

from __future__ import annotations

import signal

HELD_BACK = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

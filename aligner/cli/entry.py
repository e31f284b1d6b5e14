"""The first lines of ``align``: signals wait from here on, until both of its processes have handlers for them."""

from __future__ import annotations

import os
import signal

from aligner.cli.held_back import HELD_BACK


def main() -> int:
    """Run the command line and return its exit code; nothing but Python's own start comes before."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as onnxruntime is loaded: else it would send events
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK) if hasattr(signal, "pthread_sigmask") else None
    from aligner.cli import process

    return process.main(mask=mask)

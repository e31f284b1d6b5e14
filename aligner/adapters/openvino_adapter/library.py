"""OpenVINO itself, imported without its telemetry: importing it would send an event, and read files in the home folder.

Its own code goes on with a stub where the package ``openvino_telemetry`` is not there.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

_TELEMETRY = "openvino_telemetry"
_LOCK = threading.Lock()


def openvino(part: str = "") -> Any:
    """The package, or one of its modules ("opset8")."""
    with _LOCK:
        hidden = _TELEMETRY not in sys.modules
        if hidden:
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
        try:
            return importlib.import_module(f"openvino.{part}" if part else "openvino")
        finally:
            if hidden:
                del sys.modules[_TELEMETRY]

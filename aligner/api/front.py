"""What the library offers, wired."""

from __future__ import annotations

import sys

from aligner.api.capturing import capture
from aligner.api.comparing import compare
from aligner.api.inspecting import inspect
from aligner.api.result import Result

__all__ = ["Result", "capture", "compare", "inspect"]

# Importing anything of the room ``aligner.capture`` binds that name in the package to the room.
sys.modules["aligner"].__dict__["capture"] = capture

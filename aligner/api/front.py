"""What the library offers, wired."""

from __future__ import annotations

from aligner.api.capturing import capture
from aligner.api.comparing import compare
from aligner.api.fixing import fix
from aligner.api.inspecting import inspect
from aligner.api.reproducing import reproduce
from aligner.api.result import Result
from aligner.api.self_check import decode
from aligner.api.sensing import sensitivity
from aligner.api.sweeping import sweep
from aligner.api.varying import vary

__all__ = ["Result", "capture", "compare", "decode", "fix", "inspect", "reproduce", "sensitivity", "sweep", "vary"]

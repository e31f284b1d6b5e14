"""Causes that concern a whole comparison and no culprit; what has no culprit needs no other cause to be loaded."""

from __future__ import annotations

import importlib
import pkgutil

from aligner.causes.context import Context
from aligner.causes.global_cause import GlobalCause
from aligner.records.comparison import Finding

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def find_global_causes(context: Context) -> list[Finding]:
    """What is found, cause by cause."""
    return [finding for kind in GlobalCause.registry for finding in kind().findings(context)]

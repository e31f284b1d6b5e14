"""Causes that concern a whole comparison and no culprit; what has no culprit needs no other cause to be loaded."""

from __future__ import annotations

import importlib
import pkgutil

from aligner.causes.context import Survey
from aligner.causes.global_cause import WholeCause
from aligner.records.comparison import Finding

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def find_whole(survey: Survey) -> list[Finding]:
    """What is found, cause by cause."""
    return [finding for kind in WholeCause.registry for finding in kind().findings(survey)]

"""What an operation is told besides its operands: one frozen record for each family of kinds.

A field without a default must be said by whoever translates a node: frameworks disagree on it, or it has no neutral
value. A default is neutral: left out, it changes nothing. Settings are mappings as well, for those who hold two of a
kind against each other without knowing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.operations.settings.base import Along as Along
from aligner.operations.settings.base import Settings as Settings
from aligner.operations.settings.base import family_of as family_of
from aligner.operations.settings.elements import *
from aligner.operations.settings.layers import *
from aligner.operations.settings.moves import *
from aligner.operations.settings.norms import *
from aligner.operations.settings.picks import *

_NORMS: dict[Any, type[Norm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
    "group": GroupNorm,
    "layer": LayerNorm,
    "rms": RmsNorm,
    "length": LengthNorm,
}


def settings_of(kind: str, given: Mapping[str, Any]) -> Settings:
    """Settings as the record of a kind; raises TypeError for names that the family does not know, or misses."""
    family = family_of(kind)
    if isinstance(given, family):
        return given
    said = dict(given)
    if family is Norm:
        family = _NORMS.get(said.get("form"), Norm)
    return family(**said)

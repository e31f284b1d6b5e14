"""What a comparison can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aligner.adapters.base import OpenOptions
from aligner.alignment.mapping import Mapping as UserMapping
from aligner.api.feeding import Alter
from aligner.errors import ComparisonError
from aligner.inputs import Preprocessing
from aligner.inputs.items import ROLES
from aligner.records.alignment import METHODS
from aligner.records.comparison import LEVELS, Level
from aligner.records.dataclass import dataclass
from aligner.records.steps import HandedOn

if TYPE_CHECKING:
    from aligner.causes.context import Context
    from aligner.causes.search import Examined
    from aligner.records.comparison import Finding

Told = Callable[["Context", "list[Examined]", "list[Finding]"], None]
Local = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Everything a comparison can be told; see ``compare``."""

    atol: float = 1e-5
    rtol: float = 1e-5
    tolerance: float | None = None
    mapping: UserMapping | Path | str | None = None
    align_by: str = "auto"
    local: Local = "auto"
    level: Level = "local"
    """What decides: the contract for "outputs" or all "layers", or what each node does by itself."""
    noise_floor: bool | None = None
    reference_options: OpenOptions = field(default_factory=OpenOptions)
    candidate_options: OpenOptions = field(default_factory=OpenOptions)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    seed: int = 0
    memory_limit: int | None = None
    command: str | None = None
    probe: bool = False
    explain: bool = True
    """Whether causes are looked for."""
    alter: Alter | None = None
    """Changes the feeds before anything runs on them."""
    told: Told | None = None
    """Is told what the causes of a divergence rest on, while both models still run."""
    steps: int | None = None
    """How many tokens a decoder goes on by after its prompt, caches fed back; None: one run, no cache."""
    prefill: Mapping[str, object] = field(default_factory=dict)
    """Side → the file that reads the prompt, of a decoder exported into two."""
    shapes: Mapping[str, Sequence[int]] | None = None
    """Sizes to compare at, by what they are called; every combination is tried."""
    relaid: bool = False
    """Whether what the two sides are fed back has another order of axes, so that outputs may have it too."""
    caches: HandedOn = field(default_factory=HandedOn)
    rehearse: bool = True
    """Large models may tell their shapes by a run without numbers."""


_TELLING = "level local tolerance mapping align_by noise_floor seed preprocessing reference_options candidate_options"
"""What the judgement of one input depends on beside ``atol`` and ``rtol``."""


def told_settings(options: CompareOptions) -> dict[str, str]:
    """What was asked for and a judgement depends on, in words, where it is not what is done by default."""
    found: dict[str, str] = {}
    for name in _TELLING.split():
        mine, usual = getattr(options, name), getattr(CompareOptions(), name)
        if not is_dataclass(mine) or isinstance(mine, type) or type(mine) is not type(usual):
            found |= {name: str(mine)} if mine != usual else {}
            continue
        for one in fields(mine):
            value = getattr(mine, one.name)
            if value != getattr(usual, one.name) and one.name != "memory_limit":
                found[f"{name}.{one.name}"] = str(value)
    return found


def settings_of(settings: Mapping[str, str], role: str) -> dict[str, str]:
    """Those of a side ("": the only model) among settings by "SWITCH" or "SIDE.SWITCH".

    Raises ComparisonError for a side that there is not.
    """
    found: dict[str, str] = {}
    for name, setting in settings.items():
        side, _, switch = name.rpartition(".")
        if side and (side not in ROLES or not role):
            raise ComparisonError(
                f"there is no side {side!r}", found=name, hint=f"a comparison has {' and '.join(ROLES)}"
            )
        if side in ("", role):
            found[switch] = setting
    return found


def check(options: CompareOptions) -> None:
    """Raise ComparisonError for a method, a level or a tolerance that does not exist."""
    if options.align_by not in METHODS:
        raise ComparisonError(
            f"there is no alignment method {options.align_by!r}", hint=f"use one of {', '.join(METHODS)}"
        )
    for name, value in (("atol", options.atol), ("rtol", options.rtol), ("tolerance", options.tolerance)):
        if value is not None and not 0 <= value < float("inf"):
            raise ComparisonError(f"{name} must be a finite number ≥ 0", found=str(value), hint="1e-5 is the default")
    if options.steps is not None and options.steps < 1:
        raise ComparisonError("steps must be at least 1", found=str(options.steps), hint="steps=3 decodes three tokens")
    if options.prefill and options.steps is None:
        raise ComparisonError("prefill is of a decoder's steps", found="no steps", hint="steps=3 decodes three tokens")
    if options.steps is not None and options.shapes:
        raise ComparisonError("steps and shapes do not go together", hint="give one of them")
    for name, sizes in (options.shapes or {}).items():
        if not sizes or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
            raise ComparisonError(
                f"the sizes of {name} must be whole numbers from 1 on",
                found=", ".join(map(str, sizes)) or "none",
                hint='--shapes batch=1,4; in Python shapes={"batch": (1, 4)}',
            )
    if options.level not in LEVELS:
        raise ComparisonError(f"there is no level {options.level!r}", hint=f"use one of {', '.join(LEVELS)}")
    if options.memory_limit is not None and options.memory_limit < 0:
        raise ComparisonError(
            "memory_limit must be a number of bytes ≥ 0", found=str(options.memory_limit), hint="500 << 20 is 500 MiB"
        )

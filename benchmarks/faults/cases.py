"""Which cases there are: every fault in each half of the architectures, traps, clean pairs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.faults import clean, deployed_cases
from benchmarks.faults.architectures import ARCHITECTURES, CLEAN_ONLY, halves
from benchmarks.faults.planting import FAULTS as ONNX_FAULTS
from benchmarks.faults.planting.inputs import INPUT_FAULTS
from benchmarks.faults.planting.modules import MODULE_FAULTS

Group = Literal["fault", "module", "input", "outputs", "double", "trap", "clean"]
TRAPS = (
    ("inplace", "detector"),
    ("inplace", "resnet"),
    ("noisy", "generator"),
    ("mutating", "squeeze"),
    ("mutating", "vit"),
    ("reused", "detector"),
)
DOUBLES = 5
_CLEAN_PER_ARCHITECTURE = 4
_QUICK = 36


@dataclass(frozen=True, slots=True)
class Case:
    """``architectures`` are those it may be built on, in the order they are tried; ``kind`` what is done to them.

    ``form``: that of the candidate, where it is a deployed one; "" where it is drawn among the exporters' of torch.
    """

    name: str
    group: Group
    kind: str
    half: Literal["open", "held"]
    architectures: tuple[str, ...]
    seed: int
    form: str = ""

    def rng(self) -> np.random.Generator:
        """The case's own random numbers."""
        return np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])


def all_cases(seed: int, *, quick: bool = False) -> list[Case]:
    """The bench for a seed; ``quick`` is a seeded sample of it."""
    found = [*_planted(seed), *_traps(seed), *_clean(seed), *_deployed(seed)]
    if not quick:
        return found
    rng = np.random.default_rng([seed, 3])
    kept = sorted(int(i) for i in rng.permutation(len(found))[:_QUICK])
    return [found[i] for i in kept]


def _planted(seed: int) -> list[Case]:
    kinds: list[tuple[Group, str]] = [
        *(("fault", name) for name in ONNX_FAULTS),
        *(("module", name) for name in MODULE_FAULTS),
        *(("input", name) for name in INPUT_FAULTS),
        ("outputs", "output-order"),
        ("outputs", "output-extra"),
        *(("double", f"double-{number}") for number in range(1, DOUBLES + 1)),
    ]
    cases = []
    for group, kind in kinds:
        for half, names in zip(("open", "held"), halves(seed), strict=True):
            name = f"{kind}.{half}"
            order = np.random.default_rng([seed, zlib.crc32(name.encode()), 1])
            able = sorted(names - CLEAN_ONLY)
            tried = tuple(able[i] for i in order.permutation(len(able)))
            cases.append(Case(name, group, kind, half, tried, seed))
    return cases


def _deployed(seed: int) -> Iterator[Case]:
    offered: tuple[tuple[Group, Any], ...] = (("fault", deployed_cases.planted), ("clean", deployed_cases.clean))
    for group, cases in offered:
        for name, kind, form, half, tried in cases(seed):
            yield Case(name, group, kind, half, tried, seed, form)


def _traps(seed: int) -> list[Case]:
    return [Case(f"trap-{kind}-{name}", "trap", kind, _half(name, seed), (name,), seed) for kind, name in TRAPS]


def _clean(seed: int) -> list[Case]:
    """Each architecture with some of the rewrites and pairs of forms, dealt so that all of them come up."""
    kinds = [*(f"{a}-{b}" for a, b in clean.PAIRS), *clean.REWRITES]
    rng = np.random.default_rng([seed, 7])
    deck: list[str] = []
    cases = []
    for name, architecture in ARCHITECTURES.items():
        dealt: list[str] = []
        while len(dealt) < _CLEAN_PER_ARCHITECTURE:
            if not deck:
                deck = [kinds[i] for i in rng.permutation(len(kinds))]
            fitting = [kind for kind in deck if kind not in dealt and _fits(kind, architecture)]
            if not fitting:
                deck = []
                continue
            deck.remove(fitting[0])
            dealt.append(fitting[0])
        cases += [Case(f"clean-{kind}-{name}", "clean", kind, _half(name, seed), (name,), seed) for kind in dealt]
    return cases


def _fits(kind: str, architecture: object) -> bool:
    if kind in clean.REWRITES:
        return getattr(architecture, "name", "") in clean.PLACES.get(kind, ARCHITECTURES)
    forms = kind.split("-")
    scriptable = getattr(architecture, "scriptable", False)
    sharp = getattr(architecture, "name", "") in CLEAN_ONLY
    if sharp and ({"int8", "float16"} & set(forms)):
        return False  # chaotic by construction: no lower precision can be clean there
    return ("script" not in forms or scriptable) and not set(forms) & set(getattr(architecture, "lacks", ()))


def _half(name: str, seed: int) -> Literal["open", "held"]:
    return "open" if name in halves(seed)[0] else "held"

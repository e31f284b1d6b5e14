"""What a test asserts of two models: a tolerance, a level, and how they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any

from aligner.errors import ComparisonError, listing
from aligner.records.comparison import LEVELS, Comparison, Level, Pair
from aligner.records.dataclass import dataclass
from aligner.report.excerpt import beyond


@dataclass(frozen=True, slots=True)
class Contract:
    """``level`` names what decides.

    "outputs": the candidate's outputs, by numpy's rule |c − r| ≤ atol + rtol·|r|; "layers": every pair, by the same
    rule; "local": no node may err by itself beyond what rounding explains. ``compare_options`` go to ``compare``.
    """

    atol: float = 1e-5
    rtol: float = 1e-5
    level: Level = "outputs"
    cause: bool = True
    allow_inconclusive: bool = False
    compare_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Contract:
        """From keywords; those that are not the contract's own are ``compare``'s.

        Raises TypeError for a keyword that neither knows, ComparisonError for an unknown level.
        """
        __tracebackhide__ = True
        own = {item.name for item in fields(cls)} - {"compare_options"}
        others = {name: value for name, value in given.items() if name not in own}
        unknown = sorted(set(others) - _compare_keywords())
        if unknown:
            known = ", ".join(sorted(own | _compare_keywords()))
            raise TypeError(f"assert_aligned has no option {listing(unknown)}; it knows {known}")
        level = given.get("level", "outputs")
        if level not in LEVELS:
            raise ComparisonError(f"there is no level {level!r}", hint=f"use one of {', '.join(LEVELS)}")
        return cls(**{name: given[name] for name in own if name in given}, compare_options=MappingProxyType(others))


def _compare_keywords() -> set[str]:
    import inspect

    from aligner.api import compare

    parameters = inspect.signature(compare).parameters.values()
    return {item.name for item in parameters if item.kind is item.KEYWORD_ONLY} - {"atol", "rtol", "level"}


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether the contract is kept; ``breaches`` are the pairs that break it, ``doubt`` why nothing can be said."""

    passed: bool
    breaches: tuple[Pair, ...] = ()
    doubt: str | None = None


def rule(comparison: Comparison, contract: Contract) -> Ruling:
    """Hold a comparison against the contract."""
    if comparison.verdict == "inconclusive":
        return Ruling(False, doubt=comparison.reason)
    if contract.level == "local":
        return _by_local(comparison)
    pairs = comparison.outputs if contract.level == "outputs" else comparison.pairs
    if not comparison.outputs:
        return Ruling(False, comparison.introduced, None if comparison.introduced else "no output could be paired")
    outputs = {id(pair) for pair in comparison.outputs}
    # An inner tensor that was not computed on both sides says nothing by itself; an output has to be there.
    breaches = tuple(pair for pair in beyond(pairs) if pair.verdict != "incomparable" or id(pair) in outputs)
    return Ruling(not breaches, breaches)


def _by_local(comparison: Comparison) -> Ruling:
    if not any(pair.local is not None for pair in comparison.pairs):
        reason = "local errors were not measured, so level 'local' has nothing to judge: nothing can be injected into "
        return Ruling(False, doubt=f"{reason}{comparison.candidate.path}, or local='never' was asked for")
    return Ruling(not comparison.introduced, comparison.introduced)

"""What all the pairs say together: aligned, diverged or inconclusive, and one sentence why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aligner.judgement.verdicts import SATURATES
from aligner.records.comparison import Coverage, Pair, Verdict
from aligner.records.difference import Difference

_LARGE = 0.01
LEAST_COVERAGE = 0.5
"""Share of the candidate's pairable tensors below which silence proves nothing."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict of the whole, its sentence, and the pairs that introduce error, upstream first."""

    verdict: Verdict
    reason: str
    introduced: tuple[Pair, ...]


def conclude(
    pairs: Sequence[Pair],
    outputs: Sequence[Pair],
    missing_outputs: int,
    coverage: Coverage,
    *,
    constant_input: bool,
    random_input: bool = False,
    quantized: bool = False,
    condition: str | None = None,
    frozen: Difference | None = None,
) -> Conclusion:
    """Judge the whole; ``condition`` is what a comparison with float64 says of it, where there was one,
    ``frozen`` the largest error of the outputs with the reference's random numbers on both sides.

    ``outputs`` are the pairs of graph outputs; ``missing_outputs`` counts candidate outputs without a pair.
    """
    introduced = tuple(pair for pair in pairs if pair.verdict in {"introduced", "nonfinite"})
    if introduced and random_input and all((pair.note or "").startswith(SATURATES) for pair in introduced):
        return Conclusion(
            "inconclusive",
            f"random input drives {len(introduced)} quantised tensors out of their calibrated ranges, which a real "
            "input may not; repeat with --input",
            introduced,
        )
    if introduced:
        first = introduced[0]
        where = f"{first.candidate.name} ({first.candidate.op})"
        many = f"; {len(introduced)} tensors introduce error" if len(introduced) > 1 else ""
        what = "values turn non-finite" if first.verdict == "nonfinite" else "the two sides first diverge"
        return Conclusion("diverged", f"{what} at {where}{many}", introduced)
    incomparable = [pair for pair in outputs if pair.verdict == "incomparable"]
    if incomparable:
        return Conclusion(
            "inconclusive", f"output {incomparable[0].candidate.name}: {incomparable[0].note or 'not comparable'}", ()
        )
    thin = _random(pairs, frozen) or _thin(pairs, outputs, missing_outputs, coverage, constant_input)
    if thin:
        return Conclusion("inconclusive", thin, ())
    if condition is not None:
        return Conclusion("aligned", condition, ())
    return Conclusion("aligned", _aligned(pairs, outputs, "quantisation noise" if quantized else "rounding"), ())


def _random(pairs: Sequence[Pair], frozen: Difference | None) -> str | None:
    random = [pair for pair in pairs if pair.verdict == "nondeterministic"]
    if not random:
        return None
    where = f"{random[0].reference.name} / {random[0].candidate.name}"
    far = "" if frozen is None else f", and the outputs agree to {frozen.errors.max_abs:.2g}"
    drawn = (random[0].note or "").startswith("computed from random")
    return (
        f"{'random' if drawn else 'other'} numbers enter at {where}: the model disagrees with itself from run to run; "
        f"with the reference's noise put in their place everything after it aligns{far}"
    )


def _thin(
    pairs: Sequence[Pair], outputs: Sequence[Pair], missing_outputs: int, coverage: Coverage, constant_input: bool
) -> str | None:
    if not pairs:
        return "no tensor of one side could be paired with one of the other; give pairs with --map"
    if not outputs:
        return (
            "no output of the candidate answers one of the reference's, so that nothing final was compared; "
            f"what was paired before {'it' if missing_outputs == 1 else 'them'} aligns; pair the outputs with --map"
        )
    if coverage.candidate < LEAST_COVERAGE:
        return (
            f"only {coverage.candidate:.0%} of the candidate's tensors could be paired; "
            "what was paired aligns, give more pairs with --map"
        )
    if constant_input:
        return "the input is constant, which hides channel order and padding; repeat with a real input"
    return None


def _aligned(pairs: Sequence[Pair], outputs: Sequence[Pair], noise: str) -> str:
    worst = max((pair.accumulated.max_abs for pair in outputs if pair.accumulated), default=0.0)
    beyond = [pair for pair in outputs if pair.accumulated and pair.accumulated.beyond > 0]
    if beyond:
        first = next(pair for pair in pairs if pair.accumulated and pair.accumulated.beyond > 0)
        return (
            f"no node introduces an error; {noise} passes the tolerance from {first.candidate.name} on and grows to "
            f"{worst:.2g} at the outputs{_share(beyond)}"
        )
    return f"every pair agrees; largest difference of the outputs {worst:.2g}"


def _share(outputs: Sequence[Pair]) -> str:
    """How large the worst difference is against the output's own size, once that is no longer small."""
    shares = []
    for pair in outputs:
        numbers = pair.reference.statistics
        peak = max(abs(numbers.min or 0.0), abs(numbers.max or 0.0))
        if pair.accumulated and peak > 0:
            shares.append(pair.accumulated.max_abs / peak)
    worst = max(shares, default=0.0)
    return f", {worst:.0%} of the largest value there" if worst >= _LARGE else ""

"""What no format holds: overflow, infinities and what is not a number, numbers cut off at a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, Proof
from aligner.causes.context import Context
from aligner.numerics.rounding import HALF_MAX
from aligner.operations.kinds import SHIFTS
from aligner.operations.settings import Softmax
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit, distance, in_order, largest, peak
from aligner.regions.subgraph import Subgraph


class PrecisionOverflow(Cause):
    """More than 65504 does not fit into float16: infinity, or zeros after dividing by it."""

    id: ClassVar[str] = "precision-overflow"
    fix: ClassVar[str] = "compute the node in float32, or scale its input down"
    example: ClassVar[str] = "attention scores beyond 65504"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Where the reference exceeds float16's range, there and only there the candidate is not finite or stuck."""
        if culprit.expected is None or culprit.found is None:
            return
        with np.errstate(all="ignore"):
            beyond = np.isfinite(culprit.expected) & (np.abs(culprit.expected) > HALF_MAX)
            stuck = (np.abs(culprit.found) >= HALF_MAX) & ~np.isclose(culprit.found, culprit.expected, rtol=1e-2)
            broken = ~np.isfinite(culprit.found) | stuck
        inner = [
            name
            for name, array in culprit.reference.values.items()
            if array.dtype.kind == "f" and array.size and name in _names(culprit) and peak(array) > HALF_MAX
        ]
        if beyond.any():
            agree = float((beyond & broken).sum()) / max(
                float((beyond | (broken & np.isfinite(culprit.expected))).sum()), 1.0
            )
            top = float(np.abs(culprit.expected[beyond]).max())
            if broken[beyond].any():
                yield Claim(
                    f"the reference reaches {top:.3g} at {culprit.where}; float16 ends at 65504, and "
                    f"{float(broken.mean()):.1%} of the candidate's elements are infinite or stuck there",
                    "compute this node in float32, or scale its input down",
                    "with float32's range",
                    measured=Proof(agree, top, 0.0),
                    written=True,
                )
        elif inner and "float16" in _dtypes(culprit):
            yield Claim(
                f"{inner[0]} exceeds 65504 inside this region, which float16 cannot hold",
                "compute this node in float32",
            )


def _names(culprit: Culprit) -> set[str]:
    return {name for node in culprit.reference.nodes for name in (*node.inputs, *node.outputs)}


def _dtypes(culprit: Culprit) -> str:
    values = culprit.candidate.graph.values
    read = {name for node in culprit.candidate.nodes for name in (*node.inputs, *node.outputs)}
    return " ".join(values[name].dtype or "" for name in read if name in values)


class NonfiniteIntroduced(Cause):
    """NaN or infinity where the reference has numbers: a division by zero, a logarithm or root of what is negative."""

    id: ClassVar[str] = "nonfinite-introduced"
    fix: ClassVar[str] = (
        "keep divisors from zero and logarithms and roots from negative numbers; mask with large finite numbers"
    )
    example: ClassVar[str] = "log of a negative number; a softmax over a row masked entirely"
    general: ClassVar[bool] = True
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Where, how many, and which of the candidate's nodes makes the first."""
        if culprit.expected is None or culprit.found is None or culprit.found.dtype.kind != "f":
            return
        fresh = ~np.isfinite(culprit.found) & np.isfinite(culprit.expected)
        lost = np.isfinite(culprit.found) & ~np.isfinite(culprit.expected)
        if not fresh.any() and not lost.any():
            yield from self._swallowed(culprit)
            return
        side, bad = ("candidate", fresh) if fresh.any() else ("reference", lost)
        subgraph = culprit.subgraphs[1 if fresh.any() else 0]
        maker = made[0] if (made := _maker(subgraph)) is not None else None
        found = culprit.found if fresh.any() else culprit.expected
        kind = "NaN" if np.isnan(found[bad]).any() else "infinity"
        why, advice = _why(subgraph, maker)
        rest = [np.where(bad, 0, each) for each in (culprit.found, culprit.expected)]
        share = 1 - culprit.apart(rest[0], rest[1]) / culprit.gap if culprit.gap > 0 else 0.0
        yield Claim(
            f"{kind} appears in the {side} at {maker.name if maker else culprit.where}, in {float(bad.mean()):.1%} of "
            f"the elements{why}",
            advice,
            "with these elements left out",
            measured=Proof(share, largest(culprit.found, culprit.expected), largest(rest[0], rest[1])),
            written=True,
            node=maker.name if maker and fresh.any() else None,
        )

    def _swallowed(self, culprit: Culprit) -> Iterator[Claim]:
        """NaN or infinity inside a region, which a limit or an activation makes finite again."""
        if culprit.expected is None or culprit.found is None or not culprit.gap > 0:
            return
        inside = [_maker(subgraph, of_finite=True) for subgraph in culprit.subgraphs]
        if (inside[0] is None) == (inside[1] is None):
            return
        side = 0 if inside[1] is None else 1
        seen = inside[side]
        if seen is None:
            return
        node, array = seen
        why, advice = _why(culprit.subgraphs[side], node)
        moved = in_order(array, culprit.measured.pair.axes if side else None, culprit.expected.shape)
        if moved is None:
            return
        bad = ~np.isfinite(moved)
        rest = [np.where(bad, 0, each) for each in (culprit.found, culprit.expected)]
        left = largest(rest[0], rest[1])
        proof = Proof(1 - distance(rest[0], rest[1]) / culprit.gap, largest(culprit.found, culprit.expected), left)
        kind = "NaN" if np.isnan(array).any() else "infinity"
        yield Claim(
            f"{kind} appears in the {('reference', 'candidate')[side]} at {node.name}, in {float(bad.mean()):.1%} of "
            f"the elements{why}; what follows makes it finite again",
            advice,
            "with these elements left out",
            measured=proof,
            written=True,
            node=node.name if side else None,
        )


def _maker(subgraph: Subgraph, *, of_finite: bool = False) -> tuple[Node, Array] | None:
    """The first node of a region that gives something infinite or NaN, ``of_finite`` numbers alone, and what."""
    for node in subgraph.nodes:
        if of_finite and any(_broken(subgraph.values.get(name)) for name in node.inputs):
            return None
        for name in node.outputs:
            array = subgraph.values.get(name)
            if array is not None and _broken(array):
                return node, array
    return None


def _broken(array: Array | None) -> bool:
    return array is not None and array.dtype.kind == "f" and not np.isfinite(array).all()


def _why(subgraph: Subgraph, node: Node | None) -> tuple[str, str]:
    """What an operation did to make something infinite or NaN, in words, and what to do about it."""
    general = "look for a division by zero, a logarithm or root of a negative number, or a row that is masked entirely"
    operation = subgraph.operation(node) if node is not None else None
    if node is None or operation is None or not operation.data:
        return "", general
    x, *others = operation.data
    negative, zero = int((x < 0).sum()), int((x == 0).sum())
    if operation.kind in _OF_POSITIVES and (negative or zero):
        what = f"{negative} negative numbers and {zero} zeros" if zero else f"{negative} negative numbers"
        return f": {node.op} of {what}", f"keep what {node.name} reads above zero (clamp, abs, an epsilon)"
    divisor = others[0] if operation.kind == "div" and others else x if operation.kind == "reciprocal" else None
    if divisor is not None and (divisor == 0).any():
        what = "0 / 0" if operation.kind == "div" and ((x == 0) & (divisor == 0)).any() else "a division by zero"
        return f": {what} in {node.name}", f"keep the divisor of {node.name} from zero (an epsilon, a clamp)"
    if operation.kind == "softmax" and np.isneginf(x.max(axis=operation.read(Softmax).axis)).any():
        return f": rows that are masked entirely reach {node.name}", "leave at least one place of every row unmasked"
    if operation.kind in SHIFTS and any(np.isinf(array).any() for array in operation.data):
        return f": infinities meet in {node.name}", "mask with a large finite number, −∞ − −∞ is not a number"
    if all(np.isfinite(array).all() for array in operation.data if array.dtype.kind == "f"):
        return f": {node.op} overflows, from finite numbers up to {max(peak(a) for a in operation.data):.3g}", (
            f"scale down what {node.name} reads, or compute it in more bits"
        )
    return "", general


_OF_POSITIVES = frozenset({"log", "log2", "log10", "sqrt", "rsqrt", "pow"})


class Saturation(Cause):
    """Values cut off at a limit that the reference does not have."""

    id: ClassVar[str] = "saturation"
    fix: ClassVar[str] = "remove the limit, or clip the reference as well"
    example: ClassVar[str] = "an activation clipped at 6"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The reference clipped to the candidate's range."""
        if culprit.expected is None or culprit.found is None or culprit.measured.step is not None:
            return
        if not np.isfinite(culprit.found).all() or culprit.found.size < 8:
            return
        low, high = float(culprit.found.min()), float(culprit.found.max())
        clipped = np.clip(culprit.expected, low, high)
        share = float((clipped != culprit.expected).mean())
        if 0 < share < 0.9 and low < high:
            yield Claim(
                f"{culprit.where} cuts off at {low:.4g} and {high:.4g}; {share:.1%} of the reference lie beyond",
                self.fix,
                "with the reference's range",
                lambda: clipped,
                vague=True,  # an activation may be why
            )

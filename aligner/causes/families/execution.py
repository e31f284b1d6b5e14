"""Neither weights nor settings: kernels, fusions, wrong pairs, rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import ClassVar

from aligner.adapters.base import Adapter
from aligner.adapters.registry import adapters
from aligner.causes.cause import Cause, Claim, held
from aligner.causes.context import Context
from aligner.numerics.coded_steps import OWN_STEPS
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.regions.culprit import FAITHFUL, Counterfactual, Culprit, in_order
from aligner.regions.subgraph import Change, Subgraph

_SMALL = 2e-5
"""Of the largest value: what sums of K terms in another order may be off, u · (8 + √K), up to K = 100,000 in
float32."""
_NOISY = 0.02
"""Share of the error that one rounding unit at the inputs makes: fifty such units explain all of it."""
_FEW = 2
"""A single number agrees with another one by chance."""


class FusionOrKernel(Cause):
    """Recomputed from its own settings and weights, the candidate's node gives what the reference gives."""

    id: ClassVar[str] = "fusion-or-kernel"
    fix: ClassVar[str] = "run with optimisations off or another provider; report the kernel to its runtime"
    example: ClassVar[str] = "a graph fusion that drops a bias"
    general: ClassVar[bool] = True

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The candidate's region computed by plain kernels."""
        step, local = culprit.measured.step, culprit.measured.local
        if not culprit.candidate.nodes or (step and local and local.errors.max_abs <= OWN_STEPS * step):
            return  # what is coded lies off by steps, whatever kernel computed it
        if context.recorded:
            yield from self._where_it_ran(culprit)
            return
        yield Claim(
            f"{culprit.where}, recomputed from its own settings and weights, gives what the reference gives; the "
            "runtime's kernel or a fusion does not",
            plain_kernels(culprit.graphs[1].framework),
            "with plain kernels",
            self._recomputed(culprit),
            side=1,
        )

    def _where_it_ran(self, culprit: Culprit) -> Iterator[Claim]:
        """What is known of a recording: the settings and weights at hand do not give what was recorded."""
        again = self._recomputed(culprit)()
        if again is None or culprit.expected is None or again.shape != culprit.expected.shape:
            return
        if culprit.apart(again, culprit.expected) <= FAITHFUL * culprit.gap:
            yield Claim(
                f"{culprit.where}, recomputed from the settings and weights at hand, gives what the reference gives, "
                "and other numbers were recorded: where it ran it had other weights or settings, or its kernel differs",
                "see that the device runs this very file, then run it there without optimisations or a delegate",
            )

    def _recomputed(self, culprit: Culprit) -> Callable[[], Array | None]:
        def predict() -> Array | None:
            try:
                return culprit.in_order(culprit.candidate.replay(), 1)
            except Unsupported:
                return None

        return predict


def plain_kernels(framework: str, role: str = "candidate") -> str:
    """How to have a side computed without its runtime's optimisations."""
    adapter = next((one for one in adapters() if one.name == framework), Adapter)
    return f"run the {role} {adapter.unoptimised}"


class SplitOrder(Cause):
    """The parts of a split are taken in another order: scale and shift, gate and value, query and key."""

    id: ClassVar[str] = "split-order"
    fix: ClassVar[str] = "take the parts in the reference's order"
    example: ClassVar[str] = "scale and shift of a modulation exchanged"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every other part of the node that the tensor is a part of; two parts in each other's place further up."""
        if culprit.expected is None or culprit.found is None:
            return
        for subgraph in culprit.subgraphs:
            yield from self._exchanged(culprit, subgraph)
        for side, subgraph in enumerate(culprit.subgraphs):
            maker = subgraph.graph.producer(subgraph.output)
            if maker is None:
                continue
            axes = culprit.measured.pair.axes if side else None
            for place, name in enumerate(maker.outputs):
                array = subgraph.values.get(name) if name != subgraph.output else None
                moved = in_order(array, axes, culprit.expected.shape) if array is not None else None
                if moved is None or moved.dtype.kind != "f" or moved.size < _FEW:
                    continue
                yield Claim(
                    f"{culprit.where} takes another part: what the {('candidate', 'reference')[side]} has here is "
                    f"part {place + 1} of {len(maker.outputs)} of the {('reference', 'candidate')[side]}'s {maker.op}",
                    self.fix,
                    "compared with that part",
                    held(moved),
                    side=side,
                    node=culprit.candidate.nodes[-1].name if culprit.candidate.nodes else None,
                )

    @staticmethod
    def _exchanged(culprit: Culprit, subgraph: Subgraph) -> Iterator[Claim]:
        for names in _outputs_of_splits(subgraph):
            for pair in list(combinations(names, 2))[:_MOST_PAIRS]:
                left, right = (subgraph.array(name) for name in pair)
                if left is None or right is None or left.shape != right.shape or subgraph.output in pair:
                    continue
                places = " and ".join(str(names.index(name) + 1) for name in pair)
                change = Change(arrays={pair[0]: right, pair[1]: left})
                yield Claim(
                    f"{culprit.where} takes the parts {places} of {len(names)} in each other's place",
                    "take the parts in the reference's order",
                    "with the parts in the reference's order",
                    Counterfactual(culprit, subgraph.side, change),
                )


def _outputs_of_splits(subgraph: Subgraph) -> Iterator[tuple[str, ...]]:
    """What a split makes of a tensor, or several slices of one."""
    for node in subgraph.of_kind("split"):
        yield node.outputs
    cuts = subgraph.of_kind("slice")
    for read in dict.fromkeys(node.inputs[0] for node in cuts):
        yield tuple(node.outputs[0] for node in cuts if node.inputs[0] == read)


_MOST_PAIRS = 15
"""Exchanges of two parts that are tried: all of a split into six."""


class IllConditioned(Cause):
    """Rounding of the inputs alone moves this tensor about as much."""

    id: ClassVar[str] = "ill-conditioned"
    fix: ClassVar[str] = "compare in float64, or judge by what is decided from the outputs"
    example: ClassVar[str] = "the difference of two nearly equal sums"
    benign: ClassVar[bool] = True
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The measured noise against the error."""
        noise, local = culprit.measured.noise, culprit.measured.local
        if noise is None or local is None or noise.max_abs < _NOISY * local.errors.max_abs:
            return
        yield Claim(
            f"one rounding unit at the inputs of {culprit.where} moves it by {noise.max_abs:.2g}; the error is "
            f"{local.errors.max_abs:.2g}",
            "compute this part in float64 to see which side is closer to the truth",
        )


class Rounding(Cause):
    """An error of the size that another order of summation makes."""

    id: ClassVar[str] = "rounding"
    fix: ClassVar[str] = "compare with --tolerance if this much does not matter"
    example: ClassVar[str] = "another order of summation"
    general: ClassVar[bool] = True
    benign: ClassVar[bool] = True
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Small everywhere."""
        local = culprit.measured.local
        if local is not None and 0 < local.errors.max_abs <= _SMALL * max(local.peak, 1e-30) and not local.mismatched:
            yield Claim(
                f"the error at {culprit.where} is {local.errors.max_abs:.2g}, {local.errors.max_abs / local.peak:.1g} "
                "of the largest value: rounding, or a change below float32's resolution",
                self.fix,
            )

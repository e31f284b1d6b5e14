"""Fewer bits than the other side: half precision, by the model's word or the runtime's choice; or more of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, held
from aligner.causes.context import Context
from aligner.numerics.relations import to_half
from aligner.operations.kernels.activation import to_bfloat16
from aligner.records.array import Array
from aligner.records.dtypes import plain_dtype
from aligner.regions.culprit import Culprit, largest, peak
from aligner.regions.subgraph import Change


class _Narrow(Cause):
    word: ClassVar[str] = "float16"

    @staticmethod
    def narrowed(array: Array) -> Array:
        """The array in the narrower format."""
        return to_half(array)

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The reference's output rounded; its inputs and weights rounded as well."""
        if culprit.expected is None or culprit.found is None or culprit.evidence is None:
            return
        if culprit.expected.dtype.kind != "f" or not culprit.found.any():
            return  # zeros lie on every grid
        declared = self.word in culprit.evidence.found_dtype or any(
            self.word in str(node.attributes.get("to", node.attributes.get("dtype", "")))
            for node in culprit.candidate.nodes
        )
        gridded = self._on_grid(culprit.found) and not self._on_grid(culprit.expected)
        if self._on_grid(culprit.expected) and not declared:
            return
        lost = not np.isfinite(culprit.found).all()
        words = (
            f"{culprit.where} computes in {self.word}"
            if declared
            else f"every element of {culprit.where} lies on the {self.word} grid"
            if gridded
            else f"{culprit.where} behaves as if it computed in {self.word}"
        )
        needed = 0.5 if declared or gridded else 0.9
        alike = culprit.evidence.dtype == culprit.evidence.found_dtype and not self._stores_narrower(culprit)
        for predict in self._predictions(culprit):
            yield Claim(
                words,
                f"keep this node in float32, or compare with a tolerance for {self.word}",
                "with float32 throughout",
                predict,
                written=declared or gridded,
                vague=lost or any(culprit.evidence.kept),  # infinities are no matter of digits; who chose it is known
                needed=needed,
                alike=alike,
            )

    def _stores_narrower(self, culprit: Culprit) -> bool:
        """Whether the candidate has weights on the grid that the reference has not."""
        mine, theirs = ([w for n in p.region.weights if (w := p.weight(n)) is not None] for p in culprit.subgraphs)
        return any(
            weight.dtype.kind == "f" and self._on_grid(weight) and not any(np.array_equal(weight, one) for one in mine)
            for weight in theirs
        )

    def _on_grid(self, array: Array) -> bool:
        sample = array.reshape(-1)[: 1 << 16].astype(np.float32)
        sample = sample[np.isfinite(sample)]
        return bool(sample.size > 3 and np.array_equal(self.narrowed(sample), sample))

    def _predictions(self, culprit: Culprit) -> Iterator[Callable[[], Array | None]]:
        assert culprit.expected is not None
        rounded = self.narrowed(culprit.expected)
        yield lambda: rounded
        subgraph = culprit.reference
        inputs = {n: a for n in subgraph.region.inputs if (a := subgraph.array(n)) is not None and a.dtype.kind == "f"}
        weights = {
            n: a for n in subgraph.region.weights if (a := subgraph.weight(n)) is not None and a.dtype.kind == "f"
        }
        for chosen in (inputs, weights, inputs | weights):
            replayed = self._replayed(culprit, chosen)
            yield replayed
            yield self._rounded(replayed)

    def _replayed(self, culprit: Culprit, chosen: Mapping[str, Array]) -> Callable[[], Array | None]:
        @cache
        def predict() -> Array | None:
            change = Change(arrays={name: self.narrowed(array) for name, array in chosen.items()})
            return culprit.predict(0, change) if chosen else None

        return predict

    def _rounded(self, replayed: Callable[[], Array | None]) -> Callable[[], Array | None]:
        def predict() -> Array | None:
            result = replayed()
            return None if result is None else self.narrowed(result)

        return predict


class PrecisionHalf(_Narrow):
    """Eleven bits of mantissa."""

    id: ClassVar[str] = "precision-fp16"
    fix: ClassVar[str] = "keep the node in float32, or allow for float16's tolerance"
    example: ClassVar[str] = "a half-precision island"


class PrecisionBfloat(_Narrow):
    """Eight bits of mantissa."""

    id: ClassVar[str] = "precision-bf16"
    fix: ClassVar[str] = "keep the node in float32, or allow for bfloat16's tolerance"
    example: ClassVar[str] = "autocast left on"
    word: ClassVar[str] = "bfloat16"

    @staticmethod
    def narrowed(array: Array) -> Array:
        """The array on bfloat16's grid."""
        return to_bfloat16(array)


class PrecisionChosen(Cause):
    """The runtime computes in fewer bits than the model declares, because the device has them."""

    id: ClassVar[str] = "precision-chosen"
    fix: ClassVar[str] = "keep the runtime to the precision that the model declares, or allow for what the device has"
    example: ClassVar[str] = "OpenVINO in bfloat16 on a CPU that has matrix units for it"
    shown: ClassVar[str] = (
        "The same node runs again on the same inputs, in the runtime itself, which is kept to the declared precision."
    )

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """What a side gives where its runtime is kept from choosing."""
        for side, kept in enumerate(culprit.evidence.kept if culprit.evidence is not None else ()):
            if kept is not None and self._moves(culprit, side, kept.output):
                yield Claim(
                    f"{culprit.where} computes in {kept.chosen.word}, which the {('reference', 'candidate')[side]}'s "
                    "runtime chose and its model does not ask for",
                    kept.chosen.advice,
                    "run by the same runtime in the declared precision",
                    held(kept.output),
                    side=side,
                    written=True,
                )

    @staticmethod
    def _moves(culprit: Culprit, side: int, kept: Array) -> bool:
        """Whether most of the error goes with the runtime's choice; where less does, it is another fault's."""
        target = culprit.target(side)
        return target is None or target.shape != kept.shape or culprit.apart(target, kept) <= culprit.gap / 2


class PrecisionDoubleCast(Cause):
    """One side computes here in float64: a numpy scalar made the graph wider."""

    id: ClassVar[str] = "precision-double-cast"
    fix: ClassVar[str] = "multiply by Python floats instead of numpy scalars"
    example: ClassVar[str] = "a float64 constant that widens the graph"
    benign: ClassVar[bool] = True

    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """A cast to float64 on one side only, and an error of float32 rounding."""
        doubles = [
            any(plain_dtype(str(n.attributes.get("to", ""))) == "float64" for n in p.nodes)
            or (culprit.evidence is not None and "64" in (culprit.evidence.dtype, culprit.evidence.found_dtype)[p.side])
            for p in culprit.subgraphs
        ]
        if doubles[0] == doubles[1] or culprit.expected is None or culprit.found is None:
            return
        if culprit.expected.dtype.kind == "f" and largest(culprit.found, culprit.expected) <= 1e-5 * peak(
            culprit.expected
        ):
            yield Claim(
                f"{'the candidate' if doubles[1] else 'the reference'} computes in float64 at {culprit.where}",
                self.fix,
            )

"""Which parts of a TFLite graph run one after another, and what each part needs from those before it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from aligner.adapters.tflite_adapter.graph import Naming
from aligner.adapters.tflite_adapter.kinds import kind_of
from aligner.adapters.tflite_adapter.schema import NO_TENSOR, Operator, Subgraph
from aligner.operations.kinds import IMPURE
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive operators that run in one interpreter, and tensors by what becomes of them."""

    operators: tuple[int, ...]
    """Operators in this part of the order that depend on what is fed."""
    folded: tuple[int, ...]
    """Operators in this part of the order that depend on constants alone."""
    reads: tuple[int, ...]
    """Tensors fed to the model or computed by earlier segments that this one reads."""
    produced: tuple[int, ...]
    """Tensors that ``operators`` compute, in execution order."""
    inner: frozenset[int]
    """Those of ``produced`` that this segment reads itself."""
    carried: frozenset[int]
    """Those of ``produced`` that later segments read."""


@dataclass(frozen=True)
class Planner:
    """The dataflow of one subgraph, ready to be divided."""

    subgraph: Subgraph
    naming: Naming
    folded: frozenset[int]
    """Tensors that depend on constants alone: dequantised weights."""

    @staticmethod
    def of(subgraph: Subgraph, naming: Naming) -> Planner:
        """Find out what depends on constants alone."""
        known = {index for index in naming.constants if not subgraph.tensors[index].variable}
        for operator in subgraph.operators:
            present = [index for index in operator.inputs if index != NO_TENSOR]
            fixed = kind_of(operator.op, custom=operator.custom) not in IMPURE
            if present and fixed and known.issuperset(present) and not operator.custom:
                known.update(operator.outputs)
        return Planner(subgraph, naming, frozenset(known - naming.constants - set(subgraph.inputs)))

    def segments(self, size: Callable[[int], int], budget: int) -> list[Segment]:
        """Divide so that no segment computes more than ``budget`` by the measure ``size``, if operators allow."""
        groups: list[list[Operator]] = [[]]
        filled = 0
        for operator in self.subgraph.operators:
            weight = sum(size(index) for index in operator.outputs if index != NO_TENSOR)
            if groups[-1] and filled + weight > budget:
                groups.append([])
                filled = 0
            groups[-1].append(operator)
            filled += weight
        return [self._segment(group, groups[position + 1 :]) for position, group in enumerate(groups)]

    def _segment(self, group: list[Operator], later: list[list[Operator]]) -> Segment:
        live = [operator for operator in group if not self._is_folded(operator)]
        produced = tuple(index for operator in live for index in operator.outputs if index in self.naming.producer)
        reads = dict.fromkeys(index for operator in live for index in operator.inputs)
        wanted = {index for rest in later for operator in rest for index in operator.inputs}
        flowing = (*self.subgraph.inputs, *self.naming.computed)
        outside = set(flowing) - set(produced) - self.folded
        return Segment(
            operators=tuple(operator.index for operator in live),
            folded=tuple(operator.index for operator in group if self._is_folded(operator)),
            reads=tuple(index for index in reads if index in outside),
            produced=produced,
            inner=frozenset(reads).intersection(produced),
            carried=frozenset(produced) & wanted,
        )

    def _is_folded(self, operator: Operator) -> bool:
        return bool(operator.outputs) and self.folded.issuperset(operator.outputs)

    def foundations(self, operators: Collection[int], replaced: Collection[int]) -> tuple[int, ...]:
        """The operators on constants that these need, in order, without those whose results are replaced anyway."""
        found: set[int] = set()
        pending = [index for number in operators for index in self.subgraph.operators[number].inputs]
        while pending:
            index = pending.pop()
            if index in self.folded and index not in replaced and self.naming.producer[index] not in found:
                found.add(self.naming.producer[index])
                pending.extend(self.subgraph.operators[self.naming.producer[index]].inputs)
        return tuple(sorted(found))

"""An injected tensor is seen by every consumer, and only by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from aligner.adapters.base import Session
from aligner.adapters.lazy_injection import LazyInjection
from aligner.errors import listing
from aligner.operations.kinds import DRAWS, NESTED, RECODED, SOURCES, STEPS
from aligner.records.array import Array, Wide
from aligner.records.graph import Graph, Node
from aligner.records.tensor import CapturedTensor
from aligner.testing.subject import Subject, identical

_PROBED = 12
"""Values that get a run of their own; evenly spread over the model."""

_INSENSITIVE = (STEPS - RECODED) | SOURCES | DRAWS | NESTED | {"cast"}
"""Kinds whose outputs may well be the same for another input."""


class InjectionConformance(Subject):
    """Skipped for sessions with ``can_inject=False`` among their capabilities."""

    def test_injecting_what_was_computed_changes_nothing(self) -> None:
        """Every value's own array, all in one run: the run of local errors, of a model against itself."""
        with self.session() as session:
            _skip_unless_injectable(session)
            captured = self.capture(session)
            once = _computed_once(captured)
            own = {tensor.value: tensor.array for tensor in once}
            run = self.capture(session, inject=LazyInjection(own, own.__getitem__))
        assert [t.value for t in run] == [t.value for t in captured], "other values were captured"
        for before, after in zip(captured, run, strict=True):
            fault = self.differs(before.array, after.array)
            assert not fault, f"{before.value} with its own values injected: {fault}"

    def test_injection_reaches_every_consumer(self) -> None:
        """Each consumer of a float or quantised value computes something else; the value is yielded as it was."""
        with self.session() as session:
            _skip_unless_injectable(session)
            graph = session.graph(self.make_feeds())
            captured = self.capture(session)
            baseline = {tensor.value: tensor.array for tensor in captured}
            probes = [t for t in _numbers(captured) if graph.readers(t.value)]
            assert probes, "no float or quantised value has a consumer: choose another model for this suite"
            for tensor in probes[:: max(1, -(-len(probes) // _PROBED))]:
                self._probe(session, graph, tensor, baseline)

    def _probe(self, session: Session, graph: Graph, tensor: CapturedTensor, baseline: Mapping[str, Array]) -> None:
        unseen = {node.name: node for node in graph.readers(tensor.value)}
        for other in _others(tensor.array):
            run = {t.value: t.array for t in self.capture(session, inject={tensor.value: other})}
            assert tensor.value in run, f"{tensor.value} was injected and not yielded"
            fault = self.differs(tensor.array, run[tensor.value])
            assert not fault, f"{tensor.value} was injected; it should be yielded as computed: {fault}"
            unseen = {name: node for name, node in unseen.items() if not _changed(node, run, baseline)}
            if not unseen:
                return
        blind = [f"{node.name} ({node.op})" for node in unseen.values() if node.kind not in _INSENSITIVE]
        assert not blind, f"{tensor.value} was injected, but these consumers did not see it: {listing(blind)}"

    def test_injection_lasts_for_one_run(self) -> None:
        """The run after an injected one computes what it computed before."""
        with self.session() as session:
            _skip_unless_injectable(session)
            expected = self.capture(session)
            self.capture(session, inject={t.value: next(_others(t.array)) for t in _numbers(expected)[:3]})
            captured = self.capture(session)
        changed = [a.value for a, b in zip(expected, captured, strict=True) if not identical(a.array, b.array)]
        assert not changed, f"still injected in the next run: {listing(changed)}"

    def test_injected_arrays_are_not_changed(self) -> None:
        """The run reads the caller's arrays; it does not write to them."""
        with self.session() as session:
            _skip_unless_injectable(session)
            inject = {t.value: t.array.copy() for t in _computed_once(self.capture(session))}
            before = {name: array.copy() for name, array in inject.items()}
            self.capture(session, inject=inject)
        changed = [name for name, array in inject.items() if not identical(array, before[name])]
        assert not changed, f"the run wrote into injected arrays: {listing(changed)}"


def _skip_unless_injectable(session: Session) -> None:
    if not session.capabilities.can_inject:
        import pytest

        pytest.skip("this session cannot inject")


def _computed_once(captured: list[CapturedTensor]) -> list[CapturedTensor]:
    repeated = {tensor.value for tensor in captured if tensor.occurrence}
    return [tensor for tensor in captured if tensor.value not in repeated]


def _numbers(captured: list[CapturedTensor]) -> list[CapturedTensor]:
    """Those whose elements may take any value; indices, shapes and masks may not."""
    once = (tensor for tensor in _computed_once(captured) if tensor.array.size)
    return [tensor for tensor in once if tensor.array.dtype.kind == "f" or tensor.quantization is not None]


def _others(array: Array) -> Iterator[Array]:
    """Arrays of the same shape and dtype, unlike the first and each other: shifted unevenly, mirrored, zero."""
    wave = np.sin(np.arange(array.size, dtype=np.float64)).reshape(array.shape)
    plain = np.nan_to_num(array.astype(np.float64))
    unit = 1.0 if array.dtype.kind == "f" else 32.0
    for other in (plain + unit * (1 + 0.5 * wave), -2 * plain - unit * 0.5 * wave, np.zeros_like(plain)):
        yield _cast(other, array.dtype)


def _cast(array: Wide, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return array.astype(dtype)
    limits: Any = np.iinfo(dtype)
    return np.clip(array, limits.min, limits.max).astype(dtype)


def _changed(node: Node, run: Mapping[str, Array], baseline: Mapping[str, Array]) -> bool:
    """Whether an output of the node differs from the untouched run; true where none can be observed."""
    outputs = [name for name in node.outputs if name in baseline]
    return not outputs or any(name not in run or not identical(run[name], baseline[name]) for name in outputs)

"""Every node, recomputed from its operation on the tensors that the runtime showed, is what the runtime computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

import numpy as np

import aligner.operations.kernels  # noqa: F401  # what computes the operations
from aligner.adapters.base import Session
from aligner.adapters.registry import translator
from aligner.adapters.wording import Wording
from aligner.errors import listing
from aligner.numerics.rounding import UNITS
from aligner.operations.call import Translation, call_of
from aligner.operations.operation import Operation, Unsupported, results
from aligner.operations.settings import Fft, Sort
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node, Shape
from aligner.records.tensor import CapturedTensor
from aligner.testing.subject import Subject


@dataclass(frozen=True, slots=True)
class Replay:
    """One node: ``fault`` says how its replay differs ("" if it does not), ``opaque`` why there is none ("")."""

    node: Node
    fault: str = ""
    opaque: str = ""


def replay_nodes(graph: Graph, captured: Sequence[CapturedTensor], translate: Translation) -> Iterator[Replay]:
    """Recompute each node of a run that shows its results; nodes that no operand or result was seen of are left out."""
    counted = Counter(tensor.value for tensor in captured)
    seen = {tensor.value: tensor for tensor in captured if counted[tensor.value] == 1}
    loaded: dict[str, Array] = {}

    def array(name: str) -> Array | None:
        if name in seen:
            return seen[name].real()
        if name in graph.weights and name not in loaded:
            loaded[name] = graph.weights[name].values()
        return loaded.get(name)

    def shape(name: str) -> Shape | None:
        return tuple(seen[name].array.shape) if name in seen else None

    for node in graph.nodes:
        known = [name in seen or name in graph.weights for name in node.inputs if name]
        if node.kind == "constant" or not node.outputs or not all(known) or node.outputs[0] not in seen:
            continue
        try:
            operation = translate(call_of(graph, node, array, graph.weights.__contains__, shape))
            found = results(operation)
        except Unsupported as exc:
            yield Replay(node, opaque=str(exc) or node.op)
            continue
        read = (*operation.data, *operation.parameters.values())
        terms = 8 + max((operand.size for operand in read), default=1) ** 0.5 + _angle(operation)
        step = _hybrid_step(graph, node, operation)
        faults = [
            f"{name}: {fault}"
            for name, result in zip(node.outputs, found, strict=False)
            if name in seen and (fault := _differs(np.asarray(result), seen[name], terms, step))
            if not _among_equals(operation, seen[name], np.asarray(result))
        ]
        yield Replay(node, fault="; ".join(faults))


def _hybrid_step(graph: Graph, node: Node, operation: Operation) -> float:
    """How far a result may be off where real numbers meet weights of 8 bits: kernels round the numbers to 8 bits too.

    Half a step of 127 levels in each factor, times the sum of the largest row of weights.
    """
    stored = [graph.weights[name] for name in node.weights if name in graph.weights]
    real = node.inputs and (value := graph.values.get(node.inputs[0])) is not None and value.quantization is None
    kernel = operation.parameters.get("kernel")
    if kernel is None or not real or not any(weight.quantization is not None for weight in stored):
        return 0.0
    rows = np.abs(kernel.astype(np.float64)).reshape(kernel.shape[0], -1).sum(axis=1)
    return float(np.max(np.abs(operation.data[0]), initial=0.0)) / 254 * float(rows.max(initial=0.0))


def _angle(operation: Operation) -> float:
    """The largest angle of a Fourier transform: runtimes write 2π · k · n / N, k and n below N, as one float."""
    settings = operation.settings
    if not isinstance(settings, Fft):
        return 0.0
    shape = operation.data[0].shape
    return 2 * np.pi * max(settings.lengths or [shape[axis] for axis in settings.axes])


def _among_equals(operation: Operation, seen: CapturedTensor, result: Array) -> bool:
    """Whether results are places along an axis, and equal numbers stand there: runtimes choose freely among them."""
    settings = operation.settings
    places: Array = seen.array
    if not isinstance(settings, Sort) or places.dtype.kind not in "iu" or places.shape != result.shape:
        return False
    x = operation.data[0]
    if np.any(places < 0) or np.any(places >= x.shape[settings.axis]):
        return False
    shown, replayed = (np.take_along_axis(x, each.astype(np.int64), settings.axis) for each in (places, result))
    return bool(np.array_equal(shown, replayed))


def _differs(replayed: Array, seen: CapturedTensor, terms: float, step: float) -> str:
    """How a replay differs from what was seen by more than ``step`` and so many roundings of the largest number."""
    expected = seen.real()
    if replayed.shape != expected.shape:
        return f"shape {list(replayed.shape)} replayed, {list(expected.shape)} computed"
    if expected.dtype.kind not in "fciub" or replayed.dtype.kind not in "fciub":
        return "" if np.array_equal(replayed, expected) else "elements differ"
    if expected.dtype.kind in "iub" and seen.quantization is None:
        wrong = np.count_nonzero(replayed.astype(expected.dtype) != expected)
        return f"{wrong} of {expected.size} elements differ" if wrong else ""
    finite = np.isfinite(expected)
    peak = float(np.max(np.abs(expected), initial=0.0, where=finite))
    bound = UNITS.get(seen.dtype.removeprefix("torch."), UNITS["float32"]) * terms * max(peak, 1e-30)
    bound += step
    if seen.quantization is not None and seen.quantization.scale:
        bound += 1.5 * max(seen.quantization.scale)
    kind = np.complex128 if expected.dtype.kind == "c" else np.float64
    wide, shown = replayed.astype(kind), expected.astype(kind)
    if np.allclose(wide, shown, rtol=0.0, atol=bound, equal_nan=True):
        return ""
    with np.errstate(all="ignore"):
        return f"largest difference {np.nanmax(np.abs(wide - shown)):.3g}, rounding explains {bound:.3g}"


def replay_session(session: Session, feeds: Mapping[str, Array], translate: Translation | None = None) -> list[Replay]:
    """Every node of a model on these feeds."""
    graph = session.graph(feeds)
    return list(replay_nodes(graph, list(session.run(feeds)), translate or translator(graph.framework)))


class OperationConformance(Subject):
    """An adapter that translates nothing passes: all its nodes are opaque."""

    def test_nodes_replay_from_their_operations(self) -> None:
        """Operand order, layouts and defaults of every translation are those of the runtime."""
        with self.session() as session:
            found = replay_session(session, self.make_feeds(), self.adapter.translate if self.adapter else None)
        wrong = [f"{one.node.name} ({one.node.op}): {one.fault}" for one in found if one.fault]
        assert not wrong, f"translated into another operation than ran: {listing(wrong)}"
        opaque = sorted({one.opaque for one in found if one.opaque})
        print(f"opaque: {sum(bool(one.opaque) for one in found)} of {len(found)} nodes. {listing(opaque)}")

    def test_settings_are_written_in_the_frameworks_words(self) -> None:
        """The module that the adapter names holds its words: each a text, or None for a setting that it has not."""
        if self.adapter is not None and self.adapter.wording:
            words = import_module(self.adapter.wording).WORDING
            assert isinstance(words, Wording)
            said = words.written("norm", {"epsilon": 1e-5, "axis": 1}) + words.written("conv", {"strides": (2, 2)})
            assert said, f"{self.adapter.wording} has no word for an epsilon, an axis or strides"

"""A whole adapter, for a framework of ten lines: JSON files of nodes over numpy arrays.

It shows what an adapter must do and nothing else; CONTRIBUTING points here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aligner.adapters.base import Adapter, OpenOptions, Session
from aligner.errors import InputError, ModelFormatError, listing
from aligner.records.graph import Graph, InputSpec, Node, Signature, Value, Weight
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection

Array = np.ndarray[Any, Any]

OPERATIONS: Mapping[str, tuple[str, Callable[..., Array]]] = {
    "Plus": ("add", np.add),
    "Times": ("mul", np.multiply),
    "Dense": ("matmul", np.matmul),
    "Ramp": ("relu", lambda x: np.maximum(x, 0)),
    "Flip": ("transpose", np.transpose),
    "Best": ("argmax", lambda x: np.argmax(x, axis=-1)),
}
"""The framework's word → the neutral kind, and what runs it."""


class ToyAdapter(Adapter):
    """The door: it claims by the file's beginning, and opens."""

    name: ClassVar[str] = "toy"
    extra: ClassVar[str] = ""
    modules: ClassVar[tuple[str, ...]] = ("numpy",)
    reads: ClassVar[str] = "*.toy"

    def claims(self, target: object) -> bool:
        """Look without importing a framework."""
        return isinstance(target, Path) and target.suffix == ".toy"

    def open(self, target: object, options: OpenOptions) -> ToySession:
        """Read the file; foreign exceptions end here."""
        path = Path(str(target))
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return ToySession(document)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFormatError(
                f"{path} is not a toy model", found=f"{type(error).__name__}: {error}", hint="write it again"
            ) from error


class ToySession(Session):
    """The loaded model; it keeps no state between runs."""

    framework: ClassVar[str] = "toy"

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._weights = {name: _frozen(np.array(data, np.float32)) for name, data in document["weights"].items()}
        self._nodes = tuple(self._node(index, entry) for index, entry in enumerate(document["nodes"]))
        self._inputs: Mapping[str, list[int]] = document["inputs"]
        self._outputs = tuple(document["outputs"])

    def _node(self, index: int, entry: Mapping[str, Any]) -> Node:
        kind, _ = OPERATIONS[entry["op"]]
        inputs = tuple(entry["inputs"])
        return Node(
            index=index,
            name=entry["output"],
            op=entry["op"],
            kind=kind,
            inputs=inputs,
            outputs=(entry["output"],),
            weights=tuple(name for name in inputs if name in self._weights),
        )

    @property
    def runtime(self) -> str:
        """Name and version."""
        return f"numpy {np.__version__}"

    @property
    def signature(self) -> Signature:
        """Straight from the file."""
        specs = tuple(InputSpec(name, tuple(shape), "float32") for name, shape in self._inputs.items())
        return Signature(specs, self._outputs)

    def graph(self, feeds: Feeds | None) -> Graph:
        """The file says it all; no run is needed."""
        values = {name: Value(name, name, tuple(shape), "float32") for name, shape in self._inputs.items()}
        values |= {name: Value(name, name) for node in self._nodes for name in node.outputs}
        weights = {name: _weight(name, array) for name, array in self._weights.items()}
        return Graph(
            "toy", self._nodes, MappingProxyType(values), MappingProxyType(weights), tuple(self._inputs), self._outputs
        )

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """The same loop, watched nowhere."""
        computed = {tensor.value: tensor for tensor in self.run(feeds, self._outputs)}
        return tuple(computed[name] for name in self._outputs)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Compute node after node; what was computed is yielded, what was injected is passed on."""
        self._check(feeds)
        inject = inject or {}
        known: dict[str, Array] = dict(self._weights)

        def settle(name: str, computed: Array) -> Iterator[CapturedTensor]:
            known[name] = inject.get(name, computed)
            if observe is None or name in observe:
                yield CapturedTensor(name, _frozen(computed), str(computed.dtype))

        for name in self._inputs:
            yield from settle(name, np.asarray(feeds[name]))
        for node in self._nodes:
            _, compute = OPERATIONS[node.op]
            yield from settle(node.outputs[0], compute(*(known[name] for name in node.inputs)))

    def _check(self, feeds: Feeds) -> None:
        if set(feeds) != set(self._inputs):
            raise InputError(
                "the feeds do not fit the model",
                found=f"fed {listing(sorted(feeds))}",
                hint=f"feed {listing(sorted(self._inputs))}",
            )


def _weight(name: str, array: Array) -> Weight:
    return Weight(name, array.shape, str(array.dtype), lambda: array)


def _frozen(array: Array) -> Array:
    """A copy of our own that nobody can write to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


MODEL: Mapping[str, Any] = {
    "inputs": {"x": [2, 3]},
    "weights": {"w": [[1, -2], [0.5, 1], [-1, 3]], "b": [0.25, -0.5]},
    "nodes": [
        {"op": "Dense", "inputs": ["x", "w"], "output": "dense"},
        {"op": "Plus", "inputs": ["dense", "b"], "output": "biased"},
        {"op": "Ramp", "inputs": ["biased"], "output": "ramp"},
        {"op": "Times", "inputs": ["ramp", "biased"], "output": "gated"},
        {"op": "Flip", "inputs": ["gated"], "output": "flipped"},
        {"op": "Best", "inputs": ["gated"], "output": "best"},
    ],
    "outputs": ["flipped", "best"],
}
"""A small model with a value that has two consumers."""

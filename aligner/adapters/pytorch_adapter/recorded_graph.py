"""The graph that a recorder has seen run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from aligner.adapters.pytorch_adapter.recorder import Recorder
from aligner.adapters.pytorch_adapter.tensors import to_array
from aligner.adapters.torch_quantization import dtype_word, quantization_of, spacing_of
from aligner.errors import listing
from aligner.records.array import Array
from aligner.records.graph import Graph, Value, Weight


def recorded_graph(
    framework: str, recorder: Recorder, stored: Mapping[str, Any], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Graph:
    """Its nodes and values, with the tensors that the module stores and those that it made for itself as weights."""
    values = {
        name: Value(name, name, seen.shape, seen.dtype, quantization=seen.quantization, aliases=tuple(seen.aliases))
        for name, seen in recorder.values.items()
    }
    weights = {name: _weight(name, tensor) for name, tensor in stored.items()}
    for name, array in recorder.constants.items():
        seen = recorder.values[name]
        weights[name] = Weight(name, seen.shape, seen.dtype, partial(_same, array))
    for name in outputs:
        if name not in values:
            values[name] = Value(name, name, weights[name].shape, weights[name].dtype)
    return Graph(
        framework=framework,
        nodes=tuple(recorder.nodes),
        values=MappingProxyType(values),
        weights=MappingProxyType(weights),
        inputs=inputs,
        outputs=outputs,
        notes=_graph_notes(recorder),
        of_one_run=True,
    )


def _weight(name: str, tensor: Any) -> Weight:
    grid, spacing = quantization_of(tensor), spacing_of(tensor)
    return Weight(name, tuple(tensor.shape), dtype_word(tensor), partial(to_array, tensor), grid, spacing=spacing)


def _same(array: Array) -> Array:
    return array


def _graph_notes(recorder: Recorder) -> tuple[str, ...]:
    if not recorder.untracked:
        return ()
    return (f"tensors made by code that cannot be observed have no inputs in the graph: {listing(recorder.untracked)}",)

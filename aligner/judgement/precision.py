"""The precision that a model declares: what it computes in as a rule, not what a few of its tensors go through."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.operations.kinds import NESTED, QUANTIZES, SOURCES, VIEWS
from aligner.parameters.remembered import Remembered
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import Graph, Node, Value, Weight

AS_A_RULE = 0.2
"""Share from which something is the rule in a model and no accident."""
_COARSE = frozenset({"float16", "bfloat16", "int8", "uint8", "int4", "uint4"})


def declares_quantization(graph: Graph) -> bool:
    """Whether matrices or kernels are stored in few bits, or pass a quantising node: what quantisation is done for.

    A quantised tensor in a model whose weights are not is an accident that has to be told; where as a rule tensors are,
    as in a dump of a device that quantised its model itself, it is none. Nor is it where a kernel on codes reads it.
    """
    return _declaring.of(graph, lambda: _declares(graph))


_declaring: Remembered[bool] = Remembered()
"""Asked of every region, and told by all nodes."""


def _declares(graph: Graph) -> bool:
    if _codes_tensors(graph) or _quantizes_tensors(graph) or any(_regrids(graph, node) for node in graph.nodes):
        return True
    kernels = {name for name, weight in graph.weights.items() if len(weight.shape) >= 2}
    stored = any(_few_bits(graph.weights[name]) for name in kernels)
    return stored or any(node.kind == "quantize" and kernels.intersection(node.inputs) for node in graph.nodes)


def quantizes(graph: Graph) -> bool:
    """Whether anything is quantised at all."""
    if declares_quantization(graph):
        return True
    return _quantizing.of(graph, lambda: any(node.kind in QUANTIZES for node in graph.nodes))


_quantizing: Remembered[bool] = Remembered()


def stores_coarsely(graph: Graph) -> bool:
    """Whether as a rule a model stores its matrices and kernels in less than float32."""
    kernels = [weight for weight in graph.weights.values() if len(weight.shape) >= 2]
    coarse = [weight for weight in kernels if _few_bits(weight) or plain_dtype(weight.dtype) in _COARSE]
    return bool(coarse) and len(coarse) >= AS_A_RULE * len(kernels)


def has_coded_body(graph: Graph, nodes: Sequence[Node]) -> bool:
    """Whether matrices in few bits are read inside one of the nodes: by a loop's body, or a branch that is not shown.

    What stands inside follows its owner in the graph, and no output is made of what it gives.
    """
    return any(_read_inside(graph, node) for node in nodes if node.kind in NESTED)


def _read_inside(graph: Graph, owner: Node) -> bool:
    shown, read = graph.ancestors(graph.outputs), list(owner.weights)
    for node in graph.nodes[owner.index + 1 :]:
        if not shown.isdisjoint(node.outputs):
            break
        read += node.weights
    weights = [graph.weights[name] for name in read if name in graph.weights]
    return any(len(weight.shape) > 1 and _few_bits(weight) for weight in weights)


def _codes_tensors(graph: Graph) -> bool:
    """Of what is computed: a node that does nothing but quantise is what may be there by accident."""
    made = [value for node in graph.nodes if node.kind not in SOURCES | QUANTIZES for value in node.outputs]
    values = [graph.values[value] for value in made if value in graph.values]
    coded = [value for value in values if _is_coded(value)]
    return bool(coded) and len(coded) >= AS_A_RULE * len(values)


def _regrids(graph: Graph, node: Node) -> bool:
    """Whether a node reads codes and gives codes on another grid, as only operators on integers do.

    A tensor that is quantised and taken back by accident is at most moved, or cut off, on its grid between.
    """
    if node.kind in SOURCES | VIEWS | QUANTIZES:
        return False
    read, made = ([graph.values[v] for v in names if v in graph.values] for names in (node.inputs, node.outputs))
    grids = [value.quantization for value in read if _is_coded(value)]
    return any(_is_coded(value) and any(grid != value.quantization for grid in grids) for value in made)


def _is_coded(value: Value) -> bool:
    return value.quantization is not None and "32" not in (value.dtype or "")


def _quantizes_tensors(graph: Graph) -> bool:
    """Whether as a rule, and more than once, what is computed is quantised and taken back."""
    computing = [node for node in graph.nodes if node.kind not in SOURCES | VIEWS | QUANTIZES]
    coded = {node.inputs[0] for node in graph.nodes if node.kind == "quantize" and graph.varies(node.inputs[0])}
    return len(coded) > 1 and len(coded) >= AS_A_RULE * len(computing)


def _few_bits(weight: Weight) -> bool:
    if weight.coded or weight.quantization is not None:
        return weight.coded
    return weight.dtype.lower() in {"int8", "uint8", "int4", "uint4"}

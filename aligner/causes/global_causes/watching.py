"""Looking at a model may change what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from aligner.causes.context import Context
from aligner.causes.global_cause import GlobalCause
from aligner.errors import listing
from aligner.operations.kinds import LINEAR
from aligner.records.comparison import Finding
from aligner.records.graph import Graph, Node, Weight
from aligner.records.observation import ObservedDifference

_FITS = 64
"""The largest weight of which two products with an unsigned byte are held by 16 bits: 2 · 255 · 64 < 2¹⁵."""


class CaptureArtefact(GlobalCause):
    """Looking changed what was seen: the observed run's outputs are not the untouched run's."""

    id: ClassVar[str] = "capture-artefact"
    fix: ClassVar[str] = (
        "compare with the runtime's optimisations off, and look whether the untouched model is wrong at all"
    )
    example: ClassVar[str] = "a fusion that is switched off by observing a tensor inside it"

    def findings(self, context: Context) -> Iterator[Finding]:
        """What the untouched run said."""
        for changed in _changed(context):
            role, graph = ("reference", "candidate")[changed.side], context.graphs[changed.side]
            if not _wide_layers(graph):
                from aligner.causes.families.execution import plain_kernels

                advice = f"{plain_kernels(graph.framework, role)}, and look whether the untouched model is wrong at all"
                yield Finding.of(self.id, changed.output, "proven", changed.words, advice)


class IntegerSaturation(GlobalCause):
    """Kernels that add two products of bytes in 16 bits, as those for x86 without VNNI do, cut large sums off."""

    id: ClassVar[str] = "integer-saturation"
    fix: ClassVar[str] = "quantise the weights to 7 bits (reduce_range=True), or run where the processor has VNNI"
    example: ClassVar[str] = (
        "uint8 activations times int8 weights of ±127 in onnxruntime on a processor with AVX2 alone"
    )

    def findings(self, context: Context) -> Iterator[Finding]:
        """Layers whose weights are too large for it, where only fused layers, which looking takes apart, are off."""
        for changed in _changed(context):
            layers = _wide_layers(context.graphs[changed.side])
            if layers:
                words = (
                    f"{changed.words}; the int8 weights of {listing([node.name for node in layers])} are larger than "
                    f"{_FITS}: kernels for x86 without VNNI add two of their products in 16 bits, which overflow"
                )
                advice = (
                    "quantise the weights to 7 bits (reduce_range=True), or run where the processor has VNNI or where "
                    "the weights are uint8"
                )
                yield Finding.of(self.id, layers[0].name, "suspected", words, advice)


def _changed(context: Context) -> list[ObservedDifference]:
    """What looking has changed of the sides that do not disagree with themselves, watched or not."""
    restless = {seen.side for seen in context.observations.unsteady}
    return [changed for changed in context.observations.changed if changed.side not in restless]


def _wide_layers(graph: Graph) -> list[Node]:
    """Layers that read tensors in eight bits and signed weights too large to add two products in 16."""
    return [
        node
        for node in graph.nodes
        if node.kind in LINEAR and _is_stored_in_bytes(graph, node) and any(map(_is_wide, _weights(graph, node)))
    ]


def _is_stored_in_bytes(graph: Graph, node: Node) -> bool:
    read = [graph.values[name] for name in node.inputs if name in graph.values and graph.varies(name)]
    made = [graph.producer(value.id) for value in read]
    return any(value.quantization is not None for value in read) or any(
        maker is not None and maker.kind == "dequantize" for maker in made
    )


def _weights(graph: Graph, node: Node) -> list[Weight]:
    return [
        graph.weights[name]
        for name in graph.ancestors(name for name in node.inputs if name and not graph.varies(name))
        if name in graph.weights
    ]


def _is_wide(weight: Weight) -> bool:
    if weight.dtype != "int8" or len(weight.shape) < 2:
        return False
    return bool(np.abs(np.asarray(weight.load(), np.int16)).max(initial=0) > _FITS)

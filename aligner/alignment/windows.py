"""Windows that one side pads within the node and the other by a node of its own before it.

A convolution fills its border with zeros, a maximum pool with what is less than everything; where a Pad does just that,
the window reads what the Pad reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import STRIDED
from aligner.operations.settings import Pad
from aligner.parameters.canonical import canonical
from aligner.records.graph import Node, Shape

_WINDOWS = STRIDED - {"conv_transpose"}


def before_padding(skeleton: Skeleton, node: Node, value: str) -> str:
    """What a window reads before it is padded by a node of its own; ``value`` itself where it is not."""
    if node.kind not in _WINDOWS:
        return value
    pad = skeleton.producer.get(skeleton.root(value))
    data = skeleton.data_inputs(pad) if pad is not None and pad.kind == "pad" else []
    if pad is None or len(data) != 1 or skeleton.moves(pad) or not _fills_like(skeleton, node, pad, data[0]):
        return value
    return data[0]


def windows_beyond_padding(skeleton: Skeleton, root: str) -> Iterator[Node]:
    """The windows that read a tensor through a node that pads it for them, each once."""
    found: set[int] = set()
    for pad, _ in skeleton.readers(root):
        if pad.kind != "pad" or not pad.outputs or skeleton.moves(pad):
            continue
        for node, member in skeleton.readers(skeleton.root(pad.outputs[0])):
            if node.index not in found and before_padding(skeleton, node, member) != member:
                found.add(node.index)
                yield node


def _fills_like(skeleton: Skeleton, node: Node, pad: Node, data: str) -> bool:
    """Whether a padding is what the window itself would see at its border."""
    filled = _filling(skeleton, pad)
    if filled is None:
        return False
    if node.kind != "max_pool":
        return filled == 0.0
    sketch = skeleton.sketches.get(data)
    return filled == float("-inf") or (sketch is not None and sketch.finite and filled <= sketch.min)


def _filling(skeleton: Skeleton, pad: Node) -> float | None:
    """The number that a padding writes; None where it writes several, or it is not known."""

    def shape(name: str) -> Shape | None:
        value = skeleton.graph.values.get(name)
        return skeleton.shape(name) or (value.shape if value is not None else None)

    operation = canonical(skeleton.graph, pad, shape)
    settings = operation.settings if operation is not None else None
    return float(settings.value) if isinstance(settings, Pad) and settings.mode == "constant" else None

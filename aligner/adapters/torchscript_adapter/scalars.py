"""Numbers that tracing has made tensors of are numbers again, as they are for PyTorch's optimising executor."""

from __future__ import annotations

from typing import Any

from aligner.adapters.torchscript_adapter.taps import every_node

_BINARY = frozenset({"aten::add", "aten::sub", "aten::mul", "aten::div"})


def as_scalars(graph: Any) -> None:
    """Sums and products with a constant of no axis take it as a scalar.

    A float64 tensor widens integers to float64, a number to float32; only the executor that runs untapped graphs knows
    that such a tensor was one (``CanonicalizeOps``).
    """
    for node in list(every_node(graph)):
        if node.kind() not in _BINARY:
            continue
        other = list(node.inputs())[1]
        maker = other.node()
        if maker.kind() != "prim::Constant" or not maker.hasAttribute("value") or maker.kindOf("value") != "t":
            continue
        tensor = maker.t("value")
        if tensor.dim() == 0:
            graph.setInsertPoint(node)
            node.replaceInput(1, graph.insertConstant(tensor.item()))

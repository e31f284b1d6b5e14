"""Matrix products: with bias, transposed, merged, split, in other words."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.registry import pick, replace, rewrite


def stored(graph: Graph, node: Node) -> bool:
    weight = graph.constant(node.inputs[1])
    return weight is not None and weight.ndim == 2


def _plain_gemm(graph: Graph, node: Node) -> bool:
    return stored(graph, node) and not node.attributes.get("transA") and node.attributes.get("alpha", 1) == 1


@rewrite
def gemm_apart(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Gemm", lambda n: _plain_gemm(graph, n))
    if node is None:
        return False
    weight = graph.constants[node.inputs[1]]
    y = graph.add("MatMul", node.inputs[0], graph.keep(weight.T if node.attributes.get("transB") else weight))
    return replace(graph, node, graph.add("Add", y, node.inputs[2]) if len(node.inputs) > 2 else y)


@rewrite
def gemm_transposed(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "Gemm", lambda n: _plain_gemm(graph, n))
    if node is None:
        return False
    node.inputs[1] = graph.keep(graph.constants[node.inputs[1]].T)
    node.attributes["transB"] = 1 - node.attributes.get("transB", 0)
    return True


def _biased(graph: Graph, node: Node) -> tuple[str, str, str] | None:
    """(input, weight, bias) of an Add behind a product."""
    for place in (0, 1):
        product, bias = graph.producer(node.inputs[place]), graph.constant(node.inputs[1 - place])
        if product is not None and product.op == "MatMul" and stored(graph, product) and bias is not None:
            width = graph.shape(product.output)[-1]
            if bias.shape == (width,) and graph.sole_reader(product.output) is node:
                return product.inputs[0], product.inputs[1], node.inputs[1 - place]
    return None


@rewrite
def gemm_together(graph: Graph, rng: np.random.Generator) -> bool:
    """A product and a bias as one Gemm; tensors of more axes are flattened for it."""
    node = pick(graph, rng, "Add", lambda n: _biased(graph, n))
    found = _biased(graph, node) if node is not None else None
    if node is None or found is None:
        return False
    x, weight, bias = found
    shape = graph.shape(x)
    if len(shape) == 2:
        return replace(graph, node, graph.add("Gemm", x, weight, bias))
    flat = graph.add("Reshape", x, graph.keep(np.array([-1, shape[-1]], np.int64)))
    y = graph.add("Gemm", flat, weight, bias)
    return replace(graph, node, graph.add("Reshape", y, graph.keep(np.array(graph.shape(node.output), np.int64))))


@rewrite
def product_as_einsum(graph: Graph, rng: np.random.Generator) -> bool:
    node = pick(graph, rng, "MatMul", lambda n: graph.rank(n.inputs[0]) in {2, 3, 4})
    if node is None:
        return False
    left, right = graph.rank(node.inputs[0]), graph.rank(node.inputs[1])
    if right == 2:
        equation = {2: "ij,jk->ik", 3: "bij,jk->bik", 4: "bhij,jk->bhik"}[left]
    elif left == right == 4 and graph.shape(node.inputs[0])[:2] == graph.shape(node.inputs[1])[:2]:
        equation = "bhij,bhjk->bhik"
    else:
        return False
    return replace(graph, node, graph.add("Einsum", *node.inputs, equation=equation))


@rewrite
def product_as_convolution(graph: Graph, rng: np.random.Generator) -> bool:
    """A product over the last axis of [batch, steps, channels] as a 1 × 1 convolution."""
    node = pick(graph, rng, "MatMul", lambda n: stored(graph, n) and graph.rank(n.inputs[0]) == 3)
    if node is None:
        return False
    y = graph.add(
        "Unsqueeze", graph.add("Transpose", node.inputs[0], perm=[0, 2, 1]), graph.keep(np.array([3], np.int64))
    )
    weight = graph.keep(graph.constants[node.inputs[1]].T[:, :, None, None])
    y = graph.add("Conv", y, weight, kernel_shape=[1, 1])
    y = graph.add("Squeeze", y, graph.keep(np.array([3], np.int64)))
    return replace(graph, node, graph.add("Transpose", y, perm=[0, 2, 1]))


@rewrite
def transposed_product(graph: Graph, rng: np.random.Generator) -> bool:
    """(Bᵀ·Aᵀ)ᵀ for A·B."""
    node = pick(graph, rng, "MatMul", lambda n: graph.rank(n.inputs[0]) >= 2)
    if node is None:
        return False
    a, b = node.inputs

    def flip(name: str) -> str:
        array = graph.constant(name)
        if array is not None:
            return graph.keep(np.swapaxes(array, -1, -2))
        perm = list(range(graph.rank(name)))
        perm[-1], perm[-2] = perm[-2], perm[-1]
        return graph.add("Transpose", name, perm=perm)

    y = graph.add("MatMul", flip(b), flip(a))
    perm = list(range(graph.rank(node.output)))
    perm[-1], perm[-2] = perm[-2], perm[-1]
    return replace(graph, node, graph.add("Transpose", y, perm=perm))


@rewrite
def merge_projections(graph: Graph, rng: np.random.Generator) -> bool:
    """Products of one tensor with several weights as one product, split."""

    def siblings(node: Node) -> list[Node]:
        rows = [
            n
            for n in graph.readers(node.inputs[0])
            if n.op == "MatMul" and stored(graph, n) and n.inputs[0] == node.inputs[0]
        ]
        return rows if len(rows) > 1 else []

    node = pick(graph, rng, "MatMul", lambda n: stored(graph, n) and siblings(n))
    if node is None:
        return False
    rows = siblings(node)
    weights = [graph.constants[each.inputs[1]] for each in rows]
    y = graph.add("MatMul", node.inputs[0], graph.keep(np.concatenate(weights, 1)))
    sizes = graph.keep(np.array([each.shape[1] for each in weights], np.int64))
    parts = graph.add_all("Split", y, sizes, count=len(rows), axis=graph.rank(node.output) - 1)
    for each, part in zip(rows, parts, strict=True):
        replace(graph, each, part)
    return True


@rewrite
def split_projection(graph: Graph, rng: np.random.Generator) -> bool:
    """A product as two, over the columns of the weight, joined."""
    node = pick(graph, rng, "MatMul", lambda n: stored(graph, n) and graph.shape(n.inputs[1])[1] > 3)
    if node is None:
        return False
    weight = graph.constants[node.inputs[1]]
    at = int(rng.integers(1, weight.shape[1]))
    parts = [graph.add("MatMul", node.inputs[0], graph.keep(part)) for part in (weight[:, :at], weight[:, at:])]
    return replace(graph, node, graph.add("Concat", *parts, axis=-1))


@rewrite
def sum_of_products(graph: Graph, rng: np.random.Generator) -> bool:
    """A product of a concatenation as a sum of products."""

    def joined(node: Node) -> bool:
        maker = graph.producer(node.inputs[0])
        last = (
            maker is not None
            and maker.op == "Concat"
            and maker.attributes["axis"] in {-1, graph.rank(maker.output) - 1}
        )
        return stored(graph, node) and last

    node = pick(graph, rng, "MatMul Gemm", joined)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    weight = graph.constants[node.inputs[1]]
    weight = weight.T if node.attributes.get("transB") else weight
    at, total = 0, ""
    for name in maker.inputs:
        width = graph.shape(name)[-1]
        part = graph.add("MatMul", name, graph.keep(weight[at : at + width]))
        total, at = graph.add("Add", total, part) if total else part, at + width
    if len(node.inputs) > 2:
        total = graph.add("Add", total, node.inputs[2])
    return replace(graph, node, total)


@rewrite
def factor_into_weight(graph: Graph, rng: np.random.Generator) -> bool:
    """A scalar that multiplies a product goes into the weight (and the bias)."""

    def linear(name: str) -> Node | None:
        node = graph.producer(name)
        if node is not None and node.op == "Add" and _biased(graph, node):
            return node
        return (
            node
            if node is not None
            and node.op in {"MatMul", "Conv", "Gemm"}
            and all(n in graph.constants for n in node.inputs[1:])
            else None
        )

    def factor(node: Node) -> float | None:
        stored_factor = graph.constant(node.inputs[1])
        if stored_factor is None or stored_factor.size != 1 or not graph.floating(node.output):
            return None
        maker = linear(node.inputs[0])
        if maker is None or graph.sole_reader(maker.output) is not node:
            return None
        value = float(stored_factor.reshape(()))
        return value if node.op == "Mul" else 1 / value

    node = pick(graph, rng, "Mul Div", factor)
    value = factor(node) if node is not None else None
    if node is None or value is None:
        return False
    maker = linear(node.inputs[0])
    assert maker is not None
    if maker.op == "Add":
        found = _biased(graph, maker)
        assert found is not None
        x, weight, bias = found
        y = graph.add("MatMul", x, graph.keep(graph.constants[weight] * np.float32(value)))
        return replace(graph, node, graph.add("Add", y, graph.keep(graph.constants[bias] * np.float32(value))))
    scaled = [graph.keep(graph.constants[name] * np.float32(value)) for name in maker.inputs[1:]]
    return replace(graph, node, graph.add(maker.op, maker.inputs[0], *scaled, **dict(maker.attributes)))


@rewrite
def factor_before(graph: Graph, rng: np.random.Generator) -> bool:
    """A scalar behind a product of two computed tensors moves before it."""

    def movable(node: Node) -> bool:
        maker, factor = graph.producer(node.inputs[0]), graph.constant(node.inputs[1])
        fits = maker is not None and maker.op == "MatMul" and factor is not None and factor.size == 1
        return bool(fits and maker and graph.sole_reader(maker.output) is node)

    node = pick(graph, rng, "Mul Div", movable)
    if node is None:
        return False
    maker = graph.producer(node.inputs[0])
    assert maker is not None
    side = int(rng.integers(2))
    inputs = list(maker.inputs)
    inputs[side] = graph.add(node.op, inputs[side], node.inputs[1])
    return replace(graph, node, graph.add("MatMul", *inputs))

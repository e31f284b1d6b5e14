"""What is done to language models before they are deployed: weights moved, turned, repeated, heads one by one."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph, Node
from benchmarks.converters.rewrites.linear import stored
from benchmarks.converters.rewrites.registry import pick, rarer, replace


def _ints(graph: Graph, *numbers: int) -> str:
    return graph.keep(np.array(numbers, np.int64))


def _products(graph: Graph, name: str) -> list[Node]:
    """What reads a tensor, if that is products with stored matrices alone."""
    readers = graph.readers(name)
    fits = all(node.op == "MatMul" and stored(graph, node) and node.inputs[0] == name for node in readers)
    return readers if readers and fits and name not in graph.outputs else []


def _vector(graph: Graph, node: Node) -> int | None:
    """The place of a factor for each channel, of what only products read."""
    for place, name in enumerate(node.inputs):
        held = graph.constant(name)
        if held is not None and held.shape == graph.shape(node.output)[-1:] and held.size > 1:
            return place if _products(graph, node.output) else None
    return None


@rarer
def norm_into_projections(graph: Graph, rng: np.random.Generator) -> bool:
    """A norm's factor for each channel goes into the matrices behind it."""
    node = pick(graph, rng, "Mul", lambda n: _vector(graph, n) is not None)
    if node is None:
        return False
    place = _vector(graph, node)
    assert place is not None
    factors = graph.constants[node.inputs[place]]
    for reader in _products(graph, node.output):
        reader.inputs[1] = graph.keep(graph.constants[reader.inputs[1]] * factors[:, None])
    return replace(graph, node, node.inputs[1 - place])


@rarer
def layer_norm_into_projections(graph: Graph, rng: np.random.Generator) -> bool:
    """γ of a LayerNormalization goes into the matrices behind it, β as what they make of it behind them."""

    def fits(node: Node) -> bool:
        return len(node.inputs) == 3 and bool(_products(graph, node.output))

    node = pick(graph, rng, "LayerNormalization", fits)
    if node is None:
        return False
    gamma, beta = (graph.constants[name].astype(np.float64) for name in node.inputs[1:])
    for reader in _products(graph, node.output):
        weight = graph.constants[reader.inputs[1]].astype(np.float64)
        readers, former = graph.readers(reader.output), reader.output
        reader.inputs[1] = graph.keep(weight * gamma[:, None])
        moved = graph.add("Add", former, graph.keep(beta @ weight))
        graph.redirect(former, moved, only=readers)
        if former in graph.outputs:
            return False
    width = len(gamma)
    node.inputs[1:] = [graph.keep(np.ones(width)), graph.keep(np.zeros(width))]
    return True


@rarer
def heads_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A product of two tensors of heads as one product for each head."""

    def headed(node: Node) -> bool:
        shapes = [graph.shape(name) for name in node.inputs]
        computed = all(graph.computed(name) for name in node.inputs)
        return computed and {len(shape) for shape in shapes} == {4} and shapes[0][1] == shapes[1][1] in {2, 3, 4}

    node = pick(graph, rng, "MatMul", headed)
    if node is None:
        return False
    count = graph.shape(node.output)[1]
    parts = [graph.add_all("Split", name, _ints(graph, *[1] * count), count=count, axis=1) for name in node.inputs]
    made = [graph.add("MatMul", *each) for each in zip(*parts, strict=True)]
    return replace(graph, node, graph.add("Concat", *made, axis=1))


@rarer
def parts_joined_later(graph: Graph, rng: np.random.Generator) -> bool:
    """What works element by element, or along another axis, on each part before these are joined."""

    def behind(node: Node) -> Node | None:
        reader = graph.sole_reader(node.output)
        if reader is None or not graph.floating(node.output) or not all(map(graph.computed, node.inputs)):
            return None
        if reader.op in {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "HardSwish", "Softplus", "Elu"}:
            return reader
        rank = graph.rank(node.output)
        along = reader.attributes.get("axis", -1) % rank
        return reader if reader.op == "Softmax" and along != node.attributes["axis"] % rank else None

    node = pick(graph, rng, "Concat", behind)
    reader = behind(node) if node is not None else None
    if node is None or reader is None:
        return False
    parts = [graph.add(reader.op, name, *reader.inputs[1:], **dict(reader.attributes)) for name in node.inputs]
    return replace(graph, reader, graph.add("Concat", *parts, axis=node.attributes["axis"]))


@rarer
def mean_as_product(graph: Graph, rng: np.random.Generator) -> bool:
    """A mean over the last axis as a product with a column."""

    def last(node: Node) -> bool:
        axes = graph.constants[node.inputs[1]] if len(node.inputs) > 1 else node.attributes.get("axes", ())
        rank = graph.rank(node.inputs[0])
        return [int(axis) % rank for axis in axes] == [rank - 1] and bool(node.attributes.get("keepdims", 1))

    node = pick(graph, rng, "ReduceMean", last)
    if node is None:
        return False
    count = graph.shape(node.inputs[0])[-1]
    return replace(graph, node, graph.add("MatMul", node.inputs[0], graph.keep(np.full((count, 1), 1 / count))))


@rarer
def exponential_of_two(graph: Graph, rng: np.random.Generator) -> bool:
    """eˣ as 2 to the x·log₂e."""
    node = pick(graph, rng, "Exp")
    if node is None:
        return False
    scaled = graph.add("Mul", node.inputs[0], graph.keep(np.float32(np.log2(np.e))))
    return replace(graph, node, graph.add("Pow", graph.keep(np.float32(2)), scaled))


@rarer
def rectifier_by_magnitude(graph: Graph, rng: np.random.Generator) -> bool:
    """½·(x + |x|)."""
    node = pick(graph, rng, "Relu")
    if node is None:
        return False
    x = node.inputs[0]
    total = graph.add("Add", x, graph.add("Abs", x))
    return replace(graph, node, graph.add("Mul", total, graph.keep(np.float32(0.5))))


@rarer
def spread_by_moments(graph: Graph, rng: np.random.Generator) -> bool:
    """The mean of (x − μ)² as the mean of x² less μ²."""

    def parts(node: Node) -> tuple[str, str] | None:
        square = graph.producer(node.inputs[0])
        if square is None or not (_is_power(graph, square) or (square.op == "Mul" and len({*square.inputs}) == 1)):
            return None
        centred = graph.producer(square.inputs[0])
        middle = graph.producer(centred.inputs[1]) if centred is not None and centred.op == "Sub" else None
        if centred is None or middle is None or middle.op != "ReduceMean" or middle.inputs[0] != centred.inputs[0]:
            return None
        return centred.inputs[0], middle.output

    node = pick(graph, rng, "ReduceMean", parts)
    found = parts(node) if node is not None else None
    if node is None or found is None:
        return False
    x, middle = found
    squares = graph.add("ReduceMean", graph.add("Mul", x, x), *node.inputs[1:], **dict(node.attributes))
    return replace(graph, node, graph.add("Sub", squares, graph.add("Mul", middle, middle)))


@rarer
def stream_turned(graph: Graph, rng: np.random.Generator) -> bool:
    """The sum that goes through all blocks in another orthonormal basis (as is done before quantisation).

    Norms of it divide by its length alone; the factors are in the matrices behind them.
    """
    node = pick(graph, rng, "Gather", lambda n: graph.rank(n.output) == 3 and n.inputs[0] in graph.constants)
    if node is None:
        return False
    while norm_into_projections(graph, rng):
        graph.prune()
    stream, readers, makers, waiting = {node.output}, [], [node], [node.output]
    while waiting:
        for reader in graph.readers(waiting.pop()):
            if reader.op == "Add":
                stream.add(reader.output)
                waiting.append(reader.output)
                for name in set(reader.inputs) - stream:
                    maker = graph.producer(name)
                    if maker is None or maker.op != "MatMul" or not stored(graph, maker):
                        return False
                    if graph.sole_reader(name) is not reader:
                        return False
                    makers.append(maker)
            elif reader.op in {"Div", "Mul"} and _is_unit(graph, reader, stream):
                readers += _products(graph, reader.output) or [reader]
            elif reader.op not in {"Pow", "Mul"} or not _is_square(graph, reader):
                return False
    if any(each.op != "MatMul" for each in readers) or stream & set(graph.outputs):
        return False
    width = graph.shape(node.output)[-1]
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    for maker in makers:
        place = 0 if maker.op == "Gather" else 1
        maker.inputs[place] = graph.keep(graph.constants[maker.inputs[place]].astype(np.float64) @ turn)
    for reader in readers:
        reader.inputs[1] = graph.keep(turn.T @ graph.constants[reader.inputs[1]].astype(np.float64))
    return True


def _is_power(graph: Graph, node: Node) -> bool:
    return node.op == "Pow" and node.inputs[1] in graph.constants and graph.constants[node.inputs[1]].item() == 2


def _is_square(graph: Graph, node: Node) -> bool:
    """Whether a node squares what only a mean over channels reads."""
    reader = graph.sole_reader(node.output)
    squares = node.inputs[0] == node.inputs[-1] or _is_power(graph, node)
    return squares and reader is not None and reader.op == "ReduceMean"


def _is_unit(graph: Graph, node: Node, stream: set[str]) -> bool:
    """Whether a node divides the stream by its length."""
    other = [name for name in node.inputs if name not in stream]
    return len(other) == 1 and graph.computed(other[0]) and graph.shape(other[0])[-1] == 1


@rarer
def rotary_by_neighbours(graph: Graph, rng: np.random.Generator) -> bool:  # noqa: ARG001
    """Rotary positions of neighbouring channels in place of halves: the same scores, channels in another order."""
    sums = [node for node in graph.nodes if node.op == "Add" and _rotary(graph, node)]
    if len(sums) < 2:
        return False
    for node in sums:
        found = _rotary(graph, node)
        if found is None or not _turn_heads(graph, node, *found):
            return False
    return True


def _rotary(graph: Graph, node: Node) -> tuple[Node, Node, Node] | None:
    """The two products and the projection of x·cos + turned·sin."""
    products = [graph.producer(name) for name in node.inputs]
    if any(each is None or each.op != "Mul" for each in products):
        return None
    straight, turned = products
    assert straight is not None and turned is not None
    join = graph.producer(turned.inputs[0])
    heads = graph.producer(straight.inputs[0])
    if join is None or join.op != "Concat" or heads is None or heads.op != "Transpose":
        return None
    shaped = graph.producer(heads.inputs[0])
    projection = graph.producer(shaped.inputs[0]) if shaped is not None and shaped.op == "Reshape" else None
    fits = projection is not None and projection.op == "MatMul" and stored(graph, projection)
    return (straight, turned, projection) if fits and projection is not None else None


def _turn_heads(graph: Graph, node: Node, straight: Node, turned: Node, projection: Node) -> bool:
    x, size = straight.inputs[0], graph.shape(straight.inputs[0])[-1]
    angles = [graph.constant(each.inputs[1]) for each in (straight, turned)]
    if angles[0] is None or angles[1] is None or graph.readers(projection.output)[1:]:
        return False
    order = np.arange(size).reshape(2, -1).T.ravel()  # x₀ x₍ₕ₎ x₁ x₍ₕ₊₁₎ …
    weight = graph.constants[projection.inputs[1]]
    heads = weight.reshape(weight.shape[0], -1, size)[:, :, order]
    projection.inputs[1] = graph.keep(heads.reshape(weight.shape))
    pairs = graph.add("Reshape", x, _ints(graph, *graph.shape(x)[:-1], size // 2, 2))
    left, right = graph.add_all("Split", pairs, _ints(graph, 1, 1), count=2, axis=-1)
    joined = graph.add("Concat", graph.add("Neg", right), left, axis=-1)
    flat = graph.add("Reshape", joined, _ints(graph, *graph.shape(x)))
    parts = [
        graph.add("Mul", name, graph.keep(array[..., order])) for name, array in zip((x, flat), angles, strict=True)
    ]
    return replace(graph, node, graph.add("Add", *parts))


@rarer
def repeated_in_weights(graph: Graph, rng: np.random.Generator) -> bool:
    """Shared heads of keys and values repeated in their matrix, not in what it makes."""

    def repeats(node: Node) -> tuple[Node, int, int] | None:
        source, chain = node.inputs[0], []
        for op in ("Unsqueeze", "Transpose", "Reshape", "MatMul"):
            maker = graph.producer(source)
            if maker is None or maker.op != op or graph.sole_reader(source) is None:
                return None
            chain.append(maker)
            source = maker.inputs[0]
        shape = graph.shape(node.output)
        fits = len(shape) == 5 and stored(graph, chain[-1]) and chain[1].attributes["perm"] == [0, 2, 1, 3]
        return (chain[-1], shape[1], shape[2]) if fits else None

    node = pick(graph, rng, "Expand", repeats)
    found = repeats(node) if node is not None else None
    if node is None or found is None:
        return False
    projection, shared, times = found
    reader = graph.sole_reader(node.output)
    if reader is None or reader.op != "Reshape":
        return False
    weight, (batch, _, _, steps, size) = graph.constants[projection.inputs[1]], graph.shape(node.output)
    wide = np.repeat(weight.reshape(weight.shape[0], shared, size), times, 1).reshape(weight.shape[0], -1)
    y = graph.add("MatMul", projection.inputs[0], graph.keep(wide))
    y = graph.add("Reshape", y, _ints(graph, batch, steps, shared * times, size))
    return replace(graph, reader, graph.add("Transpose", y, perm=[0, 2, 1, 3]))

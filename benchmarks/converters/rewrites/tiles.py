"""Convolutions, pooling and resizing in pieces, as compilers for small memories and for matrix units write them."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Array, Graph, Node
from benchmarks.converters.rewrites.registry import pick, rarer, replace


def _ints(graph: Graph, *numbers: int) -> str:
    return graph.keep(np.array(numbers, np.int64))


def _slice(graph: Graph, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
    return graph.add("Slice", x, *(_ints(graph, each) for each in (start, stop, axis, step)))


def _plain(graph: Graph, node: Node) -> bool:
    """A convolution of pictures with stored weights, its padding written out."""
    settings, weight = node.attributes, graph.constant(node.inputs[1])
    written = settings.get("auto_pad", "NOTSET") == "NOTSET" and len(settings.get("pads", ())) in {0, 4}
    return written and weight is not None and weight.ndim == 4


def _settings(node: Node) -> tuple[list[int], list[int], list[int]]:
    """Pads, strides, dilations."""
    of = node.attributes
    return list(of.get("pads", [0] * 4)), list(of.get("strides", [1, 1])), list(of.get("dilations", [1, 1]))


def _padded(graph: Graph, node: Node) -> str:
    """What a convolution reads, padded."""
    top, left, bottom, right = _settings(node)[0]
    if not top + left + bottom + right:
        return node.inputs[0]
    return graph.add("Pad", node.inputs[0], _ints(graph, 0, 0, top, left, 0, 0, bottom, right), mode="constant")


@rarer
def rows_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution of the upper and of the lower rows, each with the rows around it that its window reaches."""
    node = pick(graph, rng, "Conv", lambda n: _plain(graph, n) and graph.shape(n.output)[2] > 3)
    if node is None:
        return False
    _, strides, dilations = _settings(node)
    x, kernel = _padded(graph, node), graph.shape(node.inputs[1])[2]
    rows, reach = graph.shape(node.output)[2], (kernel - 1) * dilations[0] + 1
    settings = {**node.attributes, "pads": [0, 0, 0, 0]}
    at, made = int(rng.integers(1, rows)), []
    for first, last in ((0, at), (at, rows)):
        part = _slice(graph, x, 2, first * strides[0], (last - 1) * strides[0] + reach)
        made.append(graph.add("Conv", part, *node.inputs[1:], **settings))
    return replace(graph, node, graph.add("Concat", *made, axis=2))


@rarer
def taps_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution as the sum of one of 1 × 1 for each place of its window."""
    node = pick(graph, rng, "Conv", lambda n: _plain(graph, n) and 1 < np.prod(graph.shape(n.inputs[1])[2:]) <= 9)
    if node is None:
        return False
    _, strides, dilations = _settings(node)
    x, weight = _padded(graph, node), graph.constants[node.inputs[1]]
    sizes, total = graph.shape(node.output)[2:], ""
    for row, column in np.ndindex(*weight.shape[2:]):
        part = x
        for axis, place in ((0, row), (1, column)):
            start = place * dilations[axis]
            stop = start + (sizes[axis] - 1) * strides[axis] + 1
            part = _slice(graph, part, axis + 2, start, stop, strides[axis])
        kernel = graph.keep(weight[:, :, row : row + 1, column : column + 1])
        tap = graph.add("Conv", part, kernel, kernel_shape=[1, 1], group=node.attributes.get("group", 1))
        total = graph.add("Add", total, tap) if total else tap
    if len(node.inputs) > 2:
        total = graph.add("Add", total, graph.keep(graph.constants[node.inputs[2]].reshape(1, -1, 1, 1)))
    return replace(graph, node, total)


@rarer
def inner_channels_apart(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution as the sum of two, over the first channels that it reads and over the others."""

    def wide(node: Node) -> bool:
        return _plain(graph, node) and node.attributes.get("group", 1) == 1 and graph.shape(node.inputs[1])[1] > 3

    node = pick(graph, rng, "Conv", wide)
    if node is None:
        return False
    weight = graph.constants[node.inputs[1]]
    at = int(rng.integers(1, weight.shape[1]))
    parts = graph.add_all("Split", node.inputs[0], _ints(graph, at, weight.shape[1] - at), count=2, axis=1)
    first = graph.add("Conv", parts[0], graph.keep(weight[:, :at]), *node.inputs[2:], **dict(node.attributes))
    second = graph.add("Conv", parts[1], graph.keep(weight[:, at:]), **dict(node.attributes))
    return replace(graph, node, graph.add("Add", first, second))


@rarer
def kernel_widened(graph: Graph, rng: np.random.Generator) -> bool:
    """A window with zeros around it, and as much more padding: for hardware that has one size of window."""

    def tight(node: Node) -> bool:
        return _plain(graph, node) and set(graph.shape(node.inputs[1])[2:]) <= {1, 3}

    node = pick(graph, rng, "Conv", tight)
    if node is None:
        return False
    pads, _, dilations = _settings(node)
    weight = np.pad(graph.constants[node.inputs[1]], ((0, 0), (0, 0), (1, 1), (1, 1)))
    settings = {**node.attributes, "pads": [pad + dilations[place % 2] for place, pad in enumerate(pads)]}
    settings["kernel_shape"] = list(weight.shape[2:])
    return replace(graph, node, graph.add("Conv", node.inputs[0], graph.keep(weight), *node.inputs[2:], **settings))


@rarer
def stride_by_slice(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution at every place, of which every second is taken."""
    node = pick(graph, rng, "Conv", lambda n: _plain(graph, n) and max(_settings(n)[1]) > 1)
    if node is None:
        return False
    strides = _settings(node)[1]
    y = graph.add("Conv", *node.inputs, **{**node.attributes, "strides": [1, 1]})
    for axis, stride in enumerate(strides):
        y = _slice(graph, y, axis + 2, 0, 1 << 30, stride)
    return replace(graph, node, y)


@rarer
def patches_as_product(graph: Graph, rng: np.random.Generator) -> bool:
    """A convolution of patches that do not overlap as a product with each patch in a row."""

    def patches(node: Node) -> bool:
        if not _plain(graph, node) or node.attributes.get("group", 1) != 1:
            return False
        pads, strides, dilations = _settings(node)
        kernel, sizes = graph.shape(node.inputs[1])[2:], graph.shape(node.inputs[0])[2:]
        fits = all(size % stride == 0 for size, stride in zip(sizes, strides, strict=True))
        return [*kernel] == strides and max(strides) > 1 and not any(pads) and set(dilations) == {1} and fits

    node = pick(graph, rng, "Conv", patches)
    if node is None:
        return False
    weight, (batch, inner, *_) = graph.constants[node.inputs[1]], graph.shape(node.inputs[0])
    outer, _, high, wide = weight.shape
    rows, columns = graph.shape(node.output)[2:]
    y = graph.add("Reshape", node.inputs[0], _ints(graph, batch, inner, rows, high, columns, wide))
    y = graph.add("Transpose", y, perm=[0, 2, 4, 1, 3, 5])
    y = graph.add("Reshape", y, _ints(graph, batch, rows * columns, inner * high * wide))
    y = graph.add("MatMul", y, graph.keep(weight.reshape(outer, -1).T))
    y = graph.add("Add", y, node.inputs[2]) if len(node.inputs) > 2 else y
    y = graph.add("Reshape", y, _ints(graph, batch, rows, columns, outer))
    return replace(graph, node, graph.add("Transpose", y, perm=[0, 3, 1, 2]))


@rarer
def deconvolution_as_blocks(graph: Graph, rng: np.random.Generator) -> bool:
    """A transposed convolution whose windows do not overlap as one of 1 × 1 and DepthToSpace."""

    def blocks(node: Node) -> bool:
        if not _plain(graph, node) or node.attributes.get("group", 1) != 1:
            return False
        pads, strides, _ = _settings(node)
        plain = not any(pads) and not any(node.attributes.get("output_padding", ()))
        return plain and len({*strides, *graph.shape(node.inputs[1])[2:]}) == 1

    node = pick(graph, rng, "ConvTranspose", blocks)
    if node is None:
        return False
    weight, block = graph.constants[node.inputs[1]], _settings(node)[1][0]
    kernel = weight.transpose(1, 2, 3, 0).reshape(-1, weight.shape[0], 1, 1)
    more = [graph.keep(np.repeat(graph.constants[name], block**2)) for name in node.inputs[2:]]
    y = graph.add("Conv", node.inputs[0], graph.keep(kernel), *more, kernel_shape=[1, 1])
    return replace(graph, node, graph.add("DepthToSpace", y, blocksize=block, mode="CRD"))


@rarer
def shuffle_as_deconvolution(graph: Graph, rng: np.random.Generator) -> bool:
    """DepthToSpace as a transposed convolution with ones."""
    node = pick(graph, rng, "DepthToSpace", lambda n: n.attributes.get("mode") == "CRD")
    if node is None:
        return False
    block, inner = node.attributes["blocksize"], graph.shape(node.inputs[0])[1]
    weight = np.zeros((inner, inner // block**2, block, block), np.float32)
    for place in range(inner):
        channel, within = divmod(place, block**2)
        weight[place, channel, within // block, within % block] = 1
    settings = {"kernel_shape": [block, block], "strides": [block, block]}
    return replace(graph, node, graph.add("ConvTranspose", node.inputs[0], graph.keep(weight), **settings))


@rarer
def pool_by_reshape(graph: Graph, rng: np.random.Generator) -> bool:
    """Pooling whose windows do not overlap as a reduction of two axes."""

    def blocks(node: Node) -> bool:
        of, sizes = node.attributes, graph.shape(node.inputs[0])[2:]
        plain = not any(of.get("pads", ())) and not of.get("ceil_mode") and len(sizes) == 2
        return (
            plain
            and of["kernel_shape"] == of.get("strides")
            and sizes[0] % of["kernel_shape"][0] == 0 == (sizes[1] % of["kernel_shape"][1])
        )

    node = pick(graph, rng, "MaxPool AveragePool", blocks)
    if node is None:
        return False
    (batch, width, rows, columns), (high, wide) = graph.shape(node.inputs[0]), node.attributes["kernel_shape"]
    x = graph.add("Reshape", node.inputs[0], _ints(graph, batch, width, rows // high, high, columns // wide, wide))
    op, kept = "ReduceMax" if node.op == "MaxPool" else "ReduceMean", {"keepdims": 0}
    if graph.opset >= 18:
        return replace(graph, node, graph.add(op, x, _ints(graph, 3, 5), **kept))
    return replace(graph, node, graph.add(op, x, axes=[3, 5], **kept))


@rarer
def resize_as_products(graph: Graph, rng: np.random.Generator) -> bool:
    """A linear resize as a product with a matrix for the rows and one for the columns."""

    def linear(node: Node) -> bool:
        return node.attributes.get("mode") == "linear" and graph.rank(node.inputs[0]) == 4

    node = pick(graph, rng, "Resize", linear)
    if node is None:
        return False
    how = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    before, after = graph.shape(node.inputs[0])[2:], graph.shape(node.output)[2:]
    rows, columns = (_interpolation(*sizes, how) for sizes in zip(before, after, strict=True))
    y = graph.add("MatMul", graph.keep(rows), node.inputs[0])
    return replace(graph, node, graph.add("MatMul", y, graph.keep(columns.T)))


def _interpolation(before: int, after: int, how: str) -> Array:
    """[after, before]: what each new place takes of the old ones."""
    places = np.arange(after)
    at = places * (before - 1) / max(after - 1, 1) if how == "align_corners" else (places + 0.5) * before / after - 0.5
    at = np.clip(at, 0, before - 1)
    low = np.minimum(np.floor(at).astype(int), before - 1)
    matrix = np.zeros((after, before))
    matrix[places, low] += 1 - (at - low)
    matrix[places, np.minimum(low + 1, before - 1)] += at - low
    return matrix

"""OpenVINO models for tests, built layer by layer or converted by its own converter."""

from __future__ import annotations

import numpy as np


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network():
    """Convolutions, a branch, a norm, a pool and a dense layer."""
    import openvino as ov
    import openvino.opset13 as build

    x = build.parameter([1, 3, 8, 8], np.float32, name="image")
    first = build.convolution(x, draw(4, 3, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1], name="first")
    biased = build.add(first, draw(1, 4, 1, 1, seed=1), name="biased")
    active = build.relu(biased, name="active")
    grouped = build.group_convolution(
        active, draw(2, 2, 2, 3, 3, seed=2), [1, 1], [1, 1], [1, 1], [1, 1], name="grouped"
    )
    joined = build.add(active, grouped, name="joined")
    halves = build.split(joined, np.int64(1), 2, name="halves")
    normed = build.mvn(
        build.concat([halves.output(1), halves.output(0)], 1), np.array([2, 3]), True, 1e-5, "inside_sqrt"
    )
    pooled = build.reduce_mean(build.sigmoid(normed), np.array([2, 3]), False, name="pooled")
    dense = build.matmul(pooled, draw(5, 4, seed=3), False, True, name="dense")
    result = build.softmax(dense, 1, name="chances")
    return ov.Model([build.result(result, name="end")], [x], "network")


def save(model, folder, name="model", *, half=False):
    import openvino as ov

    path = folder / f"{name}.xml"
    ov.save_model(model, str(path), compress_to_fp16=half)
    return path


def one_layer(make, *inputs):
    """A model of a single layer on inputs of these shapes (float32), or like these arrays."""
    import openvino as ov
    import openvino.opset13 as build

    arrays = [draw(*each, seed=k) if isinstance(each, tuple) else np.asarray(each) for k, each in enumerate(inputs)]
    parameters = [build.parameter(list(a.shape), a.dtype.type, name=f"x{k}") for k, a in enumerate(arrays)]
    node = make(build, *parameters)
    model = ov.Model([build.result(output) for output in node.outputs()], parameters, "layer")
    return model, {f"x{k}": array for k, array in enumerate(arrays)}


def ints(*numbers):
    return np.array(numbers, np.int64)


LAYERS = {
    "conv": (lambda o, x: o.convolution(x, draw(4, 3, 3, 3), [2, 1], [1, 0], [0, 1], [1, 2]), (1, 3, 9, 9)),
    "conv_same_upper": (
        lambda o, x: o.convolution(x, draw(4, 3, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_upper"),
        (1, 3, 8, 8),
    ),
    "conv_same_lower": (
        lambda o, x: o.convolution(x, draw(4, 3, 3, 3), [2, 2], [0, 0], [0, 0], [1, 1], "same_lower"),
        (1, 3, 8, 8),
    ),
    "conv_valid": (
        lambda o, x: o.convolution(x, draw(4, 3, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1], "valid"),
        (1, 3, 8, 8),
    ),
    "conv1d": (lambda o, x: o.convolution(x, draw(4, 3, 3), [1], [1], [1], [1]), (2, 3, 9)),
    "conv3d": (
        lambda o, x: o.convolution(x, draw(4, 3, 3, 3, 3), [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]),
        (1, 3, 5, 5, 5),
    ),
    "group": (lambda o, x: o.group_convolution(x, draw(2, 3, 2, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]), (1, 4, 7, 7)),
    "depthwise": (
        lambda o, x: o.group_convolution(x, draw(4, 1, 1, 3, 3), [2, 2], [1, 1], [1, 1], [1, 1]),
        (1, 4, 7, 7),
    ),
    "transposed": (
        lambda o, x: o.convolution_backprop_data(
            x, draw(3, 4, 3, 3), [2, 2], None, [1, 1], [1, 1], [1, 1], "explicit", [1, 1]
        ),
        (1, 3, 5, 5),
    ),
    "transposed_sized": (
        lambda o, x: o.convolution_backprop_data(
            x, draw(3, 4, 3, 3), [2, 2], ints(10, 10), [0, 0], [0, 0], [1, 1], "same_upper"
        ),
        (1, 3, 5, 5),
    ),
    "transposed_lower": (
        lambda o, x: o.convolution_backprop_data(
            x, draw(3, 4, 3, 3), [2, 2], ints(10, 10), [0, 0], [0, 0], [1, 1], "same_lower"
        ),
        (1, 3, 5, 5),
    ),
    "transposed_groups": (
        lambda o, x: o.group_convolution_backprop_data(
            x, draw(2, 2, 3, 3, 3), [2, 2], None, [1, 1], [1, 1], [1, 1], "explicit", [0, 0]
        ),
        (1, 4, 5, 5),
    ),
    "max_pool": (lambda o, x: o.max_pool(x, [2, 2], [1, 1], [0, 1], [1, 0], [3, 3]), (1, 3, 8, 8)),
    "max_pool_ceil": (lambda o, x: o.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil"), (1, 3, 7, 7)),
    "avg_pool": (lambda o, x: o.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], True), (1, 3, 8, 8)),
    "avg_pool_padded": (lambda o, x: o.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], False), (1, 3, 8, 8)),
    "adaptive": (lambda o, x: o.adaptive_avg_pool(x, ints(3, 2)), (1, 3, 8, 7)),
    "matmul": (lambda o, x: o.matmul(x, draw(4, 5), False, False), (2, 3, 4)),
    "matmul_turned": (lambda o, x, y: o.matmul(x, y, True, True), (2, 4, 3), (2, 5, 4)),
    "einsum": (lambda o, x, y: o.einsum([x, y], "abc,dc->abd"), (2, 3, 4), (5, 4)),
    "mvn": (lambda o, x: o.mvn(x, ints(1, 2), True, 1e-3, "inside_sqrt"), (2, 3, 4)),
    "mvn_outside": (lambda o, x: o.mvn(x, ints(-1), True, 1e-1, "outside_sqrt"), (2, 3, 4)),
    "mvn_mean": (lambda o, x: o.mvn(x, ints(-1), False, 1e-1, "outside_sqrt"), (2, 3, 4)),
    "l2_add": (lambda o, x: o.normalize_l2(x, ints(1), 0.5, "add"), (2, 3, 4, 4)),
    "l2_max": (lambda o, x: o.normalize_l2(x, ints(1), 4.0, "max"), (2, 3, 4, 4)),
    "batch_norm": (
        lambda o, x: o.batch_norm_inference(x, draw(3), draw(3, seed=1), draw(3, seed=2), abs(draw(3, seed=3)), 1e-3),
        (2, 3, 4, 4),
    ),
    "group_norm": (lambda o, x: o.group_normalization(x, draw(4), draw(4, seed=1), 2, 1e-3), (2, 4, 3, 3)),
    "lrn": (lambda o, x: o.lrn(x, ints(1), 0.1, 0.75, 2.0, 3), (1, 6, 4, 4)),
    "softmax": (lambda o, x: o.softmax(x, 1), (2, 3, 4)),
    "log_softmax": (lambda o, x: o.log_softmax(x, -1), (2, 3, 4)),
    **{
        word: (lambda o, x, word=word: getattr(o, word)(x), (3, 4))
        for word in "relu sigmoid tanh exp abs floor ceiling sign sin cos tan atan sinh cosh asinh erf negative mish "
        "softplus softsign hswish hsigmoid".split()
    },
    "round": (lambda o, x: o.round(o.multiply(x, np.float32(2)), "half_to_even"), (3, 4)),
    "sqrt": (lambda o, x: o.sqrt(o.abs(x)), (3, 4)),
    "log": (lambda o, x: o.log(o.abs(x)), (3, 4)),
    "clamp": (lambda o, x: o.clamp(x, -0.5, 0.7), (3, 4)),
    "elu": (lambda o, x: o.elu(x, 0.7), (3, 4)),
    "selu": (lambda o, x: o.selu(x, np.float32(1.6), np.float32(1.1)), (3, 4)),
    "hard_sigmoid": (lambda o, x: o.hard_sigmoid(x, np.float32(0.3), np.float32(0.4)), (3, 4)),
    "swish": (lambda o, x: o.swish(x), (3, 4)),
    "swish_beta": (lambda o, x: o.swish(x, np.float32(1.5)), (3, 4)),
    "gelu": (lambda o, x: o.gelu(x, "erf"), (3, 4)),
    "gelu_tanh": (lambda o, x: o.gelu(x, "tanh"), (3, 4)),
    "prelu": (lambda o, x: o.prelu(x, draw(3)), (2, 3, 4)),
    "prelu_one": (lambda o, x: o.prelu(x, draw(1)), (2, 3, 4)),
    "prelu_wide": (lambda o, x: o.prelu(x, draw(3, 4)), (2, 3, 4)),
    **{
        word: (lambda o, x, y, word=word: getattr(o, word)(x, y), (2, 3, 4), (3, 1))
        for word in "add subtract multiply divide maximum minimum squared_difference mod floor_mod less greater equal "
        "not_equal less_equal greater_equal".split()
    },
    "power": (lambda o, x: o.power(o.abs(x), np.float32(1.5)), (3, 4)),
    **{
        f"reduce_{word}": (lambda o, x, word=word: getattr(o, f"reduce_{word}")(x, ints(-1, 1), True), (2, 3, 4, 5))
        for word in "mean sum max min prod l1 l2".split()
    },
    "reduce_flat": (lambda o, x: o.reduce_mean(x, ints(2), False), (2, 3, 4)),
    "cum_sum": (lambda o, x: o.cum_sum(x, np.int64(1), True, True), (2, 5)),
    "transpose": (lambda o, x: o.transpose(x, ints(2, 0, 1)), (2, 3, 4)),
    "reshape": (lambda o, x: o.reshape(x, ints(0, -1), True), (2, 3, 4)),
    "squeeze": (lambda o, x: o.squeeze(x, ints(1)), (2, 1, 4)),
    "unsqueeze": (lambda o, x: o.unsqueeze(x, ints(0, 2)), (2, 4)),
    "broadcast": (lambda o, x: o.broadcast(x, ints(2, 3, 4)), (3, 1)),
    "tile": (lambda o, x: o.tile(x, ints(2, 1, 3)), (2, 4)),
    "concat": (lambda o, x, y: o.concat([x, y], -1), (2, 3), (2, 4)),
    "pad": (lambda o, x: o.pad(x, ints(0, 1), ints(2, 0), "constant", np.float32(1.5)), (3, 4)),
    "pad_reflect": (lambda o, x: o.pad(x, ints(0, 1), ints(2, 2), "reflect"), (3, 4)),
    "pad_edge": (lambda o, x: o.pad(x, ints(1, 1), ints(2, 2), "edge"), (3, 4)),
    "pad_symmetric": (lambda o, x: o.pad(x, ints(1, 1), ints(2, 2), "symmetric"), (3, 4)),
    "split": (lambda o, x: o.split(x, np.int64(1), 3), (2, 6)),
    "split_sizes": (lambda o, x: o.variadic_split(x, np.int64(-1), ints(1, -1, 2)), (2, 6)),
    "depth_first": (lambda o, x: o.depth_to_space(x, "depth_first", 2), (1, 8, 3, 3)),
    "blocks_first": (lambda o, x: o.depth_to_space(x, "blocks_first", 2), (1, 8, 3, 3)),
    "space_to_depth": (lambda o, x: o.space_to_depth(x, "blocks_first", 2), (1, 3, 4, 4)),
    "space_to_depth_first": (lambda o, x: o.space_to_depth(x, "depth_first", 2), (1, 3, 4, 4)),
    "shuffle": (lambda o, x: o.shuffle_channels(x, 1, 3), (1, 6, 4, 4)),
    "roll": (lambda o, x: o.roll(x, ints(1, -2), ints(0, 1)), (3, 5)),
    "slice": (lambda o, x: o.slice(x, ints(4, 0), ints(0, 3), ints(-2, 1), ints(1, 0)), (3, 5)),
    "strided_slice": (
        lambda o, x: o.strided_slice(x, ints(0, 1, 0), ints(0, -1, 2), ints(1, 2, 1), [1, 0, 1], [1, 0, 0]),
        (2, 6, 4),
    ),
    "strided_drop": (
        lambda o, x: o.strided_slice(x, ints(1, 0), ints(2, 3), ints(1, 1), [0, 0], [0, 0], [0, 0], [1, 0]),
        (2, 6, 4),
    ),
    "strided_back": (lambda o, x: o.strided_slice(x, ints(0, -1), ints(0, 0), ints(1, -1), [1, 0], [1, 1]), (2, 6, 4)),
    "gather": (lambda o, x: o.gather(x, np.array([[0, 2], [1, 1]]), np.int64(1)), (2, 3, 4)),
    "gather_negative": (lambda o, x: o.gather(x, ints(-1, 0), np.int64(-1)), (2, 3, 4)),
    "gather_elements": (lambda o, x: o.gather_elements(x, np.array([[0, 1], [2, 0]]), 1), (2, 3)),
    "gather_nd": (lambda o, x: o.gather_nd(x, np.array([[0, 1], [1, 2]]), 0), (2, 3, 4)),
    "scatter_elements": (
        lambda o, x: o.scatter_elements_update(x, np.array([[0, 1], [2, 0]]), draw(2, 2), np.int64(1)),
        (2, 3),
    ),
    "scatter_nd": (lambda o, x: o.scatter_nd_update(x, np.array([[0], [2]]), draw(2, 4)), (3, 4)),
    "scatter": (lambda o, x: o.scatter_update(x, ints(2, 0), draw(2, 4), np.int64(0)), (3, 4)),
    "one_hot": (lambda o, x: o.one_hot(x, np.int64(4), np.float32(2), np.float32(-1), -1), np.array([[0, 3], [2, 1]])),
    "select": (lambda o, x, y: o.select(o.greater(x, y), x, y), (3, 4), (3, 4)),
    "top_k": (lambda o, x: o.topk(x, np.int64(3), 1, "max", "value"), (2, 7)),
    "top_k_least": (lambda o, x: o.topk(x, np.int64(3), 0, "min", "value"), (7, 2)),
    "fake_quantize": (
        lambda o, x: o.fake_quantize(
            x, np.float32(-1), np.float32(1 - 2 / 256), np.float32(-1), np.float32(1 - 2 / 256), 256
        ),
        (3, 4),
    ),
    "fake_quantize_channels": (
        lambda o, x: o.fake_quantize(
            x, -abs(draw(1, 3, 1)), abs(draw(1, 3, 1)), -abs(draw(1, 3, 1)), abs(draw(1, 3, 1)), 255
        ),
        (2, 3, 4),
    ),
    "nearest": (lambda o, x: o.interpolate(x, ints(7, 9), "nearest", "sizes", axes=ints(2, 3)), (1, 2, 4, 5)),
    "nearest_simple": (
        lambda o, x: o.interpolate(
            x,
            ints(8, 3),
            "nearest",
            "sizes",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="simple",
            axes=ints(2, 3),
        ),
        (1, 2, 4, 3),
    ),
    "nearest_tf": (
        lambda o, x: o.interpolate(
            x,
            ints(7, 9),
            "nearest",
            "sizes",
            coordinate_transformation_mode="tf_half_pixel_for_nn",
            nearest_mode="floor",
            axes=ints(2, 3),
        ),
        (1, 2, 4, 5),
    ),
    "linear": (lambda o, x: o.interpolate(x, ints(7, 9), "linear_onnx", "sizes", axes=ints(2, 3)), (1, 2, 4, 5)),
    "linear_corners": (
        lambda o, x: o.interpolate(
            x, ints(7, 9), "linear_onnx", "sizes", coordinate_transformation_mode="align_corners", axes=ints(2, 3)
        ),
        (1, 2, 4, 5),
    ),
    "linear_scales": (
        lambda o, x: o.interpolate(
            x,
            np.float32([1.7, 2.3]),
            "linear_onnx",
            "scales",
            coordinate_transformation_mode="asymmetric",
            axes=ints(2, 3),
        ),
        (1, 2, 4, 5),
    ),
    "cubic": (lambda o, x: o.interpolate(x, ints(7, 9), "cubic", "sizes", axes=ints(2, 3)), (1, 2, 4, 5)),
    "attention": (lambda o, q, k, v: o.scaled_dot_product_attention(q, k, v), (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)),
    "attention_causal": (
        lambda o, q, k, v: o.scaled_dot_product_attention(q, k, v, causal=True),
        (1, 2, 5, 4),
        (1, 2, 5, 4),
        (1, 2, 5, 4),
    ),
    "lstm": (
        lambda o, x: o.lstm_sequence(
            x,
            draw(2, 1, 4),
            draw(2, 1, 4, seed=1),
            np.int32([5, 5]),
            draw(1, 16, 3),
            draw(1, 16, 4),
            draw(1, 16),
            4,
            "FORWARD",
        ),
        (2, 5, 3),
    ),
    "lstm_both": (
        lambda o, x: o.lstm_sequence(
            x,
            draw(2, 2, 4),
            draw(2, 2, 4, seed=1),
            np.int32([5, 5]),
            draw(2, 16, 3),
            draw(2, 16, 4),
            draw(2, 16),
            4,
            "BIDIRECTIONAL",
        ),
        (2, 5, 3),
    ),
    "gru": (
        lambda o, x: o.gru_sequence(
            x, draw(2, 1, 4), np.int32([5, 5]), draw(1, 12, 3), draw(1, 12, 4), draw(1, 12), 4, "FORWARD"
        ),
        (2, 5, 3),
    ),
    "gru_after": (
        lambda o, x: o.gru_sequence(
            x,
            draw(2, 1, 4),
            np.int32([5, 5]),
            draw(1, 12, 3),
            draw(1, 12, 4),
            draw(1, 16),
            4,
            "FORWARD",
            linear_before_reset=True,
        ),
        (2, 5, 3),
    ),
    "rnn": (
        lambda o, x: o.rnn_sequence(
            x, draw(2, 1, 4), np.int32([5, 5]), draw(1, 4, 3), draw(1, 4, 4), draw(1, 4), 4, "REVERSE"
        ),
        (2, 5, 3),
    ),
    "dft": (lambda o, x: o.dft(x, ints(-1, 0)), (3, 4, 2)),
    "idft": (lambda o, x: o.idft(x, ints(0), ints(5)), (3, 4, 2)),
    "rdft": (lambda o, x: o.rdft(x, ints(-1, 0)), (3, 5)),
    "irdft": (lambda o, x: o.irdft(x, ints(0, 1), ints(3, 5)), (3, 3, 2)),
    "range": (lambda o, x: o.add(x, o.convert(o.range(np.int64(1), np.int64(5), np.int64(1), "i64"), "f32")), (3, 4)),
}
"""Name → what builds one layer, and its inputs."""


def quantized(*, levels=True, top=6.0):
    """Two convolutions and a dense layer, in 8 bits as NNCF writes them, or as they were (``levels`` false).

    Weights take 7 bits, as NNCF gives processors without VNNI, whose sums of products would saturate. ``top``: the end
    of the range of the second convolution's input.
    """
    import openvino as ov
    import openvino.opset13 as build

    kernels = [draw(8, 3, 3, 3, seed=1) * 0.3, draw(8, 8, 3, 3, seed=2) * 0.2, draw(10, 8, seed=3)]

    def weight(array, name):
        if not levels:
            return build.constant(array, name=name)
        scale = (np.abs(array).reshape(len(array), -1).max(1) / 63).reshape(-1, *(1,) * (array.ndim - 1))
        stored = np.rint(array / scale).astype(np.int8)
        return build.multiply(build.convert(build.constant(stored), "f32"), scale.astype(np.float32), name=name)

    def rounded(source, low, high):
        if not levels:
            return source
        ends = [np.float32(end) for end in (low, high)] * 2
        return build.fake_quantize(source, *ends, 256, name=f"{source.get_friendly_name()}/fq")

    def layer(source, number, stride, low, high):
        kernel, ones = weight(kernels[number], f"k{number}"), [1, 1]
        conv = build.convolution(
            rounded(source, low, high), kernel, [stride, stride], ones, ones, ones, name=f"c{number}"
        )
        return build.relu(conv, name=f"r{number}")

    x = build.parameter([1, 3, 16, 16], np.float32, name="x")
    second = layer(layer(x, 0, 1, -4, 4 * 127 / 128), 1, 2, 0, top)
    mean = build.reduce_mean(second, np.array([2, 3]), False, name="mean")
    return ov.Model([build.result(build.matmul(mean, weight(kernels[2], "k2"), False, True, name="y"))], [x], "eight")

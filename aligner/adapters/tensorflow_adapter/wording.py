"""Keras' words."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.adapters.wording import Wording, argument


def padding(pads: Sequence[tuple[int, int]]) -> str:
    """What pads a layer's input by (begin, end) for each axis; layers pad by a word.

    The axes between samples and channels count, wherever channels stand.
    """
    spatial = tuple(map(tuple, pads if len(pads) < 4 else [pair for pair in pads[1:] if any(pair)]))
    if not any(map(any, spatial)):
        return 'padding="valid"'
    return f'ZeroPadding{len(spatial)}D({spatial}) before a layer with padding="valid"'


WORDING = Wording(
    "Keras",
    settings={
        "epsilon": argument("epsilon"),
        "axis": argument("axis"),
        "strides": argument("strides"),
        "dilations": argument("dilation_rate"),
        "groups": argument("groups"),
        "pads": padding,
        "pad.pads": lambda _: None,
        "approximate": lambda form: f"approximate={form == 'tanh'}",
        "leaky_relu.alpha": argument("negative_slope"),
        "elu.alpha": argument("alpha"),
        "antialias": argument("antialias"),
        "training": lambda training: f"model(x, training={bool(training)})",
    },
    advice={
        "inference-mode": "model(x, training=False)",
        "exported-choice": "tf.cond or tf.where in a tf.function",
        "rounded-division": "tf.math.floordiv or tf.truncatediv",
        "loaded-weights": "load_weights without skip_mismatch",
        "order-of-blocks": "tf.nn.depth_to_space is DCR",
    },
    # the fused kernel takes no less, "a requirement by CUDNN to prevent exception": fused_batch_norm in
    # tensorflow/python/ops/nn_impl.py (v1), min_epsilon
    least={"norm.epsilon": 1.001e-5},
)

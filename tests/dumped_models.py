"""A small convolutional network as ONNX, what it computes, and what it computes with a fault planted."""

from __future__ import annotations

import numpy as np
from onnx_models import model, node, value, weights

NAMES = (
    "/c1/Conv_output_0",
    "/act1/Relu_output_0",
    "/c2/Conv_output_0",
    "/act2/Relu_output_0",
    "/head/Gemm_output_0",
    "y",
)


def network(fault=None):
    """conv, relu, conv, relu, mean, gemm, softmax; ``fault`` flips the second kernel."""
    rng = np.random.default_rng(5)

    def drawn(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    arrays = {
        "c1.w": drawn(6, 3, 3, 3),
        "c1.b": drawn(6, 1)[:, 0],
        "c2.w": drawn(5, 6, 3, 3),
        "c2.b": drawn(5, 1)[:, 0],
    }
    arrays |= {"head.w": drawn(7, 5), "head.b": drawn(7, 1)[:, 0]}
    if fault == "kernel":
        arrays["c2.w"] = arrays["c2.w"][:, :, ::-1].copy()
    pads = [0, 0, 2, 2] if fault == "padding" else [1, 1, 1, 1]
    nodes = [
        node("Conv", ["x", "c1.w", "c1.b"], [NAMES[0]], "/c1/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", [NAMES[0]], [NAMES[1]], "/act1/Relu"),
        node(
            "Conv", [NAMES[1], "c2.w", "c2.b"], [NAMES[2]], "/c2/Conv", kernel_shape=[3, 3], pads=pads, strides=[2, 2]
        ),
        node("Relu", [NAMES[2]], [NAMES[3]], "/act2/Relu"),
        node("GlobalAveragePool", [NAMES[3]], ["/pool/out"], "/pool/GlobalAveragePool"),
        node("Flatten", ["/pool/out"], ["/flat/out"], "/flat/Flatten"),
        node("Gemm", ["/flat/out", "head.w", "head.b"], [NAMES[4]], "/head/Gemm", transB=1),
        node("Softmax", [NAMES[4]], ["y"], "/softmax/Softmax", axis=-1),
    ]
    return model(nodes, [value("x", 1, [1, 3, 8, 10])], [value("y", 1, [1, 7])], weights(**arrays), opset=17)


def picture():
    return np.random.default_rng(7).random((1, 3, 8, 10), dtype=np.float32)


def computed(made, x):
    """Every tensor of interest of a run, by its true name; the input too."""
    import onnxruntime
    from onnx import TensorProto, helper

    made = type(made).FromString(made.SerializeToString())
    inner = [name for name in NAMES if name != "y"]
    made.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return {"x": x, **dict(zip(NAMES, session.run(list(NAMES), {"x": x}), strict=True))}

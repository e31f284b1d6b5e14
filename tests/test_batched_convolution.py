"""A dilated convolution spelled as a plain one over pieces of the image: one region, not its inside."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

import aligner
from aligner.operations.kernels import moving  # noqa: F401 - registers what it computes
from aligner.operations.operation import Operation, compute

RNG = np.random.default_rng(3)
KERNEL = (RNG.standard_normal((6, 4, 3, 3)) / 6).astype(np.float32)
BIAS = RNG.standard_normal(6).astype(np.float32)
HEAD = (RNG.standard_normal((5, 6, 1, 1)) / 2).astype(np.float32)
X = RNG.standard_normal((1, 4, 9, 10)).astype(np.float32)


def network(pieces: bool, kernel: np.ndarray = KERNEL):
    """Conv (dilated by two) → bias → ReLU → Conv; ``pieces``: cut into four images, joined again and cropped."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stored = {"kernel": kernel, "bias": BIAS, "head": HEAD}
    start = [helper.make_node("LeakyRelu", ["image"], ["x"], alpha=0.3)]
    if pieces:
        numbers = {
            "pads": [0, 0, 2, 2, 0, 0, 3, 2],
            "cut": [1, 4, 7, 2, 7, 2],
            "batch": [4, 4, 7, 7],
            "apart": [2, 2, 1, 6, 5, 5],
            "joined": [1, 6, 10, 10],
            "begin": [0, 0],
            "end": [9, 10],
            "axes": [2, 3],
            "across": [1, 6, 1, 1],
        }
        stored |= {name: np.array(value, np.int64) for name, value in numbers.items()}
        stored["offsets"] = BIAS.reshape(1, 6, 1, 1)
        nodes = [
            helper.make_node("Pad", ["x", "pads"], ["p"]),
            helper.make_node("Reshape", ["p", "cut"], ["c"]),
            helper.make_node("Transpose", ["c"], ["t"], perm=[3, 5, 0, 1, 2, 4]),
            helper.make_node("Reshape", ["t", "batch"], ["b"]),
            helper.make_node("Conv", ["b", "kernel"], ["d"], name="inner"),
            helper.make_node("Reshape", ["d", "apart"], ["e"]),
            helper.make_node("Transpose", ["e"], ["f"], perm=[2, 3, 4, 0, 5, 1]),
            helper.make_node("Reshape", ["f", "joined"], ["g"]),
            helper.make_node("Slice", ["g", "begin", "end", "axes"], ["h"], name="crop"),
            helper.make_node("Add", ["h", "offsets"], ["y"]),
        ]
    else:
        nodes = [helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], dilations=[2, 2], pads=[2, 2, 2, 2])]
    end = [helper.make_node("Relu", ["y"], ["r"]), helper.make_node("Conv", ["r", "head"], ["out"])]
    graph = helper.make_graph(
        [*start, *nodes, *end],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5, 9, 10])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


@requires_onnx
@pytest.mark.parametrize("pieces", [(False, True), (True, False)])
def test_a_convolution_in_pieces_answers_the_dilated_one_as_a_whole(pieces):
    result = aligner.compare(*map(network, pieces), {"image": X})
    assert result.verdict == "aligned"
    paired = {(pair.reference.name, pair.candidate.name) for pair in result.pairs}
    assert {("x", "x"), ("y", "y"), ("r", "r")} <= paired
    assert not {name for pair in paired for name in pair} & {"b", "d"}


@requires_onnx
def test_a_fault_inside_is_found_at_the_end_of_the_pieces():
    result = aligner.compare(network(False), network(True, np.ascontiguousarray(KERNEL[..., ::-1])), {"image": X})
    assert result.first_divergence.candidate.name == "y"
    assert result.causes[0].id == "weights-permuted"


def test_pieces_of_a_batch_are_cut_and_joined_as_tensorflow_does():
    x = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)
    settings = {"block": (2, 2), "amounts": ((0, 0), (0, 0))}
    cut = compute(Operation("space_to_batch", settings, (x,)))
    assert cut[..., 0].tolist() == [[[1, 3], [9, 11]], [[2, 4], [10, 12]], [[5, 7], [13, 15]], [[6, 8], [14, 16]]]
    assert np.array_equal(compute(Operation("batch_to_space", settings, (cut,))), x)
    padded = {"block": (2, 2), "amounts": ((1, 1), (2, 0))}
    cut = compute(Operation("space_to_batch", padded, (x,)))
    assert cut.shape == (4, 3, 3, 1)
    assert np.array_equal(compute(Operation("batch_to_space", padded, (cut,))), x)

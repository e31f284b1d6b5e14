"""Small ONNX models for the tests, written by hand."""

from __future__ import annotations

import numpy as np


def value(name, element=1, shape=()):
    from onnx import helper

    return helper.make_tensor_value_info(name, element, shape)


def node(op, inputs, outputs, name="", **attributes):
    from onnx import helper

    return helper.make_node(op, inputs, outputs, name, **attributes)


def weights(**arrays):
    from onnx import numpy_helper

    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def model(nodes, inputs, outputs, initializers=(), *, opset=18, ir_version=8, domains=(), functions=()):
    from onnx import helper

    graph = helper.make_graph(nodes, "tested", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions))


def branch(nodes, output, initializers=()):
    from onnx import helper

    return helper.make_graph(nodes, "branch", [], [value(output, 1, None)], list(initializers))


def chain(length=6, width=8):
    """y = relu(x·W + b) repeated; a large weight matrix is shared by all turns."""
    rng = np.random.default_rng(3)
    matrix = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
    nodes, last = [], "x"
    for turn in range(length):
        nodes += [
            node("MatMul", [last, "matrix"], [f"m{turn}"], f"matmul_{turn}"),
            node("Constant", [], [f"k{turn}"], f"constant_{turn}", value_float=0.25 * turn),
            node("Add", [f"m{turn}", f"k{turn}"], [f"a{turn}"], f"add_{turn}"),
            node("Relu", [f"a{turn}"], [f"r{turn}"], f"relu_{turn}"),
        ]
        last = f"r{turn}"
    nodes.append(node("Add", [last, "r0"], ["y"], "skip"))
    return model(nodes, [value("x", 1, ["n", width])], [value("y", 1, ["n", width])], weights(matrix=matrix))


def nested_branches():
    """An If inside an If; both branches use the names of the other, one inner name is also used outside."""
    low = branch([node("Neg", ["deep"], ["out"], "neg")], "out")
    high = branch([node("Abs", ["deep"], ["out"], "abs")], "out")
    then = branch(
        [
            node("Mul", ["x", "three"], ["deep"], "scale"),
            node("Constant", [], ["yes"], "yes", value_int=1),
            node("Cast", ["yes"], ["flag"], "flag", to=9),
            node("If", ["flag"], ["result"], "inner", then_branch=low, else_branch=high),
        ],
        "result",
        weights(three=np.float32(3)),
    )
    other = branch([node("Exp", ["x"], ["deep"], "exp"), node("Relu", ["deep"], ["result"], "relu")], "result")
    nodes = [
        node("Equal", ["rate", "wanted"], ["is_wanted"], "equal"),
        node("If", ["is_wanted"], ["chosen"], "outer", then_branch=then, else_branch=other),
        node("Tanh", ["chosen"], ["three"], "tanh"),
    ]
    inputs = [value("x", 1, [4]), value("rate", 7, [])]
    return model(nodes, inputs, [value("three", 1, [4])], weights(wanted=np.int64(16000)))

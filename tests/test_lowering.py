"""What an operation lowers to ends in what the operation computes."""

from __future__ import annotations

import numpy as np
import pytest

from aligner.operations.lowering import lower, lowers
from aligner.operations.operation import Operation, Unsupported, compute

RNG = np.random.default_rng(3)


def drawn(*shape):
    return RNG.normal(size=shape)


CONV = {"strides": (2, 1), "dilations": (1, 1), "pads": ((1, 0), (2, 1)), "groups": 1}
POOL = {"kernel": (3, 3), "strides": (2, 2), "pads": ((1, 1), (0, 1)), "dilations": (1, 1), "ceil": False}
AFFINE = {"scale": drawn(4), "shift": drawn(4)}

CASES = {
    "linear": Operation(
        "matmul", {"scale": 0.5, "linear": True}, (drawn(3, 4),), {"kernel": drawn(5, 4), "bias": drawn(5)}
    ),
    "conv": Operation(
        "conv",
        CONV | {"channels": "first", "fused_activation": "relu6"},
        (drawn(1, 3, 6, 5),),
        {"kernel": drawn(4, 3, 3, 2), "bias": drawn(4)},
    ),
    "conv_channels_last": Operation(
        "conv", CONV | {"channels": "last"}, (drawn(1, 6, 5, 3),), {"kernel": drawn(4, 3, 3, 2), "bias": drawn(4)}
    ),
    "pool": Operation("max_pool", POOL | {"channels": "first"}, (drawn(1, 2, 7, 6) - 3,)),
    "batch": Operation(
        "norm",
        {"form": "batch", "epsilon": 1e-3, "axis": 1, "training": False},
        (drawn(2, 4, 3),),
        AFFINE | {"mean": drawn(4), "variance": drawn(4) ** 2},
    ),
    "layer": Operation("norm", {"form": "layer", "epsilon": 1e-5, "axis": 1, "axes": (2,)}, (drawn(2, 3, 4),), AFFINE),
    "rms": Operation(
        "norm", {"form": "rms", "epsilon": 1e-5, "axis": 1, "axes": (2,)}, (drawn(2, 3, 4),), {"scale": drawn(4)}
    ),
    "instance": Operation("norm", {"form": "instance", "epsilon": 1e-5, "axis": 1}, (drawn(2, 4, 3, 3),), AFFINE),
    "softmax": Operation("softmax", {"axis": 1, "beta": 2.0}, (drawn(3, 4),)),
    "log_softmax": Operation("log_softmax", {"axis": 1, "beta": 1.0}, (drawn(3, 4),)),
    "attention": Operation(
        "attention",
        {"scale": 0.3, "causal": True},
        (drawn(1, 2, 5, 4), drawn(1, 2, 5, 4), drawn(1, 2, 5, 4)),
        {"mask": drawn(5, 5)},
    ),
    "gelu": Operation("gelu", {"approximate": "none"}, (drawn(20),)),
    "gelu_tanh": Operation("gelu", {"approximate": "tanh"}, (drawn(20),)),
    "gelu_quick": Operation("gelu", {"approximate": "quick"}, (drawn(20),)),
    "silu": Operation("silu", {"alpha": 1.0}, (drawn(20),)),
    "hardswish": Operation("hardswish", {"alpha": 1 / 6, "beta": 0.5}, (4 * drawn(20),)),
    "hardsigmoid": Operation("hardsigmoid", {"alpha": 0.2, "beta": 0.5}, (4 * drawn(20),)),
    "mish": Operation("mish", {}, (drawn(20),)),
    "squared_difference": Operation("squared_difference", {}, (drawn(4), drawn(4))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_last_primitive_is_the_result(name):
    operation = CASES[name]
    steps = lower(operation)
    assert lowers(operation) and len(steps) > 1
    assert len({step.name for step in steps}) == len(steps)
    assert not any(lowers(step.operation) for step in steps)
    np.testing.assert_allclose(steps[-1].value, compute(operation), rtol=1e-6, atol=1e-9)


def test_a_fused_convolution_shows_its_seams():
    names = [step.name for step in lower(CASES["conv"])]
    assert names == ["padded", "product", "biased", "activation"]


def test_a_primitive_is_its_own_only_step():
    operation = Operation("relu", {}, (drawn(3),))
    assert [step.operation for step in lower(operation)] == [operation]


@pytest.mark.parametrize("word", ["leaky_relu 0.25", "elu 0.5", "clip -0.5 0.5", "relu_n1_to_1", "sigmoid"])
def test_an_activation_fused_in_is_told_its_numbers(word):
    fused = Operation("matmul", {"fused_activation": word}, (drawn(3, 4), drawn(4, 3)))
    before, after = lower(fused)
    kind, *numbers = word.split()
    assert (before.operation.kind, after.name) == ("matmul", "activation")
    assert after.operation.kind == {"relu_n1_to_1": "clip"}.get(kind, kind)
    assert {float(number) for number in numbers} <= {*after.operation.settings.values()}
    np.testing.assert_array_equal(after.value, compute(fused))


@pytest.mark.parametrize("word", ["leaky_relu", "clip 0", "gaussian"])
def test_an_activation_without_its_numbers_is_not_taken_apart(word):
    fused = Operation("softmax", {"axis": 1, "fused_activation": word}, (drawn(3, 4),))
    with pytest.raises(Unsupported, match=word):
        lower(fused)

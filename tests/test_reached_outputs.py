"""Layers of which a part alone reaches the end of a region: the part is compared, and named where it is wrong."""

from __future__ import annotations

import numpy as np
import onnx_models as make
import pytest
from marks import requires_onnx

import aligner

pytestmark = requires_onnx
HIDDEN = 4


def weights(seed):
    rng = np.random.default_rng(seed)
    shapes = {"w": (2, 4 * HIDDEN, 3), "r": (2, 4 * HIDDEN, HIDDEN), "b": (2, 8 * HIDDEN)}
    return {name: rng.standard_normal(shape).astype(np.float32) / 2 for name, shape in shapes.items()}


def model(held, together):
    """Both directions in one node, each cut out of its states; or a node for each."""
    if together:
        lstm = make.node("LSTM", ["x", "w", "r", "b"], ["all"], "cell", hidden_size=HIDDEN, direction="bidirectional")
        nodes = [lstm, make.node("Split", ["all"], ["s0", "s1"], "cut", axis=1, num_outputs=2)]
        stored = held
    else:
        stored = {f"{name}{place}": array[place : place + 1] for name, array in held.items() for place in (0, 1)}
        nodes = [
            make.node(
                "LSTM",
                [f"{name}{place}" if name != "x" else name for name in "xwrb"],
                [f"s{place}"],
                f"cell{place}",
                hidden_size=HIDDEN,
                direction=("forward", "reverse")[place],
            )
            for place in (0, 1)
        ]
    nodes += [make.node("Concat", ["s0", "s1"], ["joined"], axis=3), make.node("Tanh", ["joined"], ["y"], "end")]
    ends = [make.value("x", 1, (6, 1, 3))], [make.value("y", 1, (6, 1, 1, 2 * HIDDEN))]
    return make.model(nodes, *ends, make.weights(**stored), opset=18)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("direction", [0, 1])
def test_one_direction_of_a_cell(direction, together):
    right, wrong = weights(0), weights(0)
    wrong["w"][direction] = weights(1)["w"][direction]
    x = np.random.default_rng(2).standard_normal((6, 1, 3)).astype(np.float32)
    assert aligner.compare(model(right, together), model(right, not together), {"x": x}).verdict == "aligned"
    result = aligner.compare(model(right, together), model(wrong, not together), {"x": x})
    assert [(cause.id[:7], cause.evidence_class) for cause in result.causes] == [("weights", "proven")]
    assert result.causes[0].node == (f"cell{direction}" if together else "cell")
    assert (f"direction {direction}" in result.causes[0].evidence) is not together

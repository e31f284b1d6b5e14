"""Causes in what a region's constant operands are computed from, and behind slices."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx

torch = pytest.importorskip("torch")

from cause_models import Net, causes, image  # noqa: E402

import aligner  # noqa: E402


def placed(offset: int):
    return lambda n, x: x + torch.nn.functional.embedding(torch.arange(5) + offset, n.table)


def test_positions_looked_up_a_row_too_late():
    reference, candidate = (Net(placed(offset), table=(9, 7)) for offset in (0, 1))
    first, *_ = causes(reference, candidate, image((2, 5, 7)))
    assert (first.id, first.explained is not None) == ("embedding-offset", True), first


def rolled(order: list[str]):
    """Rows rolled by two, then columns by three, as exporters spell it; ``order``: the parts of the first."""
    from onnx_models import model, node, value, weights

    def part(source: str, name: str, start: int, end: int, axis: int):
        numbers = {f"{name}_{word}": np.array([n]) for word, n in (("from", start), ("to", end), ("axis", axis))}
        return node("Slice", [source, *numbers], [name]), weights(**numbers)

    parts = [
        part("h", "tail", 6, 8, 1),
        part("h", "head", 0, 6, 1),
        part("r", "right", 5, 8, 2),
        part("r", "left", 0, 5, 2),
    ]
    nodes = [
        node("Relu", ["x"], ["h"]),
        *(each for each, _ in parts[:2]),
        node("Concat", order, ["r"], axis=1),
        *(each for each, _ in parts[2:]),
        node("Concat", ["right", "left"], ["y"], axis=2),
    ]
    shape = (1, 8, 8, 2)
    numbers = [array for _, arrays in parts for array in arrays]
    return model(nodes, [value("x", 1, shape)], [value("y", 1, shape)], numbers)


class Rolled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.roll(torch.relu(x), (2, 3), (1, 2))


@requires_onnx
def test_a_roll_whose_parts_are_joined_the_wrong_way_round():
    x = {"x": image((1, 8, 8, 2))}
    assert aligner.compare(Rolled().eval(), rolled(["tail", "head"]), x).verdict == "aligned"
    found = aligner.compare(Rolled().eval(), rolled(["head", "tail"]), x)
    assert found.causes[0].id == "concat-order" and found.causes[0].explained is not None

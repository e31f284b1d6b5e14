"""Causes in what a region's constant operands are computed from, and behind slices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from marks import requires_onnx

torch = pytest.importorskip("torch")

from cause_models import Net, causes, edited, image, proven  # noqa: E402

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
    def __init__(self, rows: int = 2, columns: int = 3):
        super().__init__()
        self.by = rows, columns

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.roll(torch.relu(x), self.by, (1, 2))


@requires_onnx
def test_a_roll_whose_parts_are_joined_the_wrong_way_round():
    x = {"x": image((1, 8, 8, 2))}
    assert aligner.compare(Rolled().eval(), rolled(["tail", "head"]), x).verdict == "aligned"
    found = aligner.compare(Rolled().eval(), rolled(["head", "tail"]), x)
    assert found.causes[0].id == "concat-order" and found.causes[0].explained is not None


@requires_onnx
def test_a_roll_the_other_way_along_two_axes_at_once():
    first, *_ = aligner.compare(Rolled(-2, -3).eval(), rolled(["tail", "head"]), {"x": image((1, 8, 8, 2))}).causes
    assert (first.id, first.evidence_class) == ("rolled", "proven"), first
    assert "4 or −4 of 8 along axis 1 and by 6 or −2 of 8 along axis 2" in first.evidence


LINES = (2, 5, 8)
SCORES = {"q": (8, 8), "k": (8, 8)}
LARGEST = torch.finfo(torch.float32).max
LATER = torch.triu(torch.ones(5, 5), 1).bool()


def masked(value: float):
    """What a mask of its own covers is filled."""
    return lambda n, x: torch.tanh(x).masked_fill(x > 0.3, value)


def chosen(value: float):
    return lambda n, x: torch.where(x > 0.3, torch.tanh(x), value)


def attending(value: float):
    def forward(n, x):
        scores = (x @ n.q) @ (x @ n.k).transpose(-1, -2) * 8**-0.5
        return torch.softmax(scores.masked_fill(LATER, value), -1) @ x

    return forward


def added(value: float):
    def forward(n, x):
        scores = (x @ n.q) @ (x @ n.k).transpose(-1, -2) * 8**-0.5
        covered = (x[..., 0] > 0).float().unsqueeze(-2)
        return torch.softmax(scores + (1 - covered) * value, -1) @ x

    return forward


FILLED = {
    "another fill": (masked, -10.0, -1.0),
    "zero, as a relu ends": (masked, -10.0, 0.0),
    "zero in the reference": (chosen, 0.0, -10.0),
    "another number chosen": (chosen, 1.5, 0.5),
    "a mask too weak": (attending, -1e9, -10.0),
    "a mask of infinity": (attending, -math.inf, -10.0),
    "infinity instead": (attending, -10.0, -math.inf),
    "the largest number": (attending, -LARGEST, 0.0),
    "a mask that is added": (added, -1e4, -3.0),
}


@pytest.mark.parametrize("name", FILLED)
def test_another_fill_value_is_named_and_nothing_else(name):
    form, right, wrong = FILLED[name]
    found = causes(Net(form(right), **SCORES), Net(form(wrong), **SCORES), image(LINES))
    assert proven(found) == ["constant-changed"], found
    assert f"is {wrong:g}, the reference's {right:.6g}" in found[0].evidence


@requires_onnx
@pytest.mark.parametrize("value", [-1.0, 0.0, -math.inf])
def test_the_number_written_into_a_where_is_not_what_was_frozen_of_the_mask(value):
    from onnx_models import model, node, weights
    from onnx_models import value as tensor

    nodes = [
        node("Tanh", ["x"], ["h"]),
        node("Greater", ["x", "limit"], ["covered"]),
        node("Where", ["covered", "fill", "h"], ["y"]),
    ]
    numbers = weights(limit=np.float32(0.3), fill=np.float32(value))
    candidate = model(nodes, [tensor("x", 1, LINES)], [tensor("y", 1, LINES)], numbers)
    found = causes(Net(masked(-10.0)), candidate, image(LINES))
    assert proven(found) == ["constant-changed"], found


BUFFERS = {
    "factor": (lambda n, x: torch.tanh(x) * n.scale, (8,)),
    "summand": (lambda n, x: torch.tanh(x) + n.scale, (8,)),
    "divisor of rows": (lambda n, x: torch.tanh(x) / n.scale, (5, 1)),
    "exponent": (lambda n, x: torch.sigmoid(x) ** n.scale, (8,)),
    "limit": (lambda n, x: torch.maximum(torch.tanh(x), n.scale), (8,)),
    "threshold": (lambda n, x: x * (x > n.scale), (8,)),
    "fill": (lambda n, x: torch.where(x > 0, x, n.scale), (8,)),
    "table that is cut": (lambda n, x: torch.tanh(x) + n.scale[:, : x.shape[1]], (1, 9, 8)),
    "token in front": (lambda n, x: torch.cat([n.scale.expand(2, 1, 8), torch.tanh(x)], 1), (1, 1, 8)),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_a_stored_tensor_that_differs_is_named_with_how_far(name):
    forward, shape = BUFFERS[name]
    reference = Net(forward, scale=shape)
    found = causes(reference, edited(reference, scale=lambda old: old.flip(-1) * 1.3 + 0.2), image(LINES))
    assert proven(found) == ["constant-changed"], found
    assert "does not hold the values of the reference's scale" in found[0].evidence
    assert " values differ (relative distance " in found[0].evidence


def test_one_value_of_a_buffer():
    reference = Net(BUFFERS["factor"][0], scale=(8,))
    stale = edited(reference, scale=lambda old: torch.cat([old[:3], old[3:4] * 3, old[4:]]))
    found = causes(reference, stale, image(LINES))
    assert "1 of 8 values differs" in found[0].evidence and "most at [3]" in found[0].evidence


def test_two_buffers_that_differ_are_both_found():
    reference = Net(lambda n, x: torch.tanh((x - n.mean) / n.std), mean=(8,), std=(8,))
    stale = edited(reference, mean=lambda old: old + 0.5, std=lambda old: old * 2)
    first, *_ = causes(reference, stale, image(LINES))
    assert first.id == "constant-changed" and "likewise at 1 other node" in first.evidence


def test_buffers_that_still_do_nothing_in_the_reference():
    untouched = Net(lambda n, x: torch.tanh((torch.sigmoid(x) + n.shift) * n.scale), shift=(8,), scale=(8,))
    reference = edited(untouched, shift=lambda old: 0 * old, scale=lambda old: 0 * old + 1)
    stale = edited(reference, shift=lambda old: old + 0.5, scale=lambda old: old * 2)
    report = aligner.compare(reference, stale, image(LINES))
    first = report.causes[0]
    assert (first.id, len(report.introduced)) == ("constant-changed", 2), report.causes
    assert "reference's shift" in first.evidence and "likewise at 1 other node" in first.evidence


def test_a_stale_factor_that_was_folded_into_a_kernel_is_no_normalisation():
    def spelled(n, x):
        return torch.relu(torch.nn.functional.conv2d(x, n.k) * n.g.reshape(4, 1, 1))

    reference = Net(spelled, k=(4, 3, 3, 3), g=(4,))
    stale = torch.tensor([1.5, 0.4, 2.0, 0.7]) * reference.g.data
    candidate = Net(lambda n, x: torch.relu(torch.nn.functional.conv2d(x, n.k)), k=(4, 3, 3, 3))
    candidate.k.data = reference.k.data * stale.reshape(4, 1, 1, 1)
    found = causes(reference, candidate)
    assert proven(found) == ["constant-changed"], found
    assert "which is not g: 4 of 4 values differ" in found[0].evidence


def test_a_buffer_stored_in_half_is_called_a_copy():
    reference = Net(BUFFERS["factor"][0], scale=(8,))
    found = aligner.compare(reference, edited(reference, scale=lambda old: old.half().float()), image(LINES), rtol=1e-6)
    assert "a float16 copy of the reference's; 8 of 8 values differ" in found.causes[0].evidence


def tabled(order: tuple[str, str] = ("row", "column"), perm: tuple[int, ...] = (0, 1, 2), bias: float = 0.5):
    """Positions that are computed from two tables, one of which a dense layer has changed, and added to the input."""
    from onnx_models import model, node, value, weights

    numbers = np.random.default_rng(3)
    arrays = {
        "a": numbers.standard_normal((4, 4)).astype(np.float32),
        "column": numbers.standard_normal((4, 4)).astype(np.float32),
        "k": numbers.standard_normal((4, 4)).astype(np.float32),
        "b": np.full(4, bias, np.float32),
        "shape": np.array([4, 2, 4]),
    }
    nodes = [
        node("Gemm", ["a", "k", "b"], ["row"]),
        node("Concat", list(order), ["joined"], axis=1),
        node("Reshape", ["joined", "shape"], ["cut"]),
        node("Transpose", ["cut"], ["turned"], perm=list(perm)),
        node("Relu", ["x"], ["h"]),
        node("Add", ["h", "turned"], ["y"]),
    ]
    return model(nodes, [value("x", 1, (4, 2, 4))], [value("y", 1, (4, 2, 4))], weights(**arrays))


@requires_onnx
@pytest.mark.parametrize(
    ("identifier", "node", "change"),
    [
        ("concat-order", "Concat_1", {"order": ("column", "row")}),
        ("layout-transposition", "Transpose_3", {"perm": (2, 1, 0)}),
        ("weights-bias-missing", "Gemm_0", {"bias": 0.0}),
    ],
)
def test_a_computed_constant_is_put_down_to_the_node_that_makes_it_wrong(identifier, node, change):
    found = aligner.compare(tabled(), tabled(**change), {"x": image((4, 2, 4))}).causes
    assert found[0].id == identifier, found
    assert found[0].explained is not None and found[0].node == node


@requires_onnx
def test_a_computed_constant_that_only_differs_names_what_computes_it():
    found = aligner.compare(tabled(), tabled(bias=0.75), {"x": image((4, 2, 4))}).causes
    assert found[0].id == "constant-changed", found
    assert "computed by" in found[0].evidence and " reads b for b" in found[0].evidence


@requires_onnx
def test_one_wrong_place_that_is_looked_up_in_what_a_model_computes():
    from onnx_models import model, node, value, weights

    def picked(*places: int):
        nodes = [node("Sqrt", ["x"], ["h"], "root"), node("Gather", ["h", "at"], ["y"], "picked", axis=1)]
        return model(nodes, [value("x", 1, [2, 6])], [value("y", 1, [2, 3])], weights(at=np.array(places)))

    x = np.random.default_rng(0).uniform(1, 2, (2, 6)).astype(np.float32)
    first, *others = aligner.compare(picked(0, 3, 5), picked(0, 2, 5), x).comparison.causes
    assert (first.id, first.node, first.evidence_class, others) == ("constant-changed", "picked", "proven", [])
    assert "2 instead of 3" in first.evidence


def turned(function):
    """Angles from no input at all, a function of them, scaled; and what multiplies with them."""
    angles = torch.outer(torch.arange(5.0), 1 / 10 ** torch.linspace(0, 1, 7))
    return 2 * function(angles).T


@pytest.mark.parametrize("combined", ["bti,it->bt", "bti,jt->bji"])
def test_a_table_computed_otherwise_is_put_down_to_the_node_that_makes_other_numbers(combined):
    reference, candidate = (
        Net(lambda n, x, make=make: torch.einsum(combined, x * n.table, turned(make)), table=(7,))
        for make in (torch.cos, torch.sin)
    )
    first, *_ = causes(reference, candidate, image((2, 5, 7)))
    assert (first.id, first.evidence_class, first.node) == ("constant-changed", "proven", "sin.0"), first


def test_a_factor_of_one_weight_computed_without_its_exponential():
    decays = [lambda n: torch.exp(-torch.exp(n.rate)), lambda n: torch.exp(-n.rate)]
    reference, candidate = (Net(lambda n, x, of=of: x * of(n), rate=(7,)) for of in decays)
    first, *_ = causes(reference, candidate, image((2, 5, 7)))
    assert (first.id, first.evidence_class, first.node) == ("constant-changed", "proven", "neg.0"), first


@pytest.mark.parametrize(("node", "function"), [("neg.0", torch.neg), ("tanh.0", torch.tanh)])
def test_weights_that_the_candidate_computes_are_held_against_the_references(node, function):
    nets = [lambda n, x, of=of: torch.nn.functional.linear(x, of(n.kernel)) for of in (torch.clone, function)]
    first, *_ = causes(*(Net(net, kernel=(7, 7)) for net in nets), image((2, 5, 7)))
    assert (first.id, first.evidence_class, first.node) == ("constant-changed", "proven", node), first


def test_of_sides_with_other_numbers_of_nodes_the_constants_are_paired_that_only_one_side_holds():
    from aligner.causes.constant_operands import ConstantOperand, _left_over
    from aligner.operations.operation import Operation

    def constants(*numbers: float) -> list[ConstantOperand]:
        made = (Operation("mul", {}, (np.ones(2), np.array([number]))) for number in numbers)
        return [ConstantOperand(None, operation, 1, None, (), stored=True) for operation in made]

    ((one, other),) = _left_over(constants(0.5, 3.0), constants(2.0, 0.5))
    assert (one.array[0], other.array[0]) == (3.0, 2.0)
    assert not list(_left_over(constants(3.0, 4.0), constants(2.0)))


@requires_onnx
def test_angles_that_were_folded_from_another_base_are_put_down_to_what_reads_them():
    from onnx_models import model, node, value, weights

    def rotated(base: float):
        angles = np.outer(np.arange(5), 1 / base ** np.linspace(0, 1, 4)).astype(np.float32)
        nodes = [
            node("Cos", ["angles"], ["c"], "cosine"),
            node("Unsqueeze", ["c", "axis"], ["row"], "row"),
            node("Mul", ["x", "row"], ["y"], "rotated"),
        ]
        stored = weights(angles=angles, axis=np.array([0]))
        return model(nodes, [value("x", 1, [2, 5, 4])], [value("y", 1, [2, 5, 4])], stored)

    first, *_ = aligner.compare(rotated(1e4), rotated(1e6), {"x": image((2, 5, 4))}).causes
    assert (first.id, first.evidence_class, first.node) == ("constant-changed", "proven", "cosine"), first


class Filtered(torch.nn.Module):
    """Rows seen through a table of waves, and put together from it again."""

    def __init__(self, wave):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.after, self.wave = torch.nn.Linear(6, 6), torch.nn.Linear(6, 3), wave

    def forward(self, x):
        table = self.wave(torch.outer(torch.arange(5.0), 10 ** -(torch.arange(6.0) / 6)))
        return self.after(torch.einsum("btd,sd->bts", self.before(x), table) @ table)


@requires_onnx
def test_a_table_folded_wrongly_into_two_products_of_one_region(tmp_path):
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    torch.onnx.export(Filtered(torch.sin).eval(), (x,), tmp_path / "sin.onnx", dynamo=False)
    first, *_ = aligner.compare(Filtered(torch.cos).eval(), tmp_path / "sin.onnx", [x.numpy()]).causes
    assert (first.id, first.evidence_class) == ("constant-changed", "proven"), first
    assert "/Einsum" in first.evidence and "/MatMul" in first.evidence


@requires_onnx
@pytest.mark.parametrize("moved", [True, False])
def test_another_weight_is_one_whatever_moves_it_on_its_way(moved):
    from onnx_models import model, node, value, weights

    right, wrong = (np.random.default_rng(seed).normal(size=(4, 6)).astype(np.float32) for seed in (1, 2))
    ends = [value("x", 1, (3, 6))], [value("y", 1, (3, 4))]
    turned = node("Transpose", ["k"], ["w"], "turned", perm=[1, 0])
    ways = [[turned, node("MatMul", ["x", "w"], ["y"], "m")], [node("Gemm", ["x", "k"], ["y"], "m", transB=1)]]
    reference, candidate = model(ways[moved], *ends, weights(k=right)), model(ways[not moved], *ends, weights(k=wrong))
    first, *_ = aligner.compare(reference, candidate, image((3, 6))).causes
    assert (first.id, first.evidence_class, first.node) == ("weights-changed", "proven", "m"), first
    assert first.evidence.startswith("m (k)")

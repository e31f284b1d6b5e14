"""Regions judged as one: rewrites that compute the same are aligned, a fault beside or inside one is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner

pytestmark = requires_onnx

PAIRS = Path(__file__).parent / "data" / "region_pairs"
REWRITES = ["channels_permuted_through_tanh", "gemm_then_scale_for_add", "scale_through_leaky_relu"]
TURNED = ["product_of_transposes_av_square_heads", "square_softmax_transposed"]
"""Rewrites that the identities of axes tell already."""
FAULTS = {
    "concat_order_with_a_fault_after": "op_v6",
    "epsilon_outside_the_root": "op_out0",
    "lost_softmax_of_one_of_two_outputs": "op_out0",
    "one_fake_quantised_tensor": "op_v2",
    "permuted_channels_with_a_fault_after": "op_v3",
    "small_fault_under_a_concat_order": "op_out0",
    "small_fault_under_a_permutation": "op_out0",
}


def compared(name, **options):
    folder = PAIRS / name
    return aligner.compare(folder / "ref.onnx", folder / "cand.onnx", dict(np.load(folder / "in.npz")), **options)


@pytest.mark.parametrize("name", REWRITES)
def test_another_way_to_compute_the_same_is_no_fault(name):
    """The pairing may have left the inner pairs out; where it has not, the region closes."""
    assert compared(name).verdict == "aligned"


@pytest.mark.parametrize("name", REWRITES)
def test_recorded_forms_are_judged_by_what_the_reference_makes_of_what_was_recorded(name, tmp_path):
    folder, path = PAIRS / name, tmp_path / "candidate.npz"
    aligner.capture(folder / "cand.onnx", path, dict(np.load(folder / "in.npz")))
    found = [pair.candidate.node for pair in aligner.compare(folder / "ref.onnx", path).introduced]
    assert found == []


@pytest.mark.parametrize("name", TURNED)
def test_turned_islands_are_no_faults(name):
    assert compared(name).verdict == "aligned"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_beside_a_rewrite_is_found_at_its_node(name):
    result = compared(name)
    assert result.verdict == "diverged"
    assert [pair.candidate.node for pair in result.comparison.introduced] == [FAULTS[name]]


def test_an_epsilon_beside_the_root_is_no_operation_too_many():
    """The reference's norm adds one as well, inside."""
    found = compared("epsilon_outside_the_root").comparison.causes
    assert [(one.id, one.node, one.evidence_class) for one in found] == [("norm-epsilon", "op_v7", "proven")]


def test_a_region_that_closes_only_unobserved_is_not_excused():
    """A runtime may leave out a cast that overflows, where nobody asks for what stands between two of them."""
    import onnx

    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    helper, weight = onnx.helper, np.random.default_rng(0).uniform(-0.1, 0.1, (6, 6)).astype(np.float32)

    def model(*, narrow):
        cast = [
            ("Cast", ["big"], "h0", {"to": half}),
            ("Mul", ["h0", "h0"], "h1", {}),
            ("Cast", ["h1"], "sq", {"to": full}),
        ]
        square = cast if narrow else [("Mul", ["big", "big"], "sq", {})]
        steps = [("Mul", ["x", "scale"], "big", {}), *square, ("Sqrt", ["sq"], "root", {})]
        nodes = [
            helper.make_node(op, inputs, [out], out, **given)
            for op, inputs, out, given in [*steps, ("MatMul", ["root", "w"], "y", {})]
        ]
        stored = [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (("scale", np.float32(90)), ("w", weight))]
        ends = [[helper.make_tensor_value_info(name, full, [4, 6])] for name in ("x", "y")]
        graph = helper.make_graph(nodes, "g", *ends, stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    x = np.random.default_rng(1).uniform(1, 3.2, (4, 6)).astype(np.float32)
    result = aligner.compare(model(narrow=False), model(narrow=True), [x])
    assert result.verdict == "diverged"
    assert {pair.candidate.name for pair in result.comparison.introduced} & {"h0", "h1"}


def test_an_added_clip_is_in_the_region_that_is_named():
    result = compared("extra_clip_before_moves")
    assert result.verdict == "diverged"
    assert {"op_v2"} <= set(result.first_divergence.candidate_nodes)


def test_every_pair_names_the_rule_that_judged_it():
    result = compared("permuted_channels_with_a_fault_after")
    assert result.comparison.rule == "node-introduces-error"
    assert {pair.verdict_rule for pair in result.pairs} >= {"within-bound", "other-form", "beyond-bound"}
    form = next(pair for pair in result.pairs if pair.verdict_rule == "other-form")
    assert [opinion.rule for opinion in form.opinions] == ["other-form", "beyond-bound"]
    document = result.to_json()
    assert document["rule"] == "node-introduces-error"
    assert document["first_divergence"]["verdict_rule"] == "beyond-bound"
    assert document["first_divergence"]["opinions"][0]["margin"] > 1


def test_a_wrong_node_between_two_forms_names_the_region_of_both():
    """Which half of a rewrite is wrong cannot be told from its tensors."""
    first = compared("permuted_channels_with_a_fault_after").first_divergence
    assert set(first.candidate_nodes) >= {"op_v1", "op_v3"}


@pytest.mark.parametrize("factor", [1.02, 1.04, 1.1])
def test_wide_bounds_of_half_precision_hide_no_wrong_scale(factor, tmp_path):
    """Neither the rounding of what an exit is not computed from nor a narrower limit of its own excuses it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, width = np.random.default_rng(3), 16
    scale = (1 + 0.2 * rng.standard_normal(width)).astype(np.float32)
    weights = [(rng.standard_normal((width, width)) / 4).astype(np.float32) for _ in range(3)]
    feeds = {"x": rng.standard_normal((1, 6, width)).astype(np.float32)}
    wrong = scale * np.where(np.arange(width) == 5, np.float32(factor), np.float32(1))

    def write(path, kept, dtype, kind):
        stored = {"scale": kept, **{f"w{place}": weight for place, weight in enumerate(weights)}}
        nodes = [helper.make_node("Cast", ["x"], ["h"], to=kind), helper.make_node("Mul", ["h", "scale"], ["y"], "m")]
        nodes += [helper.make_node("MatMul", ["y", f"w{place}"], [f"o{place}"]) for place in range(3)]
        taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, feeds["x"].shape)
        given = [helper.make_tensor_value_info(f"o{place}", kind, feeds["x"].shape) for place in range(3)]
        kept = [numpy_helper.from_array(array.astype(dtype), name) for name, array in stored.items()]
        graph = helper.make_graph(nodes, "g", [taken], given, kept)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path

    result = aligner.compare(
        write(tmp_path / "ref.onnx", scale, np.float32, TensorProto.FLOAT),
        write(tmp_path / "cand.onnx", wrong, np.float16, TensorProto.FLOAT16),
        feeds,
    )
    assert result.verdict == "diverged"
    assert [pair.candidate.node for pair in result.introduced] == ["m"]


@pytest.mark.parametrize("undone", [True, False])
def test_channels_in_another_order_before_a_dead_activation_are_told_by_other_numbers(undone):
    """On the numbers fed nothing passes the Relu, and nothing shows whether the next kernel undoes the order."""
    generator, order = np.random.default_rng(5), [1, 2, 0, 5, 3, 4]
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias, first = np.arange(-0.1, -0.7, -0.1, dtype=np.float32), np.abs(first)
    fed = {"x": -np.abs(generator.standard_normal((3, 6))).astype(np.float32)}
    turned = second[order] if undone else second
    result = aligner.compare(_perceptron(first, bias, second), _perceptron(first[:, order], bias[order], turned), fed)
    assert result.verdict == ("aligned" if undone else "diverged")


@pytest.mark.parametrize("undone", [True, False])
@pytest.mark.parametrize("wrong", ["Elu", "Softplus"])
def test_a_fault_between_the_halves_of_a_rewrite_is_told_at_its_node(wrong, undone):
    """Channels permuted and scaled before an activation, and put right behind it: it alone is another one."""
    generator, order = np.random.default_rng(6), [1, 2, 0, 5, 3, 4]
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias, factor = np.arange(6, dtype=np.float32) / 6, np.linspace(0.5, 3, 6, dtype=np.float32)
    fed = {"x": generator.standard_normal((5, 6)).astype(np.float32)}
    behind = second[order] / factor[:, None] if undone else second
    changed = _perceptron(first[:, order] * factor, bias[order] * factor, behind, wrong)
    result = aligner.compare(_perceptron(first, bias, second), changed, fed)
    assert result.first_divergence.candidate.name == ("passed" if undone else "hidden")


@pytest.mark.parametrize("undone", [True, False])
def test_a_fault_between_the_halves_of_a_rewrite_is_told_by_one_number_a_channel(undone):
    """A vector of channels tells their order, though no factor of one: that may be an error as well."""
    generator, order = np.random.default_rng(6), [1, 2, 0, 5, 3, 4]
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias = np.arange(6, dtype=np.float32) / 6
    fed = {"x": generator.standard_normal((1, 6)).astype(np.float32)}
    changed = _perceptron(first[:, order], bias[order], second[order] if undone else second, "Elu")
    result = aligner.compare(_perceptron(first, bias, second), changed, fed)
    assert result.first_divergence.candidate.name == ("passed" if undone else "hidden")


@pytest.mark.parametrize("undone", [True, False])
def test_a_lost_bias_behind_a_factor_that_its_kernel_takes_back_is_told_at_its_layer(undone):
    """x · relu6(x + 3) for HardSwish, and a sixth of it in the next kernel; what nothing takes back is wrong itself."""
    generator = np.random.default_rng(6)
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias, last = (size * generator.standard_normal(6).astype(np.float32) for size in (1, 8))
    behind = second / 6 if undone else second
    changed = _perceptron(6 * first, 6 * bias, behind, last=0 * last)
    fed = {"x": generator.standard_normal((12, 6)).astype(np.float32)}
    result = aligner.compare(_perceptron(first, bias, second, last=last), changed, fed)
    assert result.first_divergence.candidate.name == ("y" if undone else "hidden")


@pytest.mark.parametrize("undone", [True, False])
def test_noise_in_a_layer_that_permutes_channels_is_told_there_by_the_kernel_that_puts_them_right(undone):
    """Its numbers are no form of the reference's; what reads them has the reference's kernel, but for their order."""
    generator, order = np.random.default_rng(6), [1, 2, 0, 5, 3, 4]
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias, factor = np.arange(6, dtype=np.float32) / 6, np.linspace(0.5, 3, 6, dtype=np.float32)
    noisy = first[:, order] * factor + 0.1 * generator.standard_normal((6, 6)).astype(np.float32)
    changed = _perceptron(
        noisy, bias[order] * factor, second[order] / factor[:, None] if undone else second[order[::-1]]
    )
    fed = {"x": generator.standard_normal((5, 6)).astype(np.float32)}
    result = aligner.compare(_perceptron(first, bias, second), changed, fed)
    assert result.first_divergence.candidate.name == "hidden"


@pytest.mark.parametrize("wrong", ["", "inner4", "outer4"])
def test_a_sum_through_all_blocks_in_another_basis_is_another_way_to_compute_the_same(wrong):
    """Every layer turns what it reads back, as language models are turned before they are quantised: no block closes by
    itself. A fault is told where what reads the sum stays wrong with it, else where it is wrong from there on."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    plain = {"first": rng.standard_normal((6, 6)), "last": rng.standard_normal((6, 6))}
    plain |= {f"{name}{block}": rng.standard_normal((6, 6)) for block in range(12) for name in ("inner", "outer")}
    turned = {name: turn.T @ one if name.startswith(("inner", "last")) else one @ turn for name, one in plain.items()}
    if wrong:
        turned[wrong] = turned[wrong] * 1.3
    result = aligner.compare(_blocks(plain), _blocks(turned), {"x": rng.standard_normal((5, 6)).astype(np.float32)})
    assert result.verdict == ("diverged" if wrong else "aligned")
    if wrong:
        assert result.first_divergence.candidate.name == f"{wrong}_made"


@requires_torch
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("unpermuted", ["", "k"])
def test_rotary_positions_in_halves_and_in_pairs(unpermuted, whole, tmp_path):
    """The rows of both projections are permuted for it; the keys reach the product through a transpose.

    ``whole``: and through a sum, which is right by itself: the tables hold every angle twice, in either's order.
    """
    import torch

    class Scores(torch.nn.Module):
        def __init__(self, order=(0, 1, 2, 3), unpermuted=""):
            super().__init__()
            torch.manual_seed(0)
            self.pairs = order != (0, 1, 2, 3)
            self.q, self.k = (torch.nn.Linear(8, 8, bias=False) for _ in range(2))
            for name in "qk":
                rows = [0, 1, 2, 3] if name == unpermuted else list(order)
                weight = getattr(self, name).weight
                weight.data = weight.data.view(2, 4, 8)[:, rows].reshape(8, 8)

        def turned(self, x):
            angle = torch.arange(5)[:, None].float() * torch.tensor([1.0, 0.1])
            cos, sin = angle.cos(), angle.sin()
            one, other = (x[..., ::2], x[..., 1::2]) if self.pairs else (x[..., :2], x[..., 2:])
            if whole:
                cos, sin = (self.joined(angle, angle) for angle in (cos, sin))
                return x * cos + self.joined(-other, one) * sin
            return self.joined(one * cos - other * sin, other * cos + one * sin)

        def joined(self, *parts):
            return torch.stack(parts, -1).flatten(-2) if self.pairs else torch.cat(parts, -1)

        def forward(self, x):
            q, k = (self.turned(part(x).view(1, 5, 2, 4).transpose(1, 2)) for part in (self.q, self.k))
            return (q @ k.transpose(-1, -2)).softmax(-1)

    path, x = tmp_path / "pairs.onnx", torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(1))
    torch.onnx.export(Scores((0, 2, 1, 3), unpermuted).eval(), (x,), path, dynamo=False)
    result = aligner.compare(Scores().eval(), path, x)
    assert result.verdict == ("diverged" if unpermuted else "aligned")
    assert not any("without effect" in note for note in result.comparison.notes)


@pytest.mark.parametrize("reached", [True, False])
def test_weights_that_differ_are_of_no_effect_only_where_other_numbers_show_them(reached):
    """Channels in another order, which the next kernel undoes, are no matter; a row that nothing reaches is."""
    generator, order = np.random.default_rng(5), [1, 2, 0, 5, 3, 4]
    first, second = (generator.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    bias, x = generator.standard_normal(6).astype(np.float32), generator.standard_normal((3, 6)).astype(np.float32)
    x[:, 2] = 0
    changed = first.copy()
    changed[2] *= 1 if reached else 3
    result = aligner.compare(
        _perceptron(first, bias, second), _perceptron(changed[:, order], bias[order], second[order]), {"x": x}
    )
    assert result.verdict == "aligned"
    assert any("without effect" in note for note in result.comparison.notes) is not reached


def _blocks(weights):
    """x·first, twelve times a layer of two added to it, and the last product."""
    from onnx import helper, numpy_helper

    nodes, stream = [helper.make_node("MatMul", ["x", "first"], ["sum0"])], "sum0"
    for block in range(12):
        one, act, other = f"inner{block}_made", f"tanh{block}", f"outer{block}_made"
        nodes.append(helper.make_node("MatMul", [stream, f"inner{block}"], [one]))
        nodes.append(helper.make_node("Tanh", [one], [act]))
        nodes.append(helper.make_node("MatMul", [act, f"outer{block}"], [other]))
        nodes.append(helper.make_node("Add", [stream, other], [stream := f"sum{block + 1}"]))
    nodes.append(helper.make_node("MatMul", [stream, "last"], ["y"]))
    ends = [helper.make_tensor_value_info(name, 1, [None, 6]) for name in "xy"]
    stored = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _perceptron(first, bias, second, activation="Relu", *, last=None):
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["x", "first", "bias"], ["hidden"]),
        helper.make_node(activation, ["hidden"], ["passed"]),
        helper.make_node("MatMul", ["passed", "second"], ["y"])
        if last is None
        else helper.make_node("Gemm", ["passed", "second", "last"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, 1, [None, 6]) for name in "xy"]
    stored = [numpy_helper.from_array(a, n) for n, a in (("first", first), ("bias", bias), ("second", second))]
    stored += [] if last is None else [numpy_helper.from_array(last, "last")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)

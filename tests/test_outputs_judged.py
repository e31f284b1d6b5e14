"""The outputs are judged by themselves: no verdict contradicts them."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx
from onnx_models import model, node, value, weights

import aligner
from aligner.judgement.outputs import OutputFacts, standing
from aligner.judgement.rounding_sum import rounding_sum
from aligner.records.alignment import PairedValues, Region
from aligner.records.measurement import Measured

pytestmark = requires_onnx

X = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
KERNEL = np.random.default_rng(1).standard_normal((6, 6)).astype(np.float32)
LEAST = np.finfo(np.float32).min


def two_outputs(*, last=True, name="a"):
    nodes = [node("MatMul", ["x", "w"], ["m"], "mul"), node("ReduceMax", ["m"], ["top"], "top", keepdims=0)]
    nodes.append(node("LogSoftmax" if last else "Identity", ["m"], [name], "last"))
    return model(nodes, [value("x", 1, [3, 6])], [value(name, 1, [3, 6]), value("top", 1, [])], weights(w=KERNEL))


def masked_attention(axis):
    """Scores, a causal mask of the least float32, softmax, a product: as exporters write GPT-2."""
    mask = np.triu(np.full((6, 6), LEAST, np.float32), 1)
    nodes = [
        node("MatMul", ["x", "w"], ["m"], "scores"),
        node("Transpose", ["x"], ["t"], "turned", perm=[1, 0]),
        node("MatMul", ["t", "m"], ["s"], "square"),
        node("Add", ["s", "mask"], ["masked"], "masking"),
        node("Softmax", ["masked"], ["p"], "softmax", axis=axis),
        node("MatMul", ["p", "w"], ["y"], "mixed"),
    ]
    return model(nodes, [value("x", 1, [3, 6])], [value("y", 1, [6, 6])], weights(w=KERNEL, mask=mask))


def test_a_softmax_along_another_axis_beside_a_mask_is_no_rounding():
    result = aligner.compare(masked_attention(-1), masked_attention(-2), X)
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.node == "softmax"
    softmax = next(pair for pair in result.pairs if pair.candidate.node == "softmax")
    assert softmax.bound < 1e-4


def test_an_output_without_a_partner_is_held_against_its_namesake():
    result = aligner.compare(two_outputs(), two_outputs(last=False), X)
    assert result.verdict == "diverged"
    assert result.first_divergence.candidate.name == "a"
    assert result.first_divergence.accumulated.beyond > 0.9


def test_an_output_that_the_candidate_lacks_is_never_aligned():
    both, alone = two_outputs(), two_outputs()
    del alone.graph.output[1]
    result = aligner.compare(both, alone, X)
    assert result.verdict == "inconclusive" and result.comparison.exit_code == 3
    assert "output top of the reference was not compared" in result.comparison.reason
    assert aligner.compare(alone, both, X).verdict == "aligned"


def test_names_of_outputs_may_differ():
    assert aligner.compare(two_outputs(), two_outputs(name="b"), X).verdict == "aligned"


def named(*given, order=("a", "b")):
    """A sigmoid and a tanh, under these names, in this order."""
    nodes = [
        node("MatMul", ["x", "w"], ["m"], "mul"),
        node("Sigmoid", ["m"], [given[0]], "s"),
        node("Tanh", ["m"], [given[1]], "t"),
    ]
    return model(nodes, [value("x", 1, [3, 6])], [value(name, 1, [3, 6]) for name in order], weights(w=KERNEL))


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_outputs_that_go_by_each_others_names_diverge(order):
    result = aligner.compare(named("a", "b"), named("b", "a", order=order), X)
    assert (result.verdict, result.comparison.rule) == ("diverged", "outputs-exchanged")
    assert [cause.id for cause in result.causes] == ["output-order"]
    assert "the reference's a is called b" in result.causes[0].evidence


def test_outputs_in_another_order_under_their_own_names_are_told_and_no_fault():
    result = aligner.compare(named("a", "b"), named("a", "b", order=("b", "a")), X)
    assert result.verdict == "aligned"
    assert [cause.id for cause in result.causes] == ["output-order"]
    assert aligner.compare(named("a", "b"), named("q", "a", order=("q", "a")), X).verdict == "diverged"


@pytest.mark.parametrize("share", [1e-4, 1e-5])
def test_what_no_node_explains_and_float64_denies_diverges_with_its_interval(share, monkeypatch):
    """Were every node excused, the output would still tell."""
    wrong = two_outputs()
    kernel = KERNEL * (1 + share * np.random.default_rng(2).standard_normal(KERNEL.shape)).astype(np.float32)
    wrong.graph.initializer[0].CopyFrom(weights(w=kernel)[0])
    plain = aligner.compare(two_outputs(), wrong, X)
    monkeypatch.setattr("aligner.judgement.pair_facts.bound", lambda *_: 1.0)
    monkeypatch.setattr("aligner.judgement.pair_facts.difference_in", lambda *_: None)
    result = aligner.compare(two_outputs(), wrong, X)
    assert plain.verdict == result.verdict == "diverged"
    assert not result.comparison.introduced
    assert "x still agrees, m does not" in result.comparison.reason


def test_with_a_level_the_contract_alone_decides():
    from aligner.api.comparing import CompareOptions, run_comparison

    kernel = (KERNEL * (1 + 1e-4)).astype(np.float32)
    other = two_outputs()
    other.graph.initializer[0].CopyFrom(weights(w=kernel)[0])

    def verdict(level, atol):
        made = run_comparison(two_outputs(), other, X, CompareOptions(level=level, atol=atol, rtol=0.0))
        return made.verdict, made.rule, bool(made.introduced)

    assert verdict("local", 0.1) == ("diverged", "node-introduces-error", True)
    assert verdict("outputs", 0.1) == verdict("layers", 0.1) == ("aligned", "contract-kept", False)
    assert verdict("outputs", 1e-6) == verdict("layers", 1e-6) == ("diverged", "contract-broken", True)


def test_random_numbers_of_the_candidate_alone_are_its_fault():
    plain = model(
        [node("MatMul", ["x", "w"], ["m"], "mul"), node("Relu", ["m"], ["y"], "end")],
        [value("x", 1, [3, 6])],
        [value("y", 1, [3, 6])],
        weights(w=KERNEL),
    )
    noisy = model(
        [
            node("MatMul", ["x", "w"], ["m"], "mul"),
            node("RandomNormalLike", ["m"], ["r"], "draw"),
            node("Add", ["m", "r"], ["n"], "noise"),
            node("Relu", ["n"], ["y"], "end"),
        ],
        [value("x", 1, [3, 6])],
        [value("y", 1, [3, 6])],
        weights(w=KERNEL),
    )
    result = aligner.compare(plain, noisy, X)
    assert result.verdict == "diverged"
    assert result.first_divergence.verdict_rule == "random-in-candidate"
    assert "draw" in result.first_divergence.candidate_nodes
    assert aligner.compare(noisy, noisy, X).verdict != "diverged"


@pytest.mark.parametrize(("lost", "state"), [(False, "rounding"), (True, "unshown")])
def test_a_declared_precision_explains_no_output_that_is_lost(lost, state):
    assert standing(OutputFacts("y", "y", 0.5, beyond=1.0, declared=True, lost=lost)).state == state


def test_an_output_below_its_own_step_is_rounded():
    """A softmax over a thousand classes in eight bits: all of it is nearer to zero than to the first step."""
    kernel = np.random.default_rng(2).standard_normal((6, 1000)).astype(np.float32) / 50
    steps = {
        f"{name}_{what}": number
        for name, step in (("x", 0.03), ("p", 1 / 255))
        for what, number in (("scale", np.float32(step)), ("zero", np.uint8(128 if name == "x" else 0)))
    }

    def softmax(quantized):
        def stored(name, at):
            if not quantized:
                return [node("Identity", [name], [f"{name}_in"], f"{at}_in")]
            grid = [f"{at}_scale", f"{at}_zero"]
            return [
                node("QuantizeLinear", [name, *grid], [f"{name}_q"], f"{at}_q"),
                node("DequantizeLinear", [f"{name}_q", *grid], [f"{name}_in"], f"{at}_dq"),
            ]

        nodes = [*stored("x", "x"), node("MatMul", ["x_in", "w"], ["m"], "mul")]
        nodes += [node("Softmax", ["m"], ["p"], "softmax", axis=-1), *stored("p", "p")]
        return model(nodes, [value("x", 1, [3, 6])], [value("p_in", 1, [3, 1000])], weights(w=kernel, **steps))

    result = aligner.compare(softmax(False), softmax(True), X)
    assert result.verdict == "aligned", result.comparison.reason
    assert result.outputs[0].accumulated.beyond > 0.9


def test_what_is_put_before_an_output_is_told_though_all_that_reads_it_is_right():
    """A softmax takes an offset away again; the output that has it has another name and place."""

    def scores(*, shifted):
        nodes = [node("MatMul", ["x", "w"], ["m"], "mul"), node("Tanh", ["m"], ["t"], "tanh")]
        seen, last = "t", (["t", "top"], [[3, 6], []])
        if shifted:
            nodes.append(node("Add", ["t", "one"], ["s"], "shift"))
            seen, last = "s", (["best", "s"], [[], [3, 6]])
        top = "best" if shifted else "top"
        nodes.append(node("Softmax", [seen], ["p"], "softmax", axis=1))
        nodes.append(node("ReduceMax", ["p"], [top], "most", keepdims=0))
        outputs = [value(name, 1, shape) for name, shape in zip(*last, strict=True)]
        stored = weights(w=KERNEL, one=np.float32(1)) if shifted else weights(w=KERNEL)
        return model(nodes, [value("x", 1, [3, 6])], outputs, stored)

    result = aligner.compare(scores(shifted=False), scores(shifted=True), X)
    assert result.verdict == "diverged"
    first = result.first_divergence
    assert (first.candidate.node, first.within.primitive) == ("shift", "extra")


def test_names_do_not_change_what_bounds_add_up_to():
    bounds = np.random.default_rng(0).uniform(size=40).tolist()
    sums = set()
    for word in "abcdefgh":
        names = [f"{word}{place}" for place in range(len(bounds))]
        pairs = [
            PairedValues(name, name, "name", 1.0, candidate_region=Region(inputs=tuple(names[:place])))
            for place, name in enumerate(names)
        ]
        measured = {pair.candidate: Measured(pair, None, None, None, None) for pair in pairs}
        sums.add(rounding_sum(measured, dict(zip(names, bounds, strict=True)), names[-1]))
    assert len(sums) == 1

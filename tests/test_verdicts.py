from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_factory import GraphBuilder

from aligner.diff.difference import difference
from aligner.execution.saturation import Grids
from aligner.judgement.conclusion import conclude
from aligner.judgement.founded import refounded
from aligner.judgement.judgement import Judgement
from aligner.judgement.tolerance import bound, region_numbers
from aligner.judgement.verdicts import Rules, judge
from aligner.judgement.whole_facts import WholeFacts
from aligner.numerics.rounding import unit
from aligner.records.alignment import PairedValues, Region
from aligner.records.comparison import Coverage
from aligner.records.graph import Quantization
from aligner.records.measurement import Measured, Noise
from aligner.records.opinion import Opinion
from aligner.records.tensor import CapturedTensor

RULES = Rules(1e-5, 1e-5)


def chain(kinds, shape=(1, 4, 8, 8)):
    builder = GraphBuilder()
    value = builder.input("x", shape)
    values = [value]
    for kind in kinds:
        inputs = [value, builder.weight(np.ones((4, 4, 3, 3)))] if kind == "conv" else [value]
        value = builder.node(kind, inputs, shape)
        values.append(value)
    return builder.graph(value), values


def measure(graph, values, index, *, local=0.0, accumulated=None, noise=None, dtype="float32", **extra):
    """A pair of one value with itself whose candidate is off by a constant."""
    x = np.random.default_rng(index).normal(size=(1, 4, 8, 8)).astype(np.float32)
    region = Region((index - 1,), graph.nodes[index - 1].weights, (values[index - 1],)) if index else Region()
    pair = PairedValues(values[index], values[index], "name", 1.0, None, None, (), (), region, region)
    wrong = local if accumulated is None else accumulated
    return Measured(
        pair,
        x.shape,
        x.shape,
        dtype,
        dtype,
        accumulated=difference(x, x.astype(np.float64) + wrong),
        local=None if local is None else difference(x, x.astype(np.float64) + local),
        noise=noise,
        **extra,
    )


def verdicts(graph, measured):
    return [judgement.verdict for judgement in judge((graph, graph), measured, RULES)]


def test_a_local_error_is_introduced_and_what_follows_inherits():
    graph, values = chain(["conv", "relu", "conv"])
    measured = [
        measure(graph, values, 0),
        measure(graph, values, 1, local=0.1),
        measure(graph, values, 2, local=0.0, accumulated=0.1),
        measure(graph, values, 3, local=1e-7, accumulated=0.1),
    ]
    assert verdicts(graph, measured) == ["aligned", "introduced", "inherited", "inherited"]


def test_growth_of_rounding_without_a_fault_is_no_fault():
    graph, values = chain(["conv"] * 5)
    measured = [measure(graph, values, i, local=1e-7, accumulated=1e-4 * i) for i in range(6)]
    assert set(verdicts(graph, measured)) == {"aligned"}


def test_what_is_right_alone_and_wrong_within_the_whole_is_introduced():
    """A runtime may fuse a node where it runs alone, and not where it stands in its network."""
    graph, values = chain(["conv", "relu", "conv"])
    before = [measure(graph, values, 0), measure(graph, values, 1, accumulated=1e-7)]
    after = measure(graph, values, 3, accumulated=0.2)
    wrong, rounded = (measure(graph, values, 2, local=1e-7, accumulated=error) for error in (0.2, 1e-5))
    assert verdicts(graph, [*before, wrong, after]) == ["aligned", "aligned", "introduced", "inherited"]
    assert verdicts(graph, [*before, rounded]) == ["aligned"] * 3
    found = judge((graph, graph), [*before, wrong, after], RULES)[2]
    assert found.note is not None and "within the whole" in found.note


def test_what_is_left_where_numbers_cancel_is_no_contradiction():
    graph, values = chain(["conv", "sub"])
    x = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32) * 1e-7
    cancelled = replace(measure(graph, values, 2), accumulated=difference(x, x[..., ::-1]), local=difference(x, x))
    before = [measure(graph, values, 0), measure(graph, values, 1, local=1e-7, accumulated=1e-7)]
    assert cancelled.accumulated.relative > 1
    assert verdicts(graph, [*before, cancelled]) == ["aligned"] * 3


def test_movement_must_be_exact():
    graph, values = chain(["transpose", "conv"])
    measured = [measure(graph, values, 0), measure(graph, values, 1, local=1e-4), measure(graph, values, 2, local=1e-6)]
    assert verdicts(graph, measured) == ["aligned", "introduced", "aligned"]


def test_measured_noise_excuses_an_ill_conditioned_node():
    graph, values = chain(["norm"])
    plain = measure(graph, values, 1, local=1e-3)
    noisy = measure(graph, values, 1, local=1e-3, noise=Noise(max_abs=5e-4, share=1.0))
    assert verdicts(graph, [measure(graph, values, 0), plain])[1] == "introduced"
    assert verdicts(graph, [measure(graph, values, 0), noisy])[1] == "aligned"


def test_noise_that_a_float16_by_accident_makes_excuses_nothing():
    """A tensor that goes through float16 inside one side's region multiplies the noise that it is measured by."""
    plain, values = chain(["tanh", "cast", "cast", "tanh", "tanh", "tanh", "tanh"])
    narrow = replace(plain, values=plain.values | {values[2]: replace(plain.values[values[2]], dtype="float16")})
    measured = [measure(plain, values, place) for place in range(4)]
    inside = Region((1, 2), (), (values[1],))
    pair = replace(measured[3].pair, reference_region=inside, candidate_region=inside)
    guilty = replace(measure(plain, values, 3, local=1e-3, noise=Noise(5e-4, 1.0)), pair=pair)
    for graphs, expected in (
        ((plain, narrow), "introduced"),
        ((narrow, narrow), "aligned"),
        ((plain, plain), "aligned"),
    ):
        judged = judge(graphs, [*measured[:2], guilty], RULES)
        assert judged[2].verdict == expected, graphs


def test_random_nodes_are_named_not_blamed():
    graph, values = chain(["random", "conv"])
    measured = [
        measure(graph, values, 0),
        measure(graph, values, 1, local=1.0),
        measure(graph, values, 2, local=1e-7, accumulated=1.0),
    ]
    assert verdicts(graph, measured) == ["aligned", "nondeterministic", "inherited"]


def test_nonfinite_positions_count_before_numbers():
    graph, values = chain(["conv", "relu"])
    x = np.ones((1, 4, 8, 8), np.float32)
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    item = measure(graph, values, 1)
    nan = Measured(item.pair, x.shape, x.shape, "float32", "float32", difference(x, bad), difference(x, bad))
    assert verdicts(graph, [measure(graph, values, 0), nan])[1] == "nonfinite"


def test_without_injection_the_first_jump_is_an_estimate():
    graph, values = chain(["conv", "conv", "conv"])
    measured = [
        measure(graph, values, i, local=None, accumulated=error) for i, error in enumerate([0.0, 1e-7, 0.2, 0.25])
    ]
    judged = judge((graph, graph), measured, RULES)
    assert [item.verdict for item in judged] == ["aligned", "aligned", "introduced", "inherited"]
    assert "estimate" in (judged[2].note or "")


def test_shapes_that_do_not_fit_are_introduced_once():
    graph, values = chain(["conv", "conv"])
    pairs = [measure(graph, values, i).pair for i in range(3)]
    fine = measure(graph, values, 0)
    broken = [Measured(pair, (1, 4, 8, 8), (1, 4, 7, 7), "float32", "float32") for pair in pairs[1:]]
    assert verdicts(graph, [fine, *broken]) == ["aligned", "introduced", "incomparable"]


def test_shapes_that_do_not_fit_blame_nobody_where_every_output_agrees():
    graph, values = chain(["conv", "conv"])
    first, broken = (measure(graph, values, i) for i in range(2))
    broken = Measured(broken.pair, (1, 4, 8, 8), (1, 4, 7, 7), "float32", "float32")
    for agree, verdict in ((True, "incomparable"), (False, "introduced")):
        judged = judge((graph, graph), [first, broken], replace(RULES, outputs_agree=agree))
        assert [item.verdict for item in judged] == ["aligned", verdict]


def test_a_fixed_tolerance_replaces_the_bounds():
    graph, values = chain(["conv"])
    measured = [measure(graph, values, 0), measure(graph, values, 1, local=1e-3)]
    loose = judge((graph, graph), measured, Rules(1e-5, 1e-5, fixed=1e-2))
    assert [item.verdict for item in loose] == ["aligned", "aligned"]


def test_bounds_grow_with_the_reduction_and_with_coarse_dtypes():
    graph, values = chain(["conv", "relu"])
    conv, relu, half = (
        measure(graph, values, 1),
        measure(graph, values, 2),
        measure(graph, values, 1, dtype="float16"),
    )
    single = graph, graph
    coarse = replace(graph, values={k: replace(v, dtype="float16") for k, v in graph.values.items()})
    limits = [bound(item, region_numbers(single, item)) for item in (conv, relu)]
    declared = bound(half, region_numbers((graph, coarse), half))
    assert limits[1] == 0.0 < limits[0] < declared
    assert bound(half, region_numbers(single, half)) < declared  # one half tensor in a float32 model is an accident
    assert region_numbers((graph, graph), conv).reduction == 36


def test_numbers_below_the_normal_ones_may_be_lost():
    graph, values = chain(["conv"])
    item = measure(graph, values, 1)
    tiny = replace(item, local=replace(item.local, peak=1e-40))
    assert bound(tiny, region_numbers((graph, graph), tiny)) >= 36 * np.finfo(np.float32).tiny


@pytest.mark.parametrize(("dtype", "expected"), [("torch.float16", 2.0**-11), ("bfloat16", 2.0**-8), (None, 2.0**-24)])
def test_units_in_the_last_place(dtype, expected):
    assert unit(dtype) == expected


def test_saturation_is_measured_apart():
    quantization = Quantization((0.5,), (0,))
    tensor = CapturedTensor("v", np.array([127, 127, 0], np.int8), "int8", quantization)
    reference = np.array([63.0, 90.0, 0.2], np.float32)
    limited, share = Grids(chain(["relu"])[0]).clipped(reference, tensor)
    assert share == pytest.approx(1 / 3)
    assert limited.max() == 63.5


def test_thin_evidence_is_inconclusive():
    coverage = Coverage(1.0, 1.0, 0, 0)
    assert conclude(WholeFacts([], [], 1, coverage, constant_input=False)).verdict == "inconclusive"


def test_float16_ends_somewhere_above_zero():
    graph, values = chain(["conv"])
    half = replace(graph, values={k: replace(v, dtype="float16") for k, v in graph.values.items()})
    x = np.full((1, 4, 8, 8), 4e-7)
    item = measure(graph, values, 1, dtype="float16")
    item = replace(item, local=difference(x, x + 3e-8), accumulated=difference(x, x + 3e-8))
    assert [judgement.verdict for judgement in judge((graph, half), [item], RULES)] == ["aligned"]


def test_near_the_bound_weights_and_settings_decide(monkeypatch):
    graph, values = chain(["conv"])
    limit = bound(measure(graph, values, 1), region_numbers((graph, graph), measure(graph, values, 1)))
    answers = {}

    def verdict(score, answer):
        monkeypatch.setattr("aligner.judgement.pair_facts.difference_in", lambda *_: answer)
        judged = judge(
            (graph, graph), [measure(graph, values, 0), measure(graph, values, 1, local=score * limit)], RULES
        )
        answers[score, answer] = judged[1].note
        return judged[1].verdict

    # too small an error to matter to anybody is excused before; the rule is for the bound alone
    monkeypatch.setattr("test_verdicts.RULES", Rules(0.0, 0.0))
    assert verdict(0.3, "epsilon") == "aligned"
    assert [verdict(0.8, words) for words in ("epsilon", "", None)] == ["introduced", "aligned", "aligned"]
    assert [verdict(2.0, words) for words in ("epsilon", "", None)] == ["introduced", "aligned", "introduced"]
    assert [verdict(9.0, words) for words in ("epsilon", "", None)] == ["introduced"] * 3
    assert "epsilon" in answers[0.8, "epsilon"] and "every weight" in answers[2.0, ""]


def judged(verdict, rule, *others):
    opinions = tuple(Opinion(said, name, "", None) for said, name in ((verdict, rule), *others))
    return Judgement(verdict, None, None, rule, opinions)


def test_no_chain_of_excuses_ends_in_a_pair_that_is_excused():
    graph, values = chain(["conv", "relu", "conv"])
    cut = judged("inherited", "cut-off-before", ("introduced", "beyond-bound"))
    after = judged("inherited", "cut-off-before", ("introduced", "beyond-bound"))
    excused = judged("aligned", "closed-region", ("introduced", "beyond-bound"))
    verdicts = dict(zip(values, (judged("aligned", "within-bound"), excused, cut, after), strict=True))
    found = refounded(graph, verdicts)
    assert {value: one.rule for value, one in found.items()} == {values[2]: "beyond-bound"}  # it founds the one below
    verdicts[values[1]] = judged("introduced", "saturates")
    assert not refounded(graph, verdicts)
    estimate = judged("inherited", "accumulated-jump", ("introduced", "beyond-bound"))
    assert not refounded(graph, {**verdicts, values[1]: excused, values[2]: estimate, values[3]: estimate})
